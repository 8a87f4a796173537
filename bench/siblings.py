"""The benchmark `siblings`: sub-agents that all go on from one parent's history."""

import asyncio
from itertools import chain

from bench import account
from bench.caller import Tools, Turn
from bench.chat import Chat, chat, text
from bench.plan import Plan
from bench.process import BenchError
from bench.result import Prompted, Result, counted
from bench.shown import Show
from bench.stack import Host, Stack, stack
from proxy.telemetry.logs import size


class Family(Prompted, frozen=True, kw_only=True):
    """One run of all siblings. Bytes are theirs alone, without the parent's turn."""

    lanes: bool
    together: bool
    """Whether they start at once; else each starts when the one before is done."""
    siblings: int
    sockets: int
    first_ways: dict[str, int]
    later_ways: dict[str, int]
    request_bytes: int
    up_bytes: int


async def siblings(plan: Plan, show: Show) -> Result:
    """With lanes and without, together and one after another."""
    figures: list[Family] = []
    for lanes in (True, False):
        host = Host(lanes, plan.model_seconds, plan.event_seconds)
        async with stack(host) as running:
            figures += [await _family(plan, running, host, show, together=together) for together in (True, False)]
    what = (
        f"{plan.siblings} sub-agents go on from one parent's history of {size(plan.shared_bytes)}, each with"
        f" {plan.sibling_rounds} tool rounds, store: false"
    )
    heading = ["", "sockets", "first turns", "later turns", "bytes of requests", "bytes up", "wrong prompts", "errors"]
    rows = [
        [
            one.conditions,
            str(one.sockets),
            counted(one.first_ways),
            counted(one.later_ways),
            size(one.request_bytes),
            size(one.up_bytes),
            str(one.wrong_prompts),
            counted(one.errors),
        ]
        for one in figures
    ]
    return Result("siblings", what, figures, [heading, *rows])


async def _family(plan: Plan, running: Stack, host: Host, show: Show, *, together: bool) -> Family:
    """Each family has a key of its own: nothing that the other one left is there for it."""
    name = f"{host.name}, {'together' if together else 'in turn'}"
    upstream, before = running.upstream, running.upstream.counts
    with show(name, 1 + plan.siblings * (plan.sibling_rounds + 1)) as tick:
        upstream.tick = lambda creates, up_bytes: tick(creates - before.creates, up_bytes - before.up_bytes)
        opening = chat().said(f"{text(plan.shared_bytes, plan.seed)} [[rounds=0]]")
        parent = await running.caller.ask(opening, key=name)
        if parent.error:
            raise BenchError(f"siblings: the parent's turn failed: {parent.error}")
        await upstream.settled(before.creates + 1)
        begun = upstream.counts
        history = parent.asked.followed(parent.output)
        work = [_sibling(plan, running, history, number, name) for number in range(plan.siblings)]
        runs = await asyncio.gather(*work) if together else [await one for one in work]
        turns = list(chain.from_iterable(runs))
        await upstream.settled(begun.creates + sum(not turn.error for turn in turns))
    return Family(
        conditions=name,
        wrong_prompts=account.wrong(turns),
        errors=account.errors(turns),
        lanes=host.lanes,
        together=together,
        siblings=len(runs),
        sockets=upstream.counts.sockets - before.sockets,
        first_ways=account.ways(run[0] for run in runs),
        later_ways=account.ways(turn for run in runs for turn in run[1:]),
        request_bytes=sum(turn.sent_bytes for turn in turns),
        up_bytes=upstream.counts.up_bytes - begun.up_bytes,
    )


async def _sibling(plan: Plan, running: Stack, history: Chat, number: int, key: str) -> list[Turn]:
    own = history.said(f"You are sub-agent {number}. [[rounds={plan.sibling_rounds} calls=1 reasoning=1]]")
    results = [text(plan.output_bytes, "sibling", plan.seed, number, at) for at in range(plan.sibling_rounds)]
    return await running.caller.work(own, results, Tools(plan.tool_seconds, plan.seed, number), key=key)
