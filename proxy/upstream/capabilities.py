"""A host: what it can do by the table, and what was learned of it while running."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

import cachetools

from proxy.config import Upstream
from proxy.core.continuation import Trust
from proxy.core.lane import Verdict
from proxy.core.lanes import MOST_NAMED, Lanes
from proxy.upstream.status import HostStatus

_MIB = 1_048_576
_TRIES = 2
# Models of which it is remembered what they do with an id that they do not know.
_MOST_MODELS = 1_024
# A limit that is said to be reached sooner is another one, or a mistake: rotation would follow upon every turn.
_LEAST_AGE = 5.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a host does (protocol.md, "Known hosts"). The defaults are the safest."""

    age_limit_seconds: float = 3_600.0
    frame_limit_bytes: int = 16 * _MIB
    verifies_ids: bool | None = None
    """Whether it refuses response ids that it does not know; None where it must be asked."""
    lanes: bool = False
    """Whether one connection carries several ordered streams (`stream_id`)."""
    summaries_count: bool = True
    """Whether a reasoning item's summary matters beside its encrypted_content."""


_OPENAI = Capabilities(verifies_ids=True, lanes=True, summaries_count=False)
_TABLE: Mapping[str, Capabilities] = {
    "api.openai.com": _OPENAI,
    "eu.api.openai.com": _OPENAI,
    "us.api.openai.com": _OPENAI,
    "api.x.ai": Capabilities(age_limit_seconds=1_500.0),
}
_SUFFIXES: Mapping[str, Capabilities] = {".openai.azure.com": Capabilities(summaries_count=False)}


def capabilities(upstream: Upstream) -> Capabilities:
    """What is known of the upstream: the table's entry for its host, then what the settings say."""
    name = urlsplit(upstream.url).hostname or ""
    known = _TABLE.get(name) or next(
        (entry for suffix, entry in _SUFFIXES.items() if name.endswith(suffix)), Capabilities()
    )
    if upstream.age_limit_seconds:
        known = replace(known, age_limit_seconds=upstream.age_limit_seconds)
    if upstream.frame_limit_bytes:
        known = replace(known, frame_limit_bytes=upstream.frame_limit_bytes)
    if upstream.verifies_ids != "auto":
        known = replace(known, verifies_ids=upstream.verifies_ids == "yes")
    if upstream.lanes != "auto":
        known = replace(known, lanes=upstream.lanes == "on")
    if upstream.summaries_count != "auto":
        known = replace(known, summaries_count=upstream.summaries_count == "yes")
    return known


def public_name(host: str) -> str | None:
    """The host's name where the table has it, with an ellipsis for what is its user's own; None for any other."""
    if host in _TABLE:
        return host
    return next((f"…{suffix}" for suffix in _SUFFIXES if host.endswith(suffix)), None)


class Host:
    """One upstream host: its capabilities, and what its answers have shown so far."""

    def __init__(self, known: Capabilities, *, recheck_seconds: float, clock: Callable[[], float]) -> None:
        self.known = known
        self.has_lanes = known.lanes
        """Whether creates are given a stream_id; False for good once the host refused one."""
        self.takes_names = False
        """Whether it has answered under a lane's name."""
        self._names = MOST_NAMED
        self._mixed_up_at = -math.inf
        self._did_without: tuple[int, float] | None = None
        self._forks: bool | None = None
        # By model, where the table does not know: behind one host each may have a backend of its own.
        self._verdicts: cachetools.LRUCache[bytes, bool] = cachetools.LRUCache(_MOST_MODELS)
        self.suspect = False
        """Whether it lost a context unseen."""
        self._in_vain = 0
        self._ask_again_at = 0.0
        self.recheck_seconds = recheck_seconds
        self._clock = clock
        self._no_websocket_until = 0.0

    def verifies(self, model: bytes) -> bool | None:
        """Whether the model's backend refuses ids that it does not know; None where that is not known yet."""
        return self._verdicts.get(model) if self.known.verifies_ids is None else self.known.verifies_ids

    def trust(self, model: bytes) -> Trust:
        """Whether the host may be sent deltas for this model."""
        return Trust(verified=self.verifies(model) is True, suspect=self.suspect)

    def status(self) -> HostStatus:
        """What is known of it."""
        known = self.known.verifies_ids
        verdicts = set(self._verdicts.values()) if known is None else {known}
        words: dict[bool, Literal["yes", "no"]] = {True: "yes", False: "no"}
        verifies: Literal["yes", "no", "some", "unknown"] = "some" if len(verdicts) > 1 else "unknown"
        if len(verdicts) == 1:
            verifies = words[verdicts.pop()]
        return HostStatus(self.has_websocket, verifies, self.has_lanes, self.suspect)

    def must_be_asked(self, model: bytes) -> bool:
        """Whether it is not known yet how the model's backend treats ids that it does not know."""
        return self.verifies(model) is None and self._clock() >= self._ask_again_at

    @property
    def has_websocket(self) -> bool:
        """False for a while after the host refused an upgrade as something that it does not know."""
        return self._clock() >= self._no_websocket_until

    def keeps_nothing(self, model: bytes) -> bool:
        """Whether it is known that nothing is ever continued there."""
        return self.suspect or self.verifies(model) is False

    def asked(self, model: bytes, verdict: Verdict) -> None:
        """The model's backend answered a made-up id. What is unclear proves nothing: the next connection asks again."""
        if verdict is not Verdict.UNCLEAR:
            self._verdicts[model] = verdict is Verdict.REFUSED

    def asked_in_vain(self) -> None:
        """The line ended instead of an answer. Twice is no accident: the question itself does it harm, for now."""
        self._in_vain += 1
        if self._in_vain >= _TRIES:
            self._in_vain = 0
            self._ask_again_at = self._clock() + self.recheck_seconds

    def suspected(self) -> None:
        """The host lost a context unseen: no more deltas to it."""
        self.suspect = True

    def mixed_up(self, *, certain: bool) -> None:
        """Whose a frame on a shared line was could not be told. Twice within a while, or `certain`: no lanes."""
        now, last = self._clock(), self._mixed_up_at
        self._mixed_up_at = now
        if certain or now - last <= self.recheck_seconds:
            self.refused_lanes()

    def refused_age(self, seconds: float) -> None:
        """A connection of that age had reached the limit: others are replaced before it from now on."""
        if seconds >= _LEAST_AGE:
            self.known = replace(self.known, age_limit_seconds=min(seconds, self.known.age_limit_seconds))

    @property
    def names(self) -> int:
        """How many lanes a connection there may name."""
        return self._names if self.has_lanes else 0

    def did_without(self, ahead: int) -> None:
        """What was refused under a name, no reason told, went well without. So many names were used before that one.

        Of a host that never took a name this shows that it takes none. For others it may be chance: once.
        """
        now, last = self._clock(), self._did_without
        self._did_without = ahead, now
        if not ahead and not self.takes_names:
            self.refused_lanes()
        elif last and now - last[1] <= self.recheck_seconds:
            most = max(ahead, last[0])
            if most:
                self.refused_name(most)
            else:
                self.refused_lanes()

    def refused_lanes(self) -> None:
        """The host knows no stream_id."""
        self.has_lanes = False

    def lanes(self, connection: int, clock: Callable[[], float], *, named: bool, tight: Callable[[], bool]) -> Lanes:
        """Those of a new connection there, which minds what is learned of the host later."""
        return Lanes(
            connection,
            named=named,
            clock=clock,
            names=lambda: self.names,
            forks=lambda: self.has_forks,
            tight=tight,
        )

    @property
    def has_forks(self) -> bool:
        """Whether one lane may go on from what another holds; False for good once that was not found there."""
        return self._forks is not False

    def forked(self) -> None:
        """A response was continued on another lane."""
        self._forks = True

    def refuses_forks(self) -> bool:
        """What one lane is known to hold was not found for another: is it the host's way? Not if it ever was found."""
        self._forks = self._forks or False
        return not self._forks

    def refused_name(self, ahead: int) -> None:
        """It took no more names on a connection than were used before this one."""
        self._names = max(1, min(ahead, self._names))

    def refused_websocket(self) -> None:
        """The host has no WebSocket mode, as far as can be seen now."""
        self._no_websocket_until = self._clock() + self.recheck_seconds
