"""Mishaps of a socket at rest: right after a turn's last event, and while idle."""

from collections.abc import Iterator
from dataclasses import replace

from proxy.config import Lanes, Pool, Timeouts
from proxy.core.reasons import Whole
from proxy.core.recovery import Fact, Fault
from proxy.simulator import Fault as Strike
from proxy.simulator.faults import What
from tests.e2e.matrix.gate import Meddling
from tests.e2e.matrix.mishap import DETOUR, SHORT, Do, Mishap, Place, Scene, nothing, settings, written

BOTH: tuple[Lanes, ...] = ("off", "on")
_MIB = 1_048_576


def after_the_end() -> Iterator[Mishap]:
    """What falls right after the last event spoils no answer, and the next turn is right."""
    ends: tuple[tuple[What, bool], ...] = (
        *(("abort", True), ("close", True), ("age_limit", True), ("garbage", True), ("binary", True)),
        *(("foreign_lane", True), ("stray", True), ("oversized", True), ("delay", False), ("hang", False)),
    )
    for what, gone in ends:
        strike = Strike(what, "end", size=2 * _MIB)
        mend = _gone if gone else nothing
        yield Mishap(what, Place.END, (), (strike,), mend=mend, settings=settings(), lines_end=gone, lanes=BOTH)


def idle() -> Iterator[Mishap]:
    """What falls on a socket at rest is noticed at once: the next turn goes over another one."""
    kinds: tuple[What, ...] = ("abort", "close", "garbage", "binary", "foreign_lane", "stray", "oversized")
    for what in kinds:
        known = Mishap(what, Place.IDLE, (), do=_now(what), settings=settings(), first=False, lanes=BOTH)
        yield replace(known, lost=Whole.CONNECTION_LOST)
    yield Mishap(
        "age limit",
        Place.IDLE,
        (),
        do=_now("age_limit"),
        settings=settings(),
        first=False,
        lanes=BOTH,
        lost=Whole.ROTATED,
    )
    for then in ("end", "reset"):
        do = _at_rest(Meddling(then=then))
        name = f"{then} of the TCP stream"
        yield Mishap(name, Place.IDLE, (), do=do, settings=settings(), first=False, lost=Whole.CONNECTION_LOST)


def forgotten() -> Iterator[Mishap]:
    """The host loses what it remembered."""
    not_found = (written(Fault.NOT_FOUND),)
    yield Mishap("forgotten", Place.IDLE, not_found, do=_now("forget"), settings=settings(), first=False, lanes=BOTH)


def dead_lines() -> Iterator[Mishap]:
    """A line that carries nothing any more, and says nothing of it, is found out by a ping."""
    doubtful = Pool(breaker_failures=99, doubtful_after_seconds=0.0, pong_seconds=SHORT)
    yield Mishap(
        "dead line",
        Place.IDLE,
        (written(Fault.LINE_LOST, arrives=False),),
        do=_freeze,
        settings=settings(pool=doubtful),
        first=False,
        lanes=BOTH,
    )
    yield Mishap(
        "dead line until the time for detours is over",
        Place.IDLE,
        (written(Fault.LINE_LOST, Fact.SPENT, arrives=False),),
        do=_freeze,
        settings=settings(
            pool=Pool(breaker_failures=99, doubtful_after_seconds=0.0), timeouts=Timeouts(detour_seconds=DETOUR)
        ),
        first=False,
        shapes="plain",
        lanes=BOTH,
    )


def mishaps() -> Iterator[Mishap]:
    """All of them."""
    for some in (after_the_end, idle, forgotten, dead_lines):
        yield from some()


async def _gone(scene: Scene) -> None:
    await scene.gone()


def _now(what: What) -> Do:
    async def do(scene: Scene) -> None:
        await scene.running.sim.strike(Strike(what, "now", size=2 * _MIB))
        if what != "forget":
            await scene.gone()

    return do


def _at_rest(meddling: Meddling) -> Do:
    async def do(scene: Scene) -> None:
        scene.gate.now(meddling)
        await scene.gone()

    return do


async def _freeze(scene: Scene) -> None:
    scene.gate.now(Meddling(then="freeze"))
