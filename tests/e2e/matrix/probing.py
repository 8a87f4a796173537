"""Mishaps while a host is asked a made-up id: the turn's own create has not begun then."""

from collections.abc import Iterator
from dataclasses import replace

from proxy.config import Timeouts
from proxy.core.recovery import Fact, Fault
from proxy.simulator import Behaviour
from proxy.simulator import Fault as Strike
from proxy.simulator.faults import What
from tests.e2e.matrix.gate import CLOSE, Meddling
from tests.e2e.matrix.mishap import DETOUR, Mishap, Place, Scene, settings, unsent, written

# Else the simulator refuses the made-up id before the strike.
_LENIENT = Behaviour(lenient_ids=True)


def mishaps() -> Iterator[Mishap]:
    """Whatever ends the line: nothing ran, so the turn goes on elsewhere."""
    kinds: tuple[What, ...] = ("abort", "close", "age_limit", "garbage", "binary", "foreign_lane")
    for what in kinds:
        yield _asked(what, Strike(what))
    yield _asked("close 1009", Strike("close", close_code=1009))
    hang = _asked("hang until the time for detours is over", Strike("hang"), Fact.SPENT)
    yield replace(hang, settings=settings(timeouts=Timeouts(detour_seconds=DETOUR)), shapes="few")
    # From the answer on the turn's own create may run.
    yield replace(
        _asked("closed with the answer", None),
        steps=(written(Fault.LINE_LOST),),
        do=_close_with_the_answer,
        behaviour=Behaviour(),
        answered=True,
    )


def _asked(name: str, strike: Strike | None, *facts: Fact) -> Mishap:
    return Mishap(
        name,
        Place.PROBING,
        (unsent(Fault.LINE_LOST, *facts, arrives=True),),
        (strike,) if strike else (),
        mend=_strict,
        settings=settings(),
        behaviour=_LENIENT,
        later=False,
        lanes=("off", "on"),
        unverified=True,
    )


async def _strict(scene: Scene) -> None:
    scene.running.sim.behaviour = replace(scene.running.sim.behaviour, lenient_ids=False)


async def _close_with_the_answer(scene: Scene) -> None:
    scene.gate.meddling = Meddling(part=1.0, tail=CLOSE, then="end")
