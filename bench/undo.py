"""The benchmark `undo`: a user takes back, breaks off and asks again, and a caller repeats its request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bench import account
from bench.caller import Caller, Turn
from bench.chat import Chat, chat, text
from bench.plan import Plan
from bench.process import BenchError
from bench.result import Prompted, Result, counted
from bench.shown import Show
from bench.stack import Host, Stack, stack
from proxy.telemetry.logs import size

_MESSAGE_BYTES = 2_000
_ANSWER_BYTES = 400  # long enough to be broken off
_BACK = 3
# The model need not be as slow here: turns overlap where they are made to, and answers are longer.
_SWIFTER = 20
# The second request comes when the first is on its way, and long before its answer ends.
_MEANWHILE_SECONDS = 0.01


class Step(Prompted, frozen=True, kw_only=True):
    """One thing that a user or a caller does, after a conversation. Bytes are those of all turns of the step."""

    lanes: bool
    store: bool
    step: str
    ways: list[str]
    """How each turn of it went."""
    request_bytes: int
    up_bytes: int
    then: str
    """How the turn after it went."""


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation so far: its turns, oldest first."""

    turns: Sequence[Turn]
    seed: int

    def after(self, count: int) -> Chat:
        """The history after so many turns, answer and all."""
        return self.turns[count - 1].asked.followed(self.turns[count - 1].output)

    @property
    def end(self) -> Chat:
        """The history now."""
        return self.after(len(self.turns))

    def message(self, name: str) -> str:
        """What the user says in a step."""
        return f"{text(_MESSAGE_BYTES, name, self.seed)} [[rounds=0 size={_ANSWER_BYTES}]]"


_Act = Callable[[Caller, _Talk], Awaitable[list[Turn]]]


async def _edit(caller: Caller, talk: _Talk) -> list[Turn]:
    return [await caller.ask(talk.turns[-1].asked.reworded(talk.message("edit")))]


async def _back(caller: Caller, talk: _Talk) -> list[Turn]:
    return [await caller.ask(talk.after(len(talk.turns) - _BACK).said(talk.message("back")))]


async def _abort(caller: Caller, talk: _Talk) -> list[Turn]:
    left = await caller.ask(talk.end.said(talk.message("abort")), leave=True)
    return [left, await caller.ask(talk.end.said(talk.message("instead")))]


async def _again(caller: Caller, talk: _Talk) -> list[Turn]:
    return [await caller.ask(talk.turns[-1].asked)]


async def _meanwhile(caller: Caller, talk: _Talk) -> list[Turn]:
    asked = talk.end.said(talk.message("twice"))

    async def second() -> Turn:
        await asyncio.sleep(_MEANWHILE_SECONDS)
        return await caller.ask(asked)

    return list(await asyncio.gather(caller.ask(asked), second()))


_STEPS: Mapping[str, _Act] = MappingProxyType(
    {
        "edit of the last message": _edit,
        f"back {_BACK} turns": _back,
        "abort, then another": _abort,
        "retry, answered": _again,
        "retry, still running": _meanwhile,
    }
)


async def undo(plan: Plan, show: Show) -> Result:
    """Each step after a conversation of its own, for each kind of history and host."""
    figures: list[Step] = []
    for lanes, stores in ((True, (False, True)), (False, (False,))):
        host = Host(lanes, plan.model_seconds / _SWIFTER, plan.event_seconds / _SWIFTER)
        async with stack(host) as running:
            with show(f"undo, {host.name}", len(stores) * (len(_STEPS) * (plan.user_turns + 2) + 2)) as tick:
                running.upstream.tick = tick
                figures += [await _step(plan, running, name, host, store=store) for store in stores for name in _STEPS]
    what = (
        f"after {plan.user_turns} user turns of {size(_MESSAGE_BYTES)} each, the user or the caller does this;"
        " `then` is the turn after it"
    )
    heading = ["", "step", "turns", "then", "bytes of requests", "bytes up", "wrong prompts", "errors"]
    rows = [
        [
            one.conditions,
            one.step,
            " | ".join(one.ways),
            one.then,
            size(one.request_bytes),
            size(one.up_bytes),
            str(one.wrong_prompts),
            counted(one.errors),
        ]
        for one in figures
    ]
    return Result("undo", what, figures, [heading, *rows])


async def _step(plan: Plan, running: Stack, name: str, host: Host, *, store: bool) -> Step:
    upstream, caller = running.upstream, running.caller
    talk = await _talk(plan, caller, name, store=store)
    await upstream.settled(upstream.counts.creates)
    before = upstream.counts
    acted = await _STEPS[name](caller, talk)
    await upstream.settled(before.creates + len(acted))
    up_bytes = upstream.counts.up_bytes - before.up_bytes
    last = acted[-1]
    then = await caller.ask(last.asked.followed(last.output).said(talk.message("then")))
    turns = [*talk.turns, *(turn for turn in acted if turn.error != _LEFT), then]
    return Step(
        conditions=f"{host.name}, store: {str(store).lower()}",
        wrong_prompts=account.wrong(turns),
        errors=account.errors(turns),
        lanes=host.lanes,
        store=store,
        step=name,
        ways=[turn.way for turn in acted],
        request_bytes=sum(turn.sent_bytes for turn in acted),
        up_bytes=up_bytes,
        then=then.way,
    )


_LEFT = "HTTP 200, left"


async def _talk(plan: Plan, caller: Caller, name: str, *, store: bool) -> _Talk:
    """A conversation of so many user turns."""
    turns: list[Turn] = []
    history = chat(store=store)
    for at in range(plan.user_turns):
        turn = await caller.ask(history.said(f"{text(_MESSAGE_BYTES, name, store, plan.seed, at)} [[rounds=0]]"))
        if turn.error:
            raise BenchError(f"undo: turn {at + 1} of the conversation failed: {turn.error}")
        turns.append(turn)
        history = turn.asked.followed(turn.output)
    return _Talk(turns, plan.seed)
