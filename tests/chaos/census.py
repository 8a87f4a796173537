"""A census: what a proxy still holds for turns, and what the process has open."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.server.app import Openline
from proxy.turns.turn import Turn
from proxy.upstream.connection import Connection
from proxy.upstream.drain import Drain
from proxy.upstream.lease import Lease
from proxy.upstream.pool import Pool

_LIMIT = 20.0
_OF_A_TURN = (Turn, Lease, Drain)


@dataclass(frozen=True)
class Held:
    """What the proxy holds on behalf of turns. All nought when none runs."""

    running: int
    leases: int
    in_flight: int
    drains: int
    waiting: int
    coming: int


@dataclass(frozen=True)
class Process:
    """What this process has open. What it began with is what it ends with."""

    descriptors: int
    tasks: frozenset[str]


NOTHING = Held(0, 0, 0, 0, 0, 0)


def pool_of(app: Openline) -> Pool:
    """The proxy's pool."""
    assert app._engine is not None
    return app._engine.pool


def connections(app: Openline) -> list[Connection]:
    """Its open connections."""
    return list(pool_of(app)._numbered.values())


def held(app: Openline) -> Held:
    """Count."""
    pool, lines = pool_of(app), connections(app)
    return Held(
        running=app.running,
        leases=sum(len(line._leases) for line in lines),
        in_flight=sum(line.lanes.in_flight for line in lines),
        drains=sum(len(line._drains) for line in lines),
        waiting=len(pool._waiting),
        coming=pool._coming.total(),
    )


def check_maps(app: Openline, keys: int, most_heads: int) -> None:
    """Nothing that is kept for later grows beyond its bound, and nothing dead is kept."""
    pool, lines = pool_of(app), connections(app)
    assert sorted(map(id, lines)) == sorted(id(line) for group in pool._connections.values() for line in group)
    assert all(pool._connections.values()), "a key without connections is remembered"
    assert not pool._coming, pool._coming
    assert len(pool._breakers) <= keys
    assert app._engine is not None
    assert len(app._engine.memory._heads) <= most_heads
    numbers = set(pool._numbered)
    for group in app._engine.memory._heads._heads.values():
        for head in group:
            assert head.stored or head.place.connection in numbers, f"a head outlived its connection: {head.place}"
    tasks = len(pool._tasks)
    assert tasks <= len(lines), f"{tasks} tasks for {len(lines)} connections"


def process() -> Process:
    """Count."""
    names = frozenset(task.get_name() for task in asyncio.all_tasks() if not task.done())
    return Process(sum(1 for _ in Path("/dev/fd").iterdir()), names)


def of_turns() -> int:
    """How many objects of a single turn's life are alive anywhere in the process, dead cycles not included."""
    return _alive(_OF_A_TURN)


def _alive(kinds: tuple[type, ...]) -> int:
    gc.collect()
    return sum(isinstance(one, kinds) for one in gc.get_objects())


async def until(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    """Let the loop run until `condition()` holds; at the limit, fail and say `what()` there is."""
    try:
        async with asyncio.timeout(_LIMIT):
            while not condition():  # noqa: ASYNC110 - only yields to the loop: what is waited for has no event of its own
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"left over: {what()}") from None


async def quiet(app: Openline) -> None:
    """Wait until the proxy holds nothing for any turn."""
    await until(lambda: held(app) == NOTHING, lambda: held(app))


async def nothing_left(before: Process) -> None:
    """The process is as it was before: its tasks, its descriptors, and no connection or turn is alive."""
    await until(lambda: process() == before, process)
    assert _alive((*_OF_A_TURN, Connection)) == 0
