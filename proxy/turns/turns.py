"""Turns: each runs in five steps, and the recovery table says what is done when one of them fails."""

import math
import time
from collections.abc import Mapping
from secrets import token_hex

from proxy.config import Settings
from proxy.core import recovery
from proxy.core.answer import Answer as Said
from proxy.core.continuation import Delta, Full
from proxy.core.events import Event, Kind, NotAnEvent
from proxy.core.explanation import happened
from proxy.core.forms import kind
from proxy.core.reasons import Plain, Route, Whole
from proxy.core.recovery import Action, Fact, Fault, Phase
from proxy.errors import Answer, Problem, Refused, TurnFault
from proxy.turns.memory import Memory
from proxy.turns.outcome import End
from proxy.turns.refusals import Refusals, json_headers
from proxy.turns.relay import Relay
from proxy.turns.sink import Sink
from proxy.turns.turn import Turn
from proxy.upstream.capabilities import Host
from proxy.upstream.http import PlainHttp
from proxy.upstream.lease import Lease
from proxy.upstream.patience import Patience
from proxy.upstream.pool import Pool

# The answer to a made-up id needs no model: a host that takes longer is not going to give one.
_PROBE_SECONDS = 10.0
_FULL_REASONS: Mapping[Fault, Whole] = {
    Fault.CONNECTION_LIMIT: Whole.ROTATED,
    Fault.NO_LANES: Whole.LANES_REFUSED,
}
_PLAIN_REASONS: Mapping[Fault, Plain] = {
    Fault.NO_WEBSOCKET: Plain.NO_WEBSOCKET,
    Fault.UPGRADE_FORBIDDEN: Plain.UPGRADE_REFUSED,
    Fault.DIAL_FAILED: Plain.DIAL_FAILED,
    Fault.BREAKER_OPEN: Plain.BREAKER_OPEN,
    Fault.POOL_FULL: Plain.POOL_FULL,
    Fault.OVERSIZE: Plain.OVERSIZE,
    Fault.NO_DESCRIPTOR: Plain.NO_DESCRIPTOR,
    Fault.CONNECTION_LIMIT: Plain.AGE_LIMIT,
    Fault.NO_LANES: Plain.NO_LANES,
}


class Turns:
    """Runs turns.

    choose ─▶ send ─▶ first event ─▶ relay ─▶ note
       ▲        └──────── fault ────────┘
       └── recovery: the table says what next
    """

    def __init__(self, settings: Settings, memory: Memory, host: Host, pool: Pool, http: PlainHttp) -> None:
        self._settings = settings
        self._memory = memory
        self._host = host
        self._pool = pool
        self._http = http
        self._refusals = Refusals(memory, host)

    async def run(self, turn: Turn, sink: Sink) -> None:
        """Answer the caller through `sink`. The outcome is filled in on every way out. Raises CallerGone."""
        if not self._host.has_websocket:
            await self._over_http(turn, sink, Plain.NO_WEBSOCKET)
            return
        turn.patience = Patience(self._settings.timeouts.detour_seconds)
        try:
            self._choose(turn)
            while True:
                try:
                    await self._exchange(turn, sink)
                except TurnFault as fault:
                    if not await self._recover(turn, sink, fault):
                        return
                else:
                    return
        finally:
            self._release(turn)
            turn.relay = None

    def _choose(self, turn: Turn) -> None:
        """Find the longest live head among the lines that are open, and lease its lane: no await in between."""
        self._pool.sweep()
        self._memory.choose(turn)
        if isinstance(turn.continuation, Delta):
            turn.lease = self._pool.claim(turn.continuation.head, fork=turn.continuation.fork)

    async def _exchange(self, turn: Turn, sink: Sink) -> None:
        """Send the create, wait for the first event, relay to the end. Raises TurnFault."""
        lease = turn.lease = turn.lease or await self._pool.lease(turn.key, turn.patience, named=turn.doubted is None)
        frame, probe = self._frames(turn, lease)
        # What must not run again is lost with its line: there is no plain HTTP to get to sooner.
        once = turn.reran or turn.request.acts or self._settings.replay == "unsent"
        pong_seconds = math.inf if once else turn.patience.with_kept
        await lease.send(frame, probe, turn.continued, pong_seconds)
        turn.outcome.sent_bytes += len(frame)
        await self._probed(turn, lease)
        turn.phase = Phase.WRITTEN
        turn.patience.ran()
        batch = await self._first_events(lease)
        if batch[0].kind is Kind.ERROR:
            raise self._refusals.fault(turn, lease, batch[0])
        self._refusals.none(turn, lease)
        turn.phase = Phase.STREAMING
        turn.outcome.first_event_seconds = time.monotonic() - turn.began
        await self._deliver(turn, sink, lease, batch)

    def _frames(self, turn: Turn, lease: Lease) -> tuple[bytes, bytes | None]:
        """The create, and the question that is asked ahead of it, once a connection and model.

        It is for hosts that are not known to verify ids, and for lanes that others wait for: its answer needs no model,
        and echoes the lane's name.
        """
        if isinstance(turn.continuation, Delta):
            return turn.request.frame(turn.continuation.head.response_id, turn.continuation.skip, lease.named), None
        lease.model, late = turn.model, turn.moved or turn.patience.used_up
        wanted = self._host.must_be_asked(turn.model) or (not lease.proven and self._pool.crowded(turn.key))
        ask = wanted and not lease.asked and not late
        return turn.request.frame(lane=lease.named), _probe(turn, lease) if ask else None

    async def _probed(self, turn: Turn, lease: Lease) -> None:
        """Wait for the probe's answer. Creates are answered in order: before the probe is, this one has not begun."""
        try:
            await lease.probed(_PROBE_SECONDS, turn.patience)
        except TurnFault:
            # Of a host that may have answered unheard that is not known: what may run once at most counts as sent.
            if lease.given_up and (turn.request.acts or self._settings.replay == "unsent"):
                turn.phase = Phase.WRITTEN
            raise

    async def _first_events(self, lease: Lease) -> list[Event]:
        seconds = self._settings.timeouts.first_event_seconds
        try:
            return await lease.batch(seconds)
        except TimeoutError:
            raise TurnFault(Fault.SILENCE, f"no event within {seconds:g} s") from None

    async def _deliver(self, turn: Turn, sink: Sink, lease: Lease, batch: list[Event]) -> None:
        said = Said()
        if not sink.wants_json:
            turn.outcome.status = 200
            await sink.begin(turn.outcome)

        def on_end() -> None:
            self._memory.note(turn, lease, said)
            lease.lane.single = turn.begins and not any(kind(item).endswith("_call") for item in said.items)
            self._release(turn)

        turn.relay = Relay(lease, sink, self._settings.timeouts, said, on_end)
        refused = await turn.relay.run(batch)
        if refused:
            turn.outcome.end = End.ERROR
        if not sink.wants_json:
            await sink.end()
        elif refused:
            await self._answer(turn, sink, Answer(refused.status, refused.body, json_headers(refused.headers)))
        else:
            await self._answer(turn, sink, Answer(200, _response(said), json_headers({})))
        self._memory.keep(turn)

    async def _recover(self, turn: Turn, sink: Sink, fault: TurnFault) -> bool:
        """Do what the table says. Returns whether the turn goes on."""
        turn.patience.spend(fault.waited)
        action = recovery.decide(fault.fault, turn.phase, self._facts(turn, sink))
        turn.outcome.faults.append(f"{fault.detail}: {action.value}")
        if fault.fault is Fault.GARBAGE and turn.lease:
            turn.lease.spoil(Whole.CONNECTION_LOST)
        if fault.fault is Fault.SILENCE and turn.lease:
            self._pool.mute(turn.lease)
        if action is Action.REDIAL:
            turn.redialled = True
            return True
        if action is Action.REPLAY_HERE:
            turn.outcome.replays += 1
            turn.go(Full(Whole.NOT_FOUND), happened(Whole.NOT_FOUND))
            return True
        self._release(turn)
        if action is Action.REPLAY_ELSEWHERE:
            turn.outcome.replays += turn.phase is not Phase.UNSENT
            turn.reran |= turn.phase is not Phase.UNSENT and fault.fault is Fault.LINE_LOST
            turn.moved = True
            reason = _FULL_REASONS.get(fault.fault, Whole.CONNECTION_LOST)
            turn.go(Full(reason), happened(reason, fault.detail))
            return True
        if action is Action.HTTP:
            turn.outcome.replays += turn.phase is not Phase.UNSENT
            plain = _PLAIN_REASONS.get(fault.fault, Plain.LINE_LOST)
            turn.outcome.why = happened(plain, fault.detail)
            await self._over_http(turn, sink, plain)
        else:
            await self._give_up(turn, sink, fault, action)
        return False

    def _facts(self, turn: Turn, sink: Sink) -> set[Fact]:
        holds = {
            Fact.JSON: sink.wants_json,
            Fact.STORED: turn.request.stored,
            Fact.ACTS: turn.request.acts,
            Fact.UNSENT_ONLY: self._settings.replay == "unsent",
            Fact.SAY_FAILED: self._settings.after_loss == "failed",
            Fact.REDIALLED: turn.redialled,
            Fact.REPLAYED: turn.reran,
            Fact.MOVED: turn.moved,
            Fact.SPENT: turn.patience.used_up,
        }
        return {fact for fact, is_so in holds.items() if is_so}

    async def _give_up(self, turn: Turn, sink: Sink, fault: TurnFault, action: Action) -> None:
        turn.outcome.end = End.ERROR
        if action is Action.ANSWER and fault.answer:
            await self._answer(turn, sink, fault.answer)
        elif action is Action.CUT:
            turn.outcome.end = End.CUT
            sink.cut()
        elif action is Action.SAY_FAILED:
            await self._say_failed(turn, sink, fault)
        else:
            problem = Problem.SILENCE if action is Action.GATEWAY_TIMEOUT else Problem.LINE_LOST
            await self._answer(turn, sink, problem.answer(fault.detail))

    async def _say_failed(self, turn: Turn, sink: Sink, fault: TurnFault) -> None:
        relay = turn.relay
        event = relay.answer.failed(f"Openline: {fault.detail}", relay.sequence + 1) if relay else None
        if event is None:
            turn.outcome.end = End.CUT
            sink.cut()
            return
        sink.write([event])
        await sink.end()

    async def _answer(self, turn: Turn, sink: Sink, answer: Answer) -> None:
        turn.outcome.status = answer.status
        await sink.answer(answer, turn.outcome)

    async def _over_http(self, turn: Turn, sink: Sink, reason: Plain) -> None:
        """The caller's own request, over plain HTTP."""
        outcome = turn.outcome
        outcome.route, outcome.reason = Route.HTTP, reason
        outcome.sent_bytes += outcome.request_bytes
        try:
            response = await self._http.open(turn.origin)
        except Refused as refused:
            outcome.end = End.ERROR
            outcome.faults.append(f"plain HTTP: {refused.detail or refused.problem.value[1]}")
            await self._answer(turn, sink, refused.problem.answer(refused.detail))
            return
        outcome.status, outcome.end = response.status, End.PASSED
        outcome.first_event_seconds = time.monotonic() - turn.began
        await sink.forward(response, outcome)

    def _release(self, turn: Turn) -> None:
        """The one place where a lease ends."""
        lease, turn.lease = turn.lease, None
        if lease:
            self._memory.released(lease)
            self._pool.give_back(lease)


def _probe(turn: Turn, lease: Lease) -> bytes:
    """A made-up id: a host that continues it would lose context unseen. `generate: false` makes it cheap."""
    lane = b'"stream_id":"%b",' % lease.named.encode() if lease.named else b""
    model, name = turn.request.value("model"), token_hex(24).encode()
    return (
        b'{"type":"response.create",%b"model":%b,"previous_response_id":"resp_%b",'
        b'"input":[],"generate":false,"store":false}' % (lane, model, name)
    )


def _response(said: Said) -> bytes:
    try:
        return said.response()
    except NotAnEvent as error:
        raise TurnFault(Fault.GARBAGE, str(error)) from error
