"""Mishaps of two faults in one turn: each that lets the turn go on, then each that can fall on what it goes on with."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from proxy.config import Lanes, Timeouts
from proxy.core.recovery import Action, Fact, Fault
from proxy.simulator import Fault as Strike
from tests.e2e.matrix.course import ask
from tests.e2e.matrix.gate import CLOSE, Doorkeeper, accepting
from tests.e2e.matrix.mishap import SHORT, Do, Mishap, Place, Scene, Step, settings, streaming, unsent, written

_QUICK = settings(timeouts=Timeouts(first_event_seconds=SHORT, silence_seconds=SHORT))
_NOT_NOW = {"retry-after": "7"}


@dataclass(frozen=True)
class Blow:
    """One of the two."""

    name: str
    steps: tuple[Step, ...]
    strikes: tuple[Strike, ...] = ()
    lanes: Lanes = "off"
    closes: bool = False
    """The line ends with the upgrade."""
    spoken: Strike | None = None
    streams: bool = True
    """Whether the first of two can fall where the caller wants a stream."""


_USED_UP = Strike("error", "start", status=400, code="websocket_stream_limit_reached", message="Too many streams.")
_REFUSED = Strike("error", "start", status=503, code="no_way", message="Not now.", headers=_NOT_NOW)
_NO = Strike("refuse", "upgrade", status=429, code="no_way", message="Not now.", headers=_NOT_NOW)
_NO_HTTP = Strike("error", "start", status=429, code="no_way", message="Not now.", headers=_NOT_NOW, transport="http")

DIALS = (
    Blow("a refused dial", (unsent(Fault.DIAL_FAILED),), (Strike("refuse", "upgrade"),)),
    Blow("a line closed with the upgrade", (unsent(Fault.LINE_LOST),), closes=True),
)
CREATES = (
    Blow("a lost line", (written(Fault.LINE_LOST),), (Strike("abort"),)),
    Blow("the age limit", (written(Fault.CONNECTION_LIMIT),), (Strike("age_limit"),)),
    Blow("no lane left", (written(Fault.NO_LANES),), (_USED_UP,), lanes="on"),
    Blow("a line lost in mid-stream", (streaming(Fault.LINE_LOST),), (Strike("abort", "events", 4),), streams=False),
)
FORGOTTEN = Blow("a forgotten response", (written(Fault.NOT_FOUND),), (Strike("forget"),))
ENDS = (
    Blow("an error", (written(Fault.REJECTED),), (_REFUSED,)),
    Blow("silence", (written(Fault.SILENCE),), (Strike("hang"),)),
    Blow("silence in mid-stream", (streaming(Fault.SILENCE),), (Strike("hang", "events", 4),)),
    Blow("garbage", (written(Fault.GARBAGE),), (Strike("garbage"),)),
    Blow("garbage in mid-stream", (streaming(Fault.GARBAGE),), (Strike("garbage", "events", 4),)),
    Blow("a frame too large", (written(Fault.OVERSIZE),), (Strike("close", close_code=1009),)),
)
REDIALS = (
    *DIALS,
    Blow("two refused dials", (unsent(Fault.DIAL_FAILED),) * 2, (Strike("refuse", "upgrade", times=2),)),
    Blow("no WebSocket mode", (unsent(Fault.NO_WEBSOCKET),), (Strike("refuse", "upgrade", status=404),)),
    Blow("a forbidden upgrade", (unsent(Fault.UPGRADE_FORBIDDEN),), (Strike("refuse", "upgrade", status=403),)),
    Blow("a refused upgrade", (unsent(Fault.UPGRADE_REFUSED),), (_NO,), spoken=_NO_HTTP),
)


def mishaps() -> Iterator[Mishap]:
    """Every pair of which the table lets the second follow the first."""
    for first in (*DIALS, *CREATES, FORGOTTEN):
        action = ask(first.steps, frozenset() if first.streams else frozenset({Fact.JSON}))[-1].action
        on_a_new_line = action in {Action.REDIAL, Action.REPLAY_ELSEWHERE}
        for second in (*CREATES, *ENDS, *(REDIALS if on_a_new_line else ())):
            yield _both(first, second)


def _both(first: Blow, second: Blow) -> Mishap:
    quick = any(step.fault is Fault.SILENCE for step in second.steps)
    mishap = Mishap(
        f"{first.name}, then {second.name}",
        Place.TWICE,
        (*first.steps, *second.steps),
        (*first.strikes, *second.strikes),
        shapes="plain",
        settings=_QUICK if quick else settings(),
        first=False,
        stream=first.streams,
        lanes=("on",) if "on" in {first.lanes, second.lanes} else ("off",),
        offline=first in DIALS,
        spoken=second.spoken,
    )
    return replace(mishap, do=_at_the_door(first, second))


def _at_the_door(*blows: Blow) -> Do:
    """Upgrades that the simulator is to refuse pass; the others that fail lead to a line that ends at once."""
    doors: list[Doorkeeper | None] = []
    for blow in blows:
        doors += [None] * sum(strike.times for strike in blow.strikes if strike.where == "upgrade")
        doors += [accepting(CLOSE)] * blow.closes

    async def do(scene: Scene) -> None:
        scene.gate.doorkeepers.extend(doors)

    return do
