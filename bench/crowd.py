"""The benchmark `crowd`: many conversations with a socket each, all of which one proxy holds and goes on with."""

import contextlib
import random
import resource
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from bench import account
from bench.askers import Askers, askers
from bench.plan import Plan
from bench.process import BenchError
from bench.resident import resident
from bench.result import Figures, Result, counted
from bench.rivals import Rival, hose, openline
from bench.shown import Show
from bench.taker import Taken
from proxy.server.descriptors import raise_limit
from proxy.telemetry.logs import duration, size

_FURTHER = 2
"""How often each is asked to go on."""
_OWN_DESCRIPTORS = 64


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy's, resident, in bytes."""

    none: int
    """Before the first conversation."""
    half: int
    all: int
    last: int
    """After the last turn."""
    per_conversation: float
    """With its socket: the slope from half of them to all, so that what is there anyway falls out."""


class Crowd(Figures, frozen=True, kw_only=True):
    """One way. Waits are for the first event, in seconds; `first_` is of the first turns, `later_` of all others."""

    conversations: int
    conversation_bytes: int
    at_once: int
    turns: int
    first_ways: dict[str, int]
    later_ways: dict[str, int]
    deltas: float
    """The share of the later turns."""
    sockets: int
    """That the upstream had at the end."""
    first_wait_p50: float
    first_wait_p99: float
    later_wait_p50: float
    later_wait_p99: float
    memory: Memory | None = None


async def crowd(plan: Plan, show: Show) -> Result:
    """Through Openline, and over plain HTTP, which needs no more sockets than turns at once."""
    _have_descriptors(plan)
    figures = [await _held(plan, show), await _plain(plan, show)]
    what = (
        f"{plan.crowd} conversations of {size(plan.crowd_bytes)} with a socket each, which all go on {_FURTHER} times,"
        f" in random order, {plan.crowd_at_once} at a time; the upstream has its answers ready"
    )
    return Result("crowd", what, figures, _cells(figures))


def _have_descriptors(plan: Plan) -> None:
    """The proxy's, which has this process's limit: one for each conversation, and one for each who asks."""
    limit, needed = raise_limit(), plan.crowd + plan.crowd_at_once + _OWN_DESCRIPTORS
    if limit != resource.RLIM_INFINITY and limit < needed:
        raise BenchError(f"crowd: {plan.crowd} sockets take {needed} open files, of which {limit} are allowed")


async def _held(plan: Plan, show: Show) -> Crowd:
    settings = {
        "POOL__MAX_CONNECTIONS": plan.crowd,
        "POOL__MAX_CONNECTIONS_PER_KEY": plan.crowd,
        "LIMITS__REQUESTS": max(256, 2 * plan.crowd_at_once),
        "LIMITS__CONNECTIONS": max(512, 2 * plan.crowd_at_once),
    }
    async with _hose() as (home, upstream), openline(settings)(home, upstream.port) as proxy:
        with show("crowd, Openline", _turns(plan)) as tick:
            async with askers(plan, proxy.port, tick) as asking:
                none = await resident(proxy.pid)
                first = await asking.turns(range(plan.crowd // 2), 0)
                half = await resident(proxy.pid)
                first += await asking.turns(range(plan.crowd // 2, plan.crowd), 0)
                every = await resident(proxy.pid)
                later = await _later(plan, asking)
                last = await resident(proxy.pid)
                sockets = _sockets(upstream)
    slope = (every - half) / (plan.crowd - plan.crowd // 2)
    memory = Memory(none=none, half=half, all=every, last=last, per_conversation=round(slope, 1))
    return msgspec.structs.replace(_figures(plan, "Openline", first, later, sockets), memory=memory)


async def _plain(plan: Plan, show: Show) -> Crowd:
    async with _hose() as (_home, upstream):
        with show("crowd, plain HTTP", _turns(plan)) as tick:
            async with askers(plan, upstream.port, tick) as asking:
                first = await asking.turns(range(plan.crowd), 0)
                later = await _later(plan, asking)
                sockets = _sockets(upstream)
    return _figures(plan, "plain HTTP", first, later, sockets)


async def _later(plan: Plan, asking: Askers) -> list[Taken]:
    """All of them go on, and all go on again, in another order."""
    dice = random.Random(plan.seed)  # noqa: S311 - repeatable, not secret
    taken: list[Taken] = []
    for after in range(1, _FURTHER + 1):
        taken += await asking.turns(dice.sample(range(plan.crowd), plan.crowd), after)
    return taken


def _turns(plan: Plan) -> int:
    return plan.crowd * (1 + _FURTHER)


@contextlib.asynccontextmanager
async def _hose() -> AsyncIterator[tuple[Path, Rival]]:
    """A folder that will go, and the hose."""
    with tempfile.TemporaryDirectory(prefix="openline-bench-") as folder:
        async with hose(Path(folder)) as upstream:
            yield Path(folder), upstream


def _sockets(upstream: Rival) -> int:
    """How many it has, but for the one that it listens on."""
    descriptors = Path(f"/proc/{upstream.pid}/fd").iterdir()
    return sum(str(descriptor.readlink()).startswith("socket:") for descriptor in descriptors) - 1


def _figures(plan: Plan, name: str, first: Sequence[Taken], later: Sequence[Taken], sockets: int) -> Crowd:
    return Crowd(
        conditions=name,
        errors=dict(Counter(_status(taken) for taken in (*first, *later) if not taken.ok)),
        conversations=plan.crowd,
        conversation_bytes=plan.crowd_bytes,
        at_once=plan.crowd_at_once,
        turns=len(first) + len(later),
        first_ways=dict(Counter(taken.route for taken in first)),
        later_ways=dict(Counter(taken.route for taken in later)),
        deltas=round(sum(taken.route == "delta" for taken in later) / len(later), 4),
        sockets=sockets,
        first_wait_p50=round(account.percentile([taken.first for taken in first], 0.5), 5),
        first_wait_p99=round(account.percentile([taken.first for taken in first], 0.99), 5),
        later_wait_p50=round(account.percentile([taken.first for taken in later], 0.5), 5),
        later_wait_p99=round(account.percentile([taken.first for taken in later], 0.99), 5),
    )


def _status(taken: Taken) -> str:
    return f"HTTP {taken.head[9:12].decode('latin-1')}"


def _cells(figures: Sequence[Crowd]) -> list[list[str]]:
    """A column for each way."""
    memory = [one.memory for one in figures]
    rows = [
        ("", [one.conditions for one in figures]),
        ("sockets upstream", [str(one.sockets) for one in figures]),
        ("later turns as deltas", [f"{one.deltas:.1%}" for one in figures]),
        ("first event, first turns, p50", [duration(one.first_wait_p50) for one in figures]),
        ("first event, first turns, p99", [duration(one.first_wait_p99) for one in figures]),
        ("first event, later turns, p50", [duration(one.later_wait_p50) for one in figures]),
        ("first event, later turns, p99", [duration(one.later_wait_p99) for one in figures]),
        ("memory at first", [size(each.none) if each else "-" for each in memory]),
        ("memory at last", [size(each.last) if each else "-" for each in memory]),
        ("  for each conversation", [size(round(each.per_conversation)) if each else "-" for each in memory]),
        ("turns", [str(one.turns) for one in figures]),
        ("errors", [counted(one.errors) for one in figures]),
    ]
    return [[name, *values] for name, values in rows]
