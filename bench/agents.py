"""The benchmark `agents`: many agents with one key, all of which start in one breath."""

import asyncio
import time
from collections.abc import Sequence
from itertools import chain

import msgspec

from bench import account
from bench.caller import Tools, Turn
from bench.chat import chat, text
from bench.plan import Plan
from bench.result import Prompted, Result, counted
from bench.shown import Show
from bench.stack import Host, Stack, stack
from proxy.telemetry.logs import duration, size


class Burst(Prompted, frozen=True, kw_only=True):
    """One run of all agents. Waits are for the first event, in seconds; the first turns are the burst."""

    lanes: bool
    agents: int
    turns: int
    seconds: float
    sockets: int
    most_sockets: int
    ways: dict[str, int]
    request_bytes: int
    up_bytes: int
    first_wait_p50: float
    first_wait_p99: float
    later_wait_p50: float
    later_wait_p99: float


async def agents(plan: Plan, show: Show) -> Result:
    """With lanes; without, as it is by default; and without, with a socket allowed for each agent."""
    shared, alone = (Host(lanes, plan.model_seconds, plan.event_seconds) for lanes in (True, False))
    figures = [
        await _burst(plan, shared, show),
        await _burst(plan, alone, show),
        await _burst(plan, alone, show, sockets=plan.agents),
    ]
    what = (
        f"{plan.agents} agents with one key start at once; each makes {plan.rounds} tool rounds, store: false;"
        f" the model says its first event after {duration(plan.model_seconds)}, and a piece every"
        f" {duration(plan.event_seconds)}; each tool takes up to {duration(plan.tool_seconds)}"
    )
    return Result("agents", what, figures, _cells(figures))


async def _burst(plan: Plan, host: Host, show: Show, *, sockets: int | None = None) -> Burst:
    # No turn is refused for their number alone: what is asked is what the pool does.
    room = {"LIMITS__REQUESTS": max(512, 2 * plan.agents), "LIMITS__CONNECTIONS": max(512, 2 * plan.agents)}
    if sockets:
        room |= {"POOL__MAX_CONNECTIONS_PER_KEY": sockets, "POOL__MAX_CONNECTIONS": max(128, sockets)}
    conditions = f"{host.name}, {sockets} sockets" if sockets else host.name
    async with stack(host, room) as running:
        with show(f"agents, {conditions}", plan.agents * (plan.rounds + 1)) as tick:
            running.upstream.tick = tick
            began = time.perf_counter()
            runs = await asyncio.gather(*(_agent(plan, running, number) for number in range(plan.agents)))
            seconds = time.perf_counter() - began
            await running.upstream.settled(sum(not turn.error for run in runs for turn in run))
        return msgspec.structs.replace(_figures(host, runs, seconds, running), conditions=conditions)


async def _agent(plan: Plan, running: Stack, number: int) -> list[Turn]:
    """One agent: its own opening, its own results, its own pace."""
    order = f"[[rounds={plan.rounds} calls=1 reasoning=1]]"
    opening = chat().said(f"{text(plan.opening_bytes, 'agent', plan.seed, number)} {order}")
    results = [text(plan.output_bytes, "result", plan.seed, number, at) for at in range(plan.rounds)]
    return await running.caller.work(opening, results, Tools(plan.tool_seconds, plan.seed, number))


def _figures(host: Host, runs: Sequence[Sequence[Turn]], seconds: float, running: Stack) -> Burst:
    turns = list(chain.from_iterable(runs))
    first = [run[0].wait for run in runs]
    later = [turn.wait for run in runs for turn in run[1:]]
    return Burst(
        conditions=host.name,
        wrong_prompts=account.wrong(turns),
        errors=account.errors(turns),
        lanes=host.lanes,
        agents=len(runs),
        turns=len(turns),
        seconds=round(seconds, 3),
        sockets=running.upstream.counts.sockets,
        most_sockets=running.upstream.most_sockets,
        ways=account.ways(turns),
        request_bytes=sum(turn.sent_bytes for turn in turns),
        up_bytes=running.upstream.counts.up_bytes,
        first_wait_p50=round(account.percentile(first, 0.5), 4),
        first_wait_p99=round(account.percentile(first, 0.99), 4),
        later_wait_p50=round(account.percentile(later, 0.5), 4),
        later_wait_p99=round(account.percentile(later, 0.99), 4),
    )


def _cells(figures: Sequence[Burst]) -> list[list[str]]:
    """A column for each run."""
    rows = [
        ("", [one.conditions for one in figures]),
        ("sockets opened", [str(one.sockets) for one in figures]),
        ("most open at once", [str(one.most_sockets) for one in figures]),
        ("turns", [str(one.turns) for one in figures]),
        ("wrong prompts", [str(one.wrong_prompts) for one in figures]),
        ("errors", [counted(one.errors) for one in figures]),
        ("bytes of requests", [size(one.request_bytes) for one in figures]),
        ("bytes up", [size(one.up_bytes) for one in figures]),
        ("first event, first turns, p50", [duration(one.first_wait_p50) for one in figures]),
        ("first event, first turns, p99", [duration(one.first_wait_p99) for one in figures]),
        ("first event, later turns, p50", [duration(one.later_wait_p50) for one in figures]),
        ("first event, later turns, p99", [duration(one.later_wait_p99) for one in figures]),
        ("time", [duration(one.seconds) for one in figures]),
    ]
    ways = dict.fromkeys(way for one in figures for way in one.ways)
    rows[4:4] = [(f"  {way}", [str(one.ways.get(way, 0)) for one in figures]) for way in ways]
    return [[name, *values] for name, values in rows]
