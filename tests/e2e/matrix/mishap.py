"""A mishap: one thing that goes wrong at one place, and which fault in which phase that is."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

import msgspec

from proxy.config import Lanes, Pool, Settings, Timeouts, Upstream
from proxy.core.reasons import Whole
from proxy.core.recovery import Fact, Fault, Phase
from proxy.simulator import Behaviour
from proxy.simulator import Fault as Strike
from proxy.tasks import Tasks
from tests.e2e.matrix.gate import Gate
from tests.e2e.matrix.scarcity import Scarcity
from tests.e2e.stack import Chat, Reply, Stack
from tests.upstream.peer import until

Shapes = Literal["all", "plain", "few"]
"""Of a mishap: with each fact that matters; without; or, where it is but a variant, two shapes that differ in all."""
_SETTINGS = Settings()
_BEHAVIOUR = Behaviour()
LONG = "words " * 1_500
"""More than `FRAME_LIMIT`, where a mishap sets that."""
FRAME_LIMIT = 8_000
# Short, and long enough for a loaded machine to do what it is to do within them.
SHORT = 0.25
DIAL = 0.4
DETOUR = 0.6


class Place(Enum):
    """Where it falls."""

    DIALLING = "dialling"
    PROBING = "asking a made-up id"
    START = "before the first event"
    EVENTS = "between events"
    TERMINAL = "at the terminal event"
    END = "right after it"
    IDLE = "while idle"
    SHARED = "on a shared line"
    TWICE = "two faults in one turn"


@dataclass(frozen=True)
class Step:
    """What the table is asked. `arrives`: whether the create had reached the upstream by then."""

    fault: Fault
    phase: Phase
    arrives: bool
    facts: frozenset[Fact] = frozenset()
    """Facts that the mishap itself makes true."""

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.fault.name} while {self.phase.name}"


def unsent(fault: Fault, *facts: Fact, arrives: bool = False) -> Step:
    """A fault before the create was written."""
    return Step(fault, Phase.UNSENT, arrives, frozenset(facts))


def written(fault: Fault, *facts: Fact, arrives: bool = True) -> Step:
    """A fault after that, before any event."""
    return Step(fault, Phase.WRITTEN, arrives, frozenset(facts))


def streaming(fault: Fault, *facts: Fact) -> Step:
    """A fault after events."""
    return Step(fault, Phase.STREAMING, arrives=True, facts=frozenset(facts))


@dataclass
class Scene:
    """What a mishap can lay hands on."""

    running: Stack
    gate: Gate
    talk: Chat
    unseen_dials: int = 0
    """Sockets that the turn asks for, and of which the simulator learns nothing."""
    other: Chat | None = None
    """Another conversation on the same line."""
    beside: "asyncio.Task[Reply] | None" = None
    """Its turn, in mid-answer."""
    scarcity: Scarcity = field(default_factory=Scarcity)
    tasks: Tasks = field(default_factory=Tasks)

    async def gone(self) -> None:
        """Wait until the proxy has noticed that its sockets are gone."""
        await self.running.sim.until(lambda: not self.running.sim.connections)
        await until(lambda: not self._open)

    @property
    def _open(self) -> int:
        sockets = self.running.app.status().pool.sockets
        return sockets.idle + sockets.busy + sockets.retiring

    def as_usual(self) -> None:
        """Nothing more is to go wrong."""
        self.scarcity.end()
        self.gate.doorkeepers.clear()
        self.gate.greetings.clear()
        self.gate.meddling = None
        self.running.sim.faults.clear()


Do = Callable[[Scene], Awaitable[None]]


async def nothing(_scene: Scene) -> None:
    """The strikes are all."""


@dataclass(frozen=True)
class Mishap:
    """`strikes` and `do` bring it about just before the turn; `mend` ends it after the turn.

    Where the course of `steps` comes to no end in the table, the turn comes to its own.
    """

    name: str
    place: Place
    steps: tuple[Step, ...] = ()
    strikes: tuple[Strike, ...] = ()
    do: Do = nothing
    mend: Do = nothing
    settings: Settings = _SETTINGS
    behaviour: Behaviour = _BEHAVIOUR
    first: bool = True
    """Whether it can fall on the first turn of a conversation."""
    later: bool = True
    """Whether it can fall on a continuation."""
    lanes: tuple[Lanes, ...] = ("off",)
    shapes: Shapes = "all"
    also: tuple[Fact, ...] = ()
    """Facts that decide nothing here by the table, but for the turn after."""
    json: bool = True
    stream: bool = True
    offline: bool = False
    """Before the turn its connection is lost, so that a continuation has to dial as well."""
    lost: Whole | None = None
    """What befell the connection before the turn, where that is part of the mishap."""
    lines_end: bool = False
    """Whether the line that the answer came by is gone afterwards."""
    lasts: bool = False
    """Whether later turns go over plain HTTP for the same reason."""
    as_http: bool = False
    """The turn ends as the upstream says, in words that plain HTTP has too."""
    unbegun: bool = False
    """No event of the response's own is known: how it began cannot be told, so it cannot be said to have failed."""
    vague: bool = False
    """The host's shape of errors says less than plain HTTP does."""
    spoken: Strike | None = None
    """What strikes plain HTTP to the same effect, where it is not the last of the strikes."""
    unverified: bool = False
    """The host is asked a made-up id first."""
    answered: bool = False
    """The host refuses it, so that it is known to verify ids from then on."""
    unreachable: bool = False
    """Plain HTTP does not get through either."""
    outlived: bool = False
    """Whether a stored response can still be continued behind it, refusal though it is."""
    parent_lives: bool = False
    """The create was not even begun: what it would have continued can still be continued."""
    tls: bool = False
    long: bool = False
    """The new input is larger than `FRAME_LIMIT`."""

    def configured(self, lanes: Lanes, facts: frozenset[Fact]) -> Settings:
        """The settings of its stack."""
        changed = msgspec.structs.replace(
            self.settings.upstream, lanes=lanes, verifies_ids="auto" if self.unverified else "yes"
        )
        return msgspec.structs.replace(
            self.settings,
            upstream=changed,
            replay="unsent" if Fact.UNSENT_ONLY in facts else "always",
            after_loss="failed" if Fact.SAY_FAILED in facts else "cut",
        )


def settings(
    *, upstream: Upstream | None = None, pool: Pool | None = None, timeouts: Timeouts | None = None
) -> Settings:
    """Settings whose breaker, unless it is set, stays out of the way."""
    return Settings(
        upstream=upstream or Upstream(),
        pool=pool or Pool(breaker_failures=99),
        timeouts=timeouts or Timeouts(),
    )
