"""Mishaps on a line that another conversation shares: it is in mid-answer there, and must not be mixed up."""

from collections.abc import Iterator
from dataclasses import replace

from proxy.config import Timeouts
from proxy.core.recovery import Fault
from proxy.simulator import Behaviour
from proxy.simulator import Fault as Strike
from proxy.simulator.faults import What, Where
from tests.e2e.matrix.mishap import SHORT, Do, Mishap, Place, Scene, Step, settings, streaming, written
from tests.e2e.stack import begun, chat

_MIB = 1_048_576


def mishaps() -> Iterator[Mishap]:
    """What ends the line ends both turns; what is about one lane is about one turn."""
    kinds: tuple[What, ...] = ("abort", "close", "age_limit", "garbage", "binary", "foreign_lane", "stray", "oversized")
    wheres: tuple[Where, ...] = ("start", "events")
    for where in wheres:
        step = (written if where == "start" else streaming)(Fault.LINE_LOST)
        for what in kinds:
            known = _beside(what, step, Strike(what, where, 4, size=2 * _MIB))
            yield replace(known, shapes="all" if what in {"abort", "garbage"} else "plain")
        yield _beside("close 1009", step, Strike("close", where, 4, close_code=1009))
    nameless = _beside("an error of no lane", written(Fault.LINE_LOST), Strike("error"))
    yield replace(nameless, behaviour=Behaviour(error_omits=frozenset({"stream_id"})))
    yield _beside("an error", written(Fault.REJECTED), Strike("error", status=429, code="no_way"), spared=True)
    yield _beside("forgotten", written(Fault.NOT_FOUND), Strike("forget"), spared=True)
    hang = _beside("hang", written(Fault.SILENCE), Strike("hang"), spared=True)
    yield replace(hang, settings=settings(timeouts=Timeouts(first_event_seconds=SHORT)))


def _beside(name: str, step: Step, strike: Strike, *, spared: bool = False) -> Mishap:
    at = " after 4" if strike.where == "events" else ""
    return Mishap(
        f"{name}{at}",
        Place.SHARED,
        (step,),
        do=_share(strike),
        mend=_spared if spared else _cut,
        spoken=strike,
        settings=settings(),
        first=False,
        lanes=("on",),
        shapes="plain",
    )


def _share(strike: Strike) -> Do:
    async def do(scene: Scene) -> None:
        """Another conversation is in mid-answer on the same line; then the strike is for the turn."""
        running = scene.running
        scene.other = await begun(running, chat("Another. [[rounds=3]]", stream=True))
        running.sim.faults.add(Strike("hang", "events", 3))
        scene.beside = scene.tasks.start(running.ask(scene.other.body), "another caller")
        await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
        assert len({entry.connection for entry in running.creates()}) == 1
        running.sim.faults.add(strike)

    return do


async def _cut(scene: Scene) -> None:
    """The line took the other turn with it."""
    assert scene.beside
    reply = await scene.beside
    assert (reply.status, reply.types[0]) == (200, "response.created")
    assert reply.cut or reply.types[-1] == "response.failed"


async def _spared(scene: Scene) -> None:
    """The other turn goes on as if nothing had been."""
    assert scene.beside
    assert scene.other
    scene.running.sim.faults.release()
    reply = await scene.beside
    assert (reply.status, reply.route, reply.cut) == (200, "delta", False)
    direct = await scene.running.ask(scene.other.body, base=scene.running.direct)
    assert reply.output == direct.output
