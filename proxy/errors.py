"""Faults of the way to the upstream, and the answers that callers get where no upstream can give one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from proxy.core.recovery import Fault


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class TurnFault(Exception):
    """A fault on the way to the upstream; core/recovery.py says what is done about it.

    `detail` says what happened, without anything private; `answer` is the upstream's own, where it gave one.
    """

    def __init__(self, fault: Fault, detail: str, answer: Answer | None = None) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail
        self.answer = answer


class Problem(Enum):
    """What Openline itself answers: status, code and message."""

    BAD_REQUEST = (400, "openline_bad_request", "Openline could not read this request.")
    ORIGIN = (403, "openline_origin", "Openline refuses browser pages of this origin: add it to allowed_origins.")
    HOST = (403, "openline_host", "Openline refuses this Host header: add it to allowed_hosts.")
    UPGRADE = (426, "openline_no_websocket", "Openline does not serve WebSocket callers yet: use POST.")
    LOOP = (508, "openline_loop", "This request came from this Openline itself: check upstream.url.")
    DRAINING = (503, "openline_draining", "Openline is shutting down and takes no new turns.")
    LINE_LOST = (502, "openline_line_lost", "The connection to the upstream was lost during this turn.")
    SILENCE = (504, "openline_silence", "The upstream said nothing for too long.")
    UNREACHABLE = (502, "openline_unreachable", "Openline could not reach the upstream: check upstream.url.")

    def answer(self, detail: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """The answer in the API's own shape, so that SDKs show its message."""
        status, code, message = self.value
        text = f"{message} ({detail})" if detail else message
        kind = "server_error" if status >= 500 else "invalid_request_error"
        error = {"message": text, "type": kind, "param": None, "code": code}
        return Answer(
            status, msgspec.json.encode({"error": error}), {"content-type": "application/json", **(headers or {})}
        )


class Refused(Exception):
    """Openline answers the request itself: with `problem`, and a detail for the caller."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(problem.name)
        self.problem = problem
        self.detail = detail
