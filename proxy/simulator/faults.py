"""Fault: one thing that goes wrong, and where; `Faults` is the queue that requests take them from."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from proxy.simulator.errors import ApiError
from proxy.simulator.watch import Watch

Where = Literal["upgrade", "start", "events", "terminal", "end", "now"]
What = Literal[
    "refuse",
    "delay",
    "hang",
    "close",
    "abort",
    "error",
    "failed",
    "incomplete",
    "forget",
    "age_limit",
    "garbage",
    "binary",
    "foreign_lane",
    "stray",
    "oversized",
]
PLACES: tuple[Where, ...] = get_args(Where)
KINDS: tuple[What, ...] = get_args(What)
TURN_PLACES = frozenset({"start", "events", "terminal", "end"})
_AT_UPGRADE = frozenset({"refuse", "delay", "hang", "close", "abort"})
_NOW = frozenset({"close", "abort", "forget", "age_limit", "garbage", "binary", "foreign_lane", "stray", "oversized"})


def possible(where: Where, what: What) -> bool:
    """Whether `what` can happen at `where`: the cells of the matrix that make sense."""
    if where == "upgrade":
        return what in _AT_UPGRADE
    if where == "now":
        return what in _NOW
    if where == "end":  # the turn has ended: it cannot end again
        return what not in {"refuse", "error", "failed", "incomplete"}
    return what != "refuse"


@dataclass(frozen=True)
class Fault:
    """`what` happens at `where`.

    where: `upgrade` (of a WebSocket); in a turn `start` (before the first event), `events` (after the event
    number `after`), `terminal` (just before the last event), `end` (right after it); `now` (all open sockets).
    what: refuse, error: answer `status`, `code`, `message`, `headers` (`body` replaces the JSON of a refusal).
    delay: wait `seconds`. hang: no further byte until released or closed. close: an orderly end (WebSocket close
    `close_code`, HTTP end of stream). abort: TCP reset. failed, incomplete: the turn ends so, with `code` and
    `message`. forget: all remembered responses are gone. age_limit: the connection's age limit is reached.
    garbage, binary, oversized (`size` bytes): such a frame comes in between. foreign_lane: an event of a lane
    nobody opened. stray: an event of no turn.

    `times` requests are struck, after `skip` matching ones went well; `transport` narrows to `http` or `ws`.
    """

    what: What
    where: Where = "start"
    after: int = 1
    times: int = 1
    skip: int = 0
    transport: Literal["http", "ws"] | None = None
    status: int = 500
    code: str | None = "server_error"
    message: str = "The server had an error while processing your request. Sorry about that!"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    seconds: float = 0.0
    close_code: int = 1011
    size: int = 32 * 1024 * 1024

    def __post_init__(self) -> None:
        if not possible(self.where, self.what):
            raise ValueError(f"Fault: {self.what!r} cannot happen at {self.where!r}")
        if self.times < 1 or self.skip < 0 or self.after < 0 or self.seconds < 0:
            raise ValueError("Fault: times must be at least 1; skip, after and seconds must not be negative")

    def error(self) -> ApiError:
        """The refusal that this fault stands for."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return ApiError(self.status, self.message, self.code, None, kind, self.headers)

    def position(self, total: int) -> int:
        """Before which of `total` events it strikes; `total` itself is after the last."""
        last = max(total - 1, 0)
        return {"start": 0, "events": min(self.after, last), "terminal": last, "end": total}[self.where]


class Faults:
    """The faults to come, in order. A request takes the first one that matches it, if any."""

    def __init__(self, watch: Watch) -> None:
        self._queue: list[Fault] = []
        self._watch = watch
        self._released = asyncio.Event()
        self.struck: list[Fault] = []
        """Every fault that struck, in order; a hang counts from the moment it hangs."""

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, *faults: Fault) -> None:
        """Queue faults. One with the place `now` belongs to `Simulator.strike`: ValueError."""
        for fault in faults:
            if fault.where == "now":
                raise ValueError("Fault: a fault that strikes 'now' is not queued; use Simulator.strike")
            self._queue.append(fault)

    def extend(self, faults: Iterable[Fault]) -> None:
        """Queue many."""
        self.add(*faults)

    def clear(self) -> None:
        """Forget the faults to come and let those that hang go on."""
        self._queue.clear()
        self.release()

    def release(self) -> None:
        """Let all that hang now go on."""
        self._released.set()
        self._released = asyncio.Event()

    def at_upgrade(self) -> Fault | None:
        """The fault of the upgrade that has just come in."""
        return self._take(frozenset({"upgrade"}), "ws")

    def of_turn(self, transport: str) -> Fault | None:
        """The fault of the turn that has just come in."""
        return self._take(TURN_PLACES, transport)

    def strike(self, fault: Fault) -> None:
        """Note that it struck."""
        self.struck.append(fault)
        self._watch.notify()

    async def hang(self) -> None:
        """Wait until released. The limit is the connection: its end cancels the turn that hangs here."""
        await self._released.wait()

    def _take(self, places: frozenset[str], transport: str) -> Fault | None:
        for index, fault in enumerate(self._queue):
            if fault.where not in places or fault.transport not in {None, transport}:
                continue
            if fault.skip:
                self._queue[index] = replace(fault, skip=fault.skip - 1)
                return None
            if fault.times > 1:
                self._queue[index] = replace(fault, times=fault.times - 1)
            else:
                del self._queue[index]
            return fault
        return None
