"""The benchmark `idle`: what a conversation costs in memory while nobody speaks."""

from collections.abc import Sequence

from bench import account
from bench.attribution import Line, attributed
from bench.caller import Turn
from bench.held import Held, Kept
from bench.plan import Plan
from bench.resident import resident
from bench.result import Prompted, Result, counted
from bench.shown import Show
from bench.stack import stack
from proxy.telemetry.logs import size


class Idle(Prompted, frozen=True, kw_only=True):
    """One process that held first fewer, then more conversations. Memory is resident, in bytes."""

    store: bool
    turns: int
    """Of each conversation."""
    fewer: int
    more: int
    sockets_fewer: int
    sockets_more: int
    resident_warm: int
    """After the turns that fill what is bounded, before the first conversation."""
    resident_fewer: int
    resident_more: int
    bytes_per_conversation: float
    """The slope between the two looks: what is there anyway falls out, and so do sockets where both had as many."""
    sampled: int
    held: int
    """How many of the sampled ones were continued by a delta after all that."""
    where: list[Line]
    """The lines of code that hold most, if that was asked for."""


async def idle(plan: Plan, show: Show) -> Result:
    """Held by lanes, and by stored responses; made by one large turn, and by many."""
    ways = [Kept(store, turns, plan) for store in (False, True) for turns in (1, plan.conversation_turns)]
    return told(plan, [await measured(kept, show) for kept in ways])


def told(plan: Plan, figures: Sequence[Idle]) -> Result:
    """The figures of any number of processes, and their table."""
    fewer, more = plan.conversations
    what = (
        f"{fewer}, then {more} conversations of {size(plan.conversation_bytes)}; memory for each more of them, resident"
        f" (what is bounded was filled ahead by {plan.warm_turns} turns; sockets are as many at both looks)"
    )
    heading = ["", "turns each", "sockets", "at first", "at last", "for each", "deltas after it", "wrong", "errors"]
    rows = [
        [
            one.conditions,
            str(one.turns),
            f"{one.sockets_fewer}, {one.sockets_more}",
            size(one.resident_fewer),
            size(one.resident_more),
            f"{one.bytes_per_conversation:.0f} B",
            f"{one.held} of {one.sampled}",
            str(one.wrong_prompts),
            counted(one.errors),
        ]
        for one in figures
    ]
    return Result("idle", what, figures, [heading, *rows, *_where(figures)])


async def measured(kept: Kept, show: Show) -> Idle:
    """One process, with conversations that are kept in one way."""
    plan = kept.plan
    fewer, more = plan.conversations
    async with stack(kept.host, kept.settings) as running:
        upstream, pid = running.upstream, running.proxy.pid
        held = Held(kept, running.caller)
        with show(f"idle, {kept.name}", kept.creates) as tick:
            upstream.tick = tick
            await held.warm()
            warm = await resident(pid)
            await held.grow(fewer)
            resident_fewer, sockets_fewer = await resident(pid), await upstream.open()
            await held.grow(more)
            resident_more, sockets_more = await resident(pid), await upstream.open()
            sample = await held.sample()
    return Idle(
        conditions=kept.name,
        wrong_prompts=account.wrong(sample),
        errors=account.errors([*held.turns, *sample]),
        store=kept.store,
        turns=kept.turns,
        fewer=fewer,
        more=more,
        sockets_fewer=sockets_fewer,
        sockets_more=sockets_more,
        resident_warm=warm,
        resident_fewer=resident_fewer,
        resident_more=resident_more,
        bytes_per_conversation=round((resident_more - resident_fewer) / (more - fewer), 1),
        sampled=len(sample),
        held=_deltas(sample),
        where=await attributed(kept) if plan.attribution else [],
    )


def _deltas(turns: Sequence[Turn]) -> int:
    return sum(turn.route == "delta" for turn in turns)


def _where(figures: Sequence[Idle]) -> list[list[str]]:
    """The lines of code, below the row that they belong to."""
    return [
        [one.conditions, str(one.turns), line.place, f"{line.bytes:.0f} B", f"{line.blocks:.2f} blocks"]
        for one in figures
        for line in one.where
    ]
