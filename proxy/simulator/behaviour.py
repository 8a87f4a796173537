"""Behaviour: which of the servers that speak the protocol the simulator is, as one frozen value."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from proxy.simulator.errors import ErrorShape, LaneRefusal
from proxy.simulator.model import Model
from proxy.simulator.oracle import Oracle

CompletedOutput = Literal["full", "empty", "differing"]
OMITTABLE = ("status", "headers", "stream_id", "type", "code")


@dataclass(frozen=True)
class Link:
    """An emulated network link. It is emulated: time is added by sleeping, on top of whatever the real link takes.

    A WebSocket upgrade, an HTTP request and a create frame each wait a round trip (twice `latency` seconds) plus
    their size over `uplink` (bytes a second, 0 is unlimited), which all share. A frame counts after decompression.
    TCP and TLS handshakes are not emulated, so the gain of a connection that stays open is shown smaller than it is.
    """

    latency: float = 0.0
    uplink: float = 0.0

    def __post_init__(self) -> None:
        if self.latency < 0 or self.uplink < 0:
            raise ValueError("Link: latency and uplink must not be negative")

    def delay(self, size: int) -> float:
        """Seconds until the answer to `size` bytes could begin to arrive."""
        return 2 * self.latency + self.sending(size)

    def sending(self, size: int) -> float:
        """Seconds that `size` bytes take on the uplink."""
        return size / self.uplink if self.uplink else 0.0


@dataclass(frozen=True)
class Behaviour:
    """Every option of the simulator; docs/simulator.md has the table that explains each."""

    model: Model = field(default_factory=Oracle)
    api_keys: frozenset[str] = frozenset()
    websocket: bool = True
    websocket_refusal: int = 426
    compress: bool = True
    lanes: bool = True
    lane_refusal: LaneRefusal = "unknown_parameter"
    named_lanes: int = 32
    in_flight: int = 16
    steering: bool = True
    age_limit: float = 3600.0
    clock: Callable[[], float] = time.monotonic
    frame_limit: int = 16 * 1024 * 1024
    honours_store: bool = True
    store_limit: int = 10_000
    once_only_parents: bool = False
    lenient_ids: bool = False
    forgetful: float | Callable[[str], bool] = 0.0
    seed: int = 0
    parent_gone_at: Literal["next_completed", "next_created"] = "next_completed"
    not_found_status: int = 400
    error_shape: ErrorShape = "wrapped"
    error_omits: frozenset[str] = frozenset()
    completed_output: CompletedOutput = "full"
    summaries_count: bool = False
    delta_chars: int = 24
    think_seconds: float = 0.0
    event_seconds: float = 0.0
    link: Link = Link()
    cors: bool = False
    base_path: str = "/v1"
    echo_paths: bool = True
    journal_limit: int = 1_000

    def __post_init__(self) -> None:
        for name in ("delta_chars", "frame_limit", "in_flight", "journal_limit", "named_lanes", "store_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"Behaviour.{name} must be at least 1")
        for name in ("think_seconds", "event_seconds", "age_limit"):
            if getattr(self, name) < 0:
                raise ValueError(f"Behaviour.{name} must not be negative")
        if not callable(self.forgetful) and not 0 <= self.forgetful <= 1:
            raise ValueError("Behaviour.forgetful must be a probability from 0 to 1, or a predicate on a response id")
        if not re.fullmatch(r"(/[\w.~-]+)+", self.base_path):
            raise ValueError("Behaviour.base_path must be a path such as /v1, without a slash at its end")
        unknown = self.error_omits - set(OMITTABLE)
        if unknown:
            raise ValueError(f"Behaviour.error_omits: {sorted(unknown)} is not among {', '.join(OMITTABLE)}")
