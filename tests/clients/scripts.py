"""Scripts: what every client is put through, as data. `[[…]]` in a prompt tells the simulator what its model does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

LOOP = "[[rounds=6 calls=2 reasoning=1 phase=1]]"
BRIEF = "[[rounds=1 calls=1]]"
LONG = "[[rounds=0 reasoning=0 size=400]]"
MANY = 8


@dataclass(frozen=True)
class Say:
    """The user says this, one prompt for each conversation, all at once."""

    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Break:
    """A fault of the simulator waits for the next request that it fits (docs/simulator.md has the fields)."""

    fault: Mapping[str, object]


@dataclass(frozen=True)
class Mend:
    """Faults that still wait are forgotten."""


@dataclass(frozen=True)
class Drop:
    """The simulator's WebSockets are reset."""


@dataclass(frozen=True)
class Restart:
    """The client's process ends, and another goes on from what it left."""


@dataclass(frozen=True)
class Kill:
    """The user says this; the client is killed when the `count`-th fault has struck, and another is started."""

    prompts: tuple[str, ...]
    count: int = 1


Step: TypeAlias = Say | Break | Mend | Drop | Restart | Kill


@dataclass(frozen=True)
class Script:
    """`healthy`: nothing goes wrong, so the client has no reason to make another request than over plain HTTP.

    `counts`: its continuations count for the share of deltas. `struck`: which prompt a fault falls on, from 0.
    `brief`: every mode goes through it. `skim`: CI puts most clients through it; `glimpse`: every one.
    `reports`: what the client does about the fault is a finding, not a promise. `simulate` are flags of the simulator,
    `environ` settings of the proxy.
    """

    name: str
    title: str
    steps: Sequence[Step]
    healthy: bool = True
    counts: bool = False
    brief: bool = False
    skim: bool = False
    glimpse: bool = False
    struck: int | None = None
    reports: bool = False
    simulate: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def conversations(self) -> int:
        """How many at once."""
        return max(len(step.prompts) for step in self.steps if isinstance(step, Say))


def _fault(what: str, where: str, **more: object) -> Break:
    return Break({"what": what, "where": where, **more})


_FIRST = Say((f"What is this? {BRIEF}",))
_LATER = Say((f"And what is that? {BRIEF}",))
_LAST = Say((f"Sum it up. {LONG}",))
# Three deltas of text have come when it strikes: created, in_progress, item, part, then text.
_CUT = _fault("abort", "events", after=7)
_LIMITED = {
    "status": 429,
    "code": "rate_limit_exceeded",
    "message": "Rate limit reached.",
    "headers": {"retry-after": "1"},
}

SCRIPTS: tuple[Script, ...] = (
    Script(
        "loop",
        "six tool rounds, parallel calls, reasoning",
        (Say((f"Look it all up. {LOOP}",)),),
        counts=True,
        brief=True,
        skim=True,
    ),
    Script(
        "chat",
        "a second and a third user turn",
        (_FIRST, _LATER, _LAST),
        counts=True,
        brief=True,
        skim=True,
        glimpse=True,
    ),
    Script(
        "resume",
        "a resume in a new process",
        (_FIRST, Restart(), _LATER, Restart(), _LAST),
        counts=True,
    ),
    Script(
        "eight",
        "eight conversations at once",
        tuple(Say(tuple(f"I am agent {n}; {word}. {BRIEF}" for n in range(MANY))) for word in ("begin", "go on")),
        counts=True,
    ),
    Script("lost", "the sockets lost between turns", (_FIRST, Drop(), _LATER, _LAST), skim=True),
    Script(
        "plain",
        "an upstream without WebSocket mode",
        (_FIRST, _LATER),
        simulate=("--no-websocket",),
    ),
    Script(
        "limited",
        "429 with Retry-After",
        (_FIRST, _fault("error", "start", **_LIMITED), _LATER, _LAST),
        healthy=False,
        struck=1,
        brief=True,
    ),
    Script(
        "error",
        "500, again and again",
        (_FIRST, _fault("error", "start", times=99), _LATER, Mend(), _LAST),
        healthy=False,
        struck=1,
    ),
    Script(
        "cut",
        "the line cut in mid-answer",
        (_FIRST, _CUT, _LAST, Mend(), _LATER),
        healthy=False,
        struck=1,
        brief=True,
        skim=True,
    ),
    Script(
        "cut-failed",
        'the line cut in mid-answer, after_loss = "failed"',
        (_FIRST, _CUT, _LAST, Mend(), _LATER),
        healthy=False,
        struck=1,
        reports=True,
        environ={"OPENLINE_AFTER_LOSS": "failed"},
    ),
    Script(
        "killed",
        "the client killed in mid-answer and started again",
        (_FIRST, _fault("hang", "events", after=7), Kill(_LAST.prompts), _LAST, _LATER),
        healthy=False,
    ),
)
BY_NAME: Mapping[str, Script] = {script.name: script for script in SCRIPTS}
