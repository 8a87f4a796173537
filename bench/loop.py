"""The benchmark `loop`: one agent's tool loop over a slow link, set against plain HTTP and its own WebSocket."""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

from bench import account
from bench.caller import Caller, Tools, Turn, work
from bench.chat import Chat, chat, text
from bench.plan import Plan
from bench.result import Prompted, Result, counted
from bench.shown import Show
from bench.stack import Host, simulator, stack
from bench.upstream import Upstream
from bench.websocket import WebSocket, websocket
from proxy.simulator import Link
from proxy.telemetry.logs import duration, size

# 60 ms there and back, 20 Mbit/s up. It is the simulator's: a body and a frame of one size take as long.
_LINK = Link(latency=0.03, uplink=20e6 / 8)
_HOST = Host(lanes=False, link=_LINK)
Ask = Callable[[Chat], Awaitable[Turn]]


class Loop(Prompted, frozen=True, kw_only=True):
    """One way: the run of median time, in seconds; but errors and wrong prompts are those of all runs."""

    repeats: int
    turns: int
    deltas: int
    seconds: float
    all_seconds: list[float]
    """Of each run, in their order."""
    turn_seconds: float
    first_wait_p50: float
    request_bytes: int
    up_bytes: int
    of_plain: float
    """Its time as a share of plain HTTP's."""
    of_websocket: float
    """Its time as a share of the WebSocket agent's."""


@dataclass(frozen=True, slots=True)
class _Run:
    turns: Sequence[Turn]
    seconds: float
    up_bytes: int


async def loop(plan: Plan, show: Show) -> Result:
    """Each way in turn, then each again: what else the machine does meets all of them alike."""
    runs: dict[str, list[_Run]] = {name: [] for name in _WAYS}
    for at in range(plan.loop_repeats):
        for name in _WAYS:
            runs[name].append(await _run(plan, name, show, f"{name} {at + 1}/{plan.loop_repeats}"))
    seconds = {name: _median(each).seconds for name, each in runs.items()}
    figures = [_figures(name, each, seconds) for name, each in runs.items()]
    what = (
        f"one agent makes {plan.loop_rounds} tool rounds with outputs of {size(plan.loop_output_bytes)}, store: false,"
        f" over a link of {duration(2 * _LINK.latency)} there and back and {_LINK.uplink * 8 / 1e6:g} Mbit/s up; the"
        f" model answers at once; the median of {plan.loop_repeats} runs of each"
    )
    return Result("loop", what, figures, _cells(figures))


@contextlib.asynccontextmanager
async def _plain() -> AsyncIterator[tuple[Ask, Upstream]]:
    async with simulator(_HOST) as (base, upstream, session, _home):
        yield Caller(session, base).ask, upstream


@contextlib.asynccontextmanager
async def _openline() -> AsyncIterator[tuple[Ask, Upstream]]:
    async with stack(_HOST) as running:
        yield running.caller.ask, running.upstream


@contextlib.asynccontextmanager
async def _websocket() -> AsyncIterator[tuple[Ask, Upstream]]:
    """It is opened with the first turn, as Openline's is: the upgrade takes a round trip."""
    async with simulator(_HOST) as (base, upstream, _session, _home), contextlib.AsyncExitStack() as opened:
        lines: list[WebSocket] = []

        async def ask(asked: Chat) -> Turn:
            if not lines:
                lines.append(await opened.enter_async_context(websocket(base)))
            return await lines[0].ask(asked)

        yield ask, upstream


_PLAIN, _OPENLINE, _WEBSOCKET = "plain HTTP", "Openline", "own WebSocket"
_WAYS: Mapping[str, Callable[[], contextlib.AbstractAsyncContextManager[tuple[Ask, Upstream]]]] = MappingProxyType(
    {_PLAIN: _plain, _OPENLINE: _openline, _WEBSOCKET: _websocket}
)


async def _run(plan: Plan, name: str, show: Show, shown: str) -> _Run:
    """Against a simulator, and a proxy, that nobody asked before."""
    opening = chat().said(f"{text(200, 'loop', plan.seed)} [[rounds={plan.loop_rounds} calls=1 reasoning=1]]")
    results = [text(plan.loop_output_bytes, "loop", plan.seed, at) for at in range(plan.loop_rounds)]
    async with _WAYS[name]() as (ask, upstream):
        with show(shown, plan.loop_rounds + 1) as tick:
            upstream.tick = tick
            began = time.perf_counter()
            turns = await work(ask, opening, results, Tools(0.0))
            seconds = time.perf_counter() - began
            await upstream.settled(sum(not turn.error for turn in turns))
        return _Run(turns, seconds, upstream.counts.up_bytes)


def _median(runs: Sequence[_Run]) -> _Run:
    """Of an even number the faster one of the two."""
    return sorted(runs, key=lambda run: run.seconds)[(len(runs) - 1) // 2]


def _figures(name: str, runs: Sequence[_Run], seconds: Mapping[str, float]) -> Loop:
    run = _median(runs)
    turns = list(chain.from_iterable(each.turns for each in runs))
    return Loop(
        conditions=name,
        wrong_prompts=account.wrong(turns),
        errors=account.errors(turns),
        repeats=len(runs),
        turns=len(run.turns),
        deltas=sum(turn.route == "delta" for turn in run.turns),
        seconds=round(run.seconds, 3),
        all_seconds=[round(each.seconds, 3) for each in runs],
        turn_seconds=round(run.seconds / len(run.turns), 4),
        first_wait_p50=round(account.percentile([turn.wait for turn in run.turns], 0.5), 4),
        request_bytes=sum(turn.sent_bytes for turn in run.turns),
        up_bytes=run.up_bytes,
        of_plain=round(run.seconds / seconds[_PLAIN], 3),
        of_websocket=round(run.seconds / seconds[_WEBSOCKET], 3),
    )


def _cells(figures: Sequence[Loop]) -> list[list[str]]:
    """A column for each way."""
    rows = [
        ("", [one.conditions for one in figures]),
        ("time", [duration(one.seconds) for one in figures]),
        ("  of plain HTTP's", [f"{one.of_plain:.1%}" for one in figures]),
        ("  of the own WebSocket's", [f"{one.of_websocket:.1%}" for one in figures]),
        ("  of each run", [", ".join(map(duration, one.all_seconds)) for one in figures]),
        ("time of a turn", [duration(one.turn_seconds) for one in figures]),
        ("first event, p50", [duration(one.first_wait_p50) for one in figures]),
        ("bytes of requests", [size(one.request_bytes) for one in figures]),
        ("bytes up", [size(one.up_bytes) for one in figures]),
        ("turns as deltas", [f"{one.deltas} of {one.turns}" for one in figures]),
        ("wrong prompts", [str(one.wrong_prompts) for one in figures]),
        ("errors", [counted(one.errors) for one in figures]),
    ]
    return [[name, *values] for name, values in rows]
