"""The observer: what mode `on` would have made of turns that go over plain HTTP as they came."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from multidict import CIMultiDictProxy

from proxy.config import Settings
from proxy.core.answer import Answer as Said
from proxy.core.continuation import Delta
from proxy.core.events import TERMINAL, Event, Kind
from proxy.core.explanation import happened
from proxy.core.heads import Heads
from proxy.core.lane import OutOfPlace, State
from proxy.core.meaning import Rules
from proxy.core.reasons import Plain, Route, Whole
from proxy.core.refusal import refusal
from proxy.turns.imagined import ImaginedHost, ImaginedPool, arrive
from proxy.turns.memory import Keyed, Memory
from proxy.turns.outcome import Outcome, Would
from proxy.turns.tap import Tap, Unread
from proxy.turns.turn import Turn
from proxy.upstream.capabilities import Host
from proxy.upstream.lease import Lease

# What reading others' JSON raises: NotAnEvent, MsgspecError and UnicodeDecodeError are ValueErrors.
_ODD = (ValueError, RecursionError)


class Observer:
    """Decides as `Turns` does, by a memory and connections of its own: here what plain HTTP answered can be continued.

    turn ─▶ Memory.choose ─▶ ImaginedPool ─▶ Would
    answer ─▶ Tap ─▶ Memory.note
    """

    def __init__(self, settings: Settings, rules: Rules, keyed: Keyed, host: Host, clock: Callable[[], float]) -> None:
        self._host = host
        self._heads = Heads(most=settings.heads.max_count, max_age=settings.heads.max_age_seconds, clock=clock)
        self._memory = Memory(rules, keyed, self._heads, ImaginedHost(host, clock))
        self._pool = ImaginedPool(settings, host, self._heads, clock)

    def begin(self, turn: Turn) -> "Observation":
        """Note in the turn's outcome what it would have been. Its answer goes through what this gives."""
        outcome = turn.outcome
        imagined = replace(turn, outcome=Outcome(outcome.id, Route.FULL, request_bytes=outcome.request_bytes))
        observation = Observation(imagined, None, outcome, self._memory, self._heads, self._pool)
        with observation.at_risk("its request"):
            self._imagine(observation)
        return observation

    def _imagine(self, observation: "Observation") -> None:
        turn, outcome = observation.turn, observation.outcome
        observation.lease = self._choose(turn)
        outcome.would = self._would(turn, observation.lease)
        outcome.why = turn.outcome.why
        if outcome.would.route is Route.HTTP and outcome.would.reason:
            outcome.why = happened(outcome.would.reason)
            observation.end()

    def _choose(self, turn: Turn) -> Lease | None:
        if not self._host.has_websocket:
            return None
        self._pool.sweep()
        self._memory.choose(turn)
        return self._pool.lease(turn.key.digest, turn.continuation)

    def _would(self, turn: Turn, lease: Lease | None) -> Would:
        """What is written down; of a lane that would be used the turn has begun."""
        if lease is None:
            return _plainly(turn, Plain.POOL_FULL if self._host.has_websocket else Plain.NO_WEBSOCKET)
        if isinstance(turn.continuation, Delta):
            frame = turn.request.frame(turn.continuation.head.response_id, turn.continuation.skip, lease.named)
        else:
            frame = turn.request.frame(lane=lease.named)
        if len(frame) >= self._host.known.frame_limit_bytes:
            return _plainly(turn, Plain.OVERSIZE)
        lease.continuing = turn.continued
        lease.begin()
        return Would(turn.outcome.route, turn.outcome.reason, len(frame))


def _plainly(turn: Turn, reason: Plain) -> Would:
    return Would(Route.HTTP, reason, turn.outcome.request_bytes)


@dataclass(slots=True)
class Observation:
    """One turn's answer, seen as it passes. Nothing here raises: what is wrong with it only ends the observation.

    Each piece is seen before the caller gets it: the next turn may be on its way at once.
    """

    turn: Turn
    """With an outcome that is nobody's."""
    lease: Lease | None
    """None where there is nothing to see, or no more."""
    outcome: Outcome
    """The real one."""
    memory: Memory = field(repr=False)
    heads: Heads = field(repr=False)
    pool: ImaginedPool = field(repr=False)
    tap: Tap | None = None
    said: Said = field(default_factory=Said)

    @contextmanager
    def at_risk(self, what: str) -> Iterator[None]:
        """A step that reads `what` is others': whatever is wrong with it ends the observation, and nothing else."""
        try:
            yield
        except Unread as unread:
            self._give_up(str(unread))
        except OutOfPlace:
            self._give_up("its imagined lane was not free for it")
        except _ODD:
            self._give_up(f"{what} cannot be read")

    def answered(self, status: int, headers: CIMultiDictProxy[str]) -> None:
        """The answer's head is there."""
        with self.at_risk("its head"):
            if status == 200:
                self.tap = Tap(headers)
            else:
                self._take([Event("error", Kind.ERROR, b'{"type":"error","status":%d}' % status)])

    def see(self, piece: bytes) -> None:
        """The next piece of the body, as it came."""
        if self.tap and self.lease:
            with self.at_risk("an event of it"):
                self._take(self.tap.see(piece))

    def whole(self) -> None:
        """The body is whole."""
        if self.tap and self.lease:
            with self.at_risk("an event of it"):
                self._take(self.tap.whole())

    def end(self) -> None:
        """Nothing more comes; what was not seen by now never is."""
        lease, self.lease, self.tap = self.lease, None, None
        if lease:
            self.memory.released(lease)
            self.pool.give_back(lease)

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if self.lease is None:
                return
            first = self.lease.lane.state is State.AWAITED
            arrive(self.lease.lane, event)
            self.said.see(event)
            if event.kind is Kind.ERROR:
                if first:
                    self.memory.rejected(self.turn, self.lease, refusal(event.frame).status)
                self.end()
            elif event.kind in TERMINAL:
                self._note(self.lease)
                self.end()

    def _note(self, lease: Lease) -> None:
        self.memory.note(self.turn, lease, self.said)
        told = self.turn.outcome
        self.outcome.input_tokens, self.outcome.cached_tokens = told.input_tokens, told.cached_tokens
        self.outcome.output_tokens, self.outcome.reasoning_tokens = told.output_tokens, told.reasoning_tokens

    def _give_up(self, why: str) -> None:
        """What was answered is not known: the next turn of this history would seem to go in full."""
        self.outcome.faults.append(f"not observed: {why}")
        self.heads.mark(self.turn.chain[-1:], Whole.UNCLEAR_OUTPUT, "its answer was not observed")
        self.end()
