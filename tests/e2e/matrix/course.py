"""A case: a mishap, a caller and facts. Its course is what the recovery table says, and what follows from that."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from proxy.config import Lanes
from proxy.core.reasons import Reason, Route, Whole
from proxy.core.recovery import RULES, Action, Fact, Fault, Phase, Rule, decide
from tests.e2e.matrix.mishap import Mishap, Step
from tests.e2e.matrix.sight import CONTINUES, SIGHTS, Sight, reason

SETTABLE = (Fact.STORED, Fact.ACTS, Fact.UNSENT_ONLY, Fact.SAY_FAILED)
"""Facts that a request or a setting makes true."""

BEFORE_DIALLING = frozenset({Fault.BREAKER_OPEN, Fault.POOL_FULL, Fault.NO_DESCRIPTOR})
"""Where these fall, no socket was asked for."""


@dataclass(frozen=True)
class Taken:
    """One answer of the table."""

    step: Step
    rule: Rule

    @property
    def action(self) -> Action:
        """What it says."""
        return self.rule.action

    @property
    def replays(self) -> bool:
        """Whether the create goes out again after it may have been sent: this is counted and shown."""
        elsewhere = {Action.REPLAY_ELSEWHERE, Action.HTTP}
        return self.action is Action.REPLAY_HERE or (self.action in elsewhere and self.step.phase is not Phase.UNSENT)

    @property
    def reruns(self) -> bool:
        """Whether it goes out again after it may have run: an error that refused it says that it did not."""
        return self.replays and self.step.fault is Fault.LINE_LOST


def rule_for(fault: Fault, phase: Phase, facts: frozenset[Fact]) -> Rule:
    """The rule that decides, found without the table's own search; both must agree. Raises NoRule."""
    action = decide(fault, phase, facts)
    rule = next(r for r in RULES if r.fault is fault and phase in r.phases and not set(r.where) - facts)
    if rule.action is not action:
        raise AssertionError(f"the table's search and its order differ: {fault.name} while {phase.name}")
    return rule


def ask(steps: tuple[Step, ...], facts: frozenset[Fact]) -> tuple[Taken, ...]:
    """What the table answers to one fault after another, until the turn ends or nothing more goes wrong."""
    course: list[Taken] = []
    for step in steps:
        taken = Taken(step, rule_for(step.fault, step.phase, facts | step.facts))
        course.append(taken)
        if taken.action not in CONTINUES:
            break
        facts |= {Fact.REDIALLED} if taken.action is Action.REDIAL else set()
        facts |= {Fact.MOVED} if taken.action is Action.REPLAY_ELSEWHERE else set()
        facts |= {Fact.REPLAYED} if taken.reruns else set()
    return tuple(course)


@dataclass(frozen=True)
class Case:
    """One cell of the matrix."""

    mishap: Mishap
    stream: bool
    later: bool
    lanes: Lanes
    facts: frozenset[Fact] = frozenset()
    """The settable ones."""

    @property
    def id(self) -> str:
        """Its name in reports."""
        words = [
            self.mishap.place.value,
            self.mishap.name,
            "stream" if self.stream else "json",
            "later" if self.later else "first",
            *(["lanes"] if self.lanes == "on" else []),
            *sorted(fact.name.lower() for fact in self.facts),
        ]
        return ", ".join(words)

    @cached_property
    def course(self) -> tuple[Taken, ...]:
        """What the table says. Raises NoRule."""
        return ask(self.mishap.steps, self.facts | ({Fact.JSON} if not self.stream else set()))

    @property
    def end(self) -> Taken | None:
        """The answer of the table that ends the turn; None where it goes on to its own end."""
        last = self.course[-1] if self.course else None
        return last if last and last.action not in CONTINUES else None

    @property
    def sight(self) -> Sight | None:
        """What the caller sees of that."""
        if self.end and self.end.action is Action.SAY_FAILED and self.mishap.unbegun:
            return SIGHTS[Action.CUT]
        return SIGHTS[self.end.action] if self.end else None

    @property
    def as_http(self) -> bool:
        """Whether the caller sees what plain HTTP would have shown."""
        return self.end.action is Action.ANSWER if self.end else self.mishap.as_http

    @property
    def lasts(self) -> bool:
        """Whether later turns go over plain HTTP for the same reason."""
        return self.mishap.lasts or self.mute or bool(self.end and self.end.step.fault is Fault.NO_WEBSOCKET)

    @property
    def mute(self) -> bool:
        """Whether a new line took the turn and said nothing to it: none is dialled for a while then."""
        elsewhere = any(taken.action is Action.REPLAY_ELSEWHERE for taken in self.course)
        last = self.end.step if self.end else None
        silent = last is not None and (last.fault, last.phase) == (Fault.SILENCE, Phase.WRITTEN)
        return silent and (elsewhere or not self.begins_on_its_line)

    @property
    def completes(self) -> bool:
        """Whether the whole answer comes over a WebSocket."""
        return self.end is None and not self.as_http

    @property
    def stops(self) -> bool:
        """Whether the upstream is still at work on what nobody waits for: without lanes its socket is closed then."""
        return self.lanes == "off" and self.end is not None and self.end.step.fault is Fault.SILENCE

    @property
    def replays(self) -> int:
        """How often the outcome says that the turn was sent again."""
        return sum(taken.replays for taken in self.course)

    @property
    def begins_on_its_line(self) -> bool:
        """Whether the turn begins as a continuation of the line that its conversation has."""
        return self.later and not self.mishap.offline and self.mishap.lost is None

    @property
    def dials(self) -> int:
        """How often a socket is asked for."""
        again = {Action.REDIAL, Action.REPLAY_ELSEWHERE}
        asked = (not self.begins_on_its_line) + sum(taken.action in again for taken in self.course)
        return asked - sum(taken.step.fault in BEFORE_DIALLING for taken in self.course)

    @property
    def creates(self) -> list[str]:
        """By which transports the creates of the turn arrive at the upstream, in order."""
        arrive = ["ws" for taken in self.course if taken.step.arrives]
        if self.end is None:
            return [*arrive, "ws"]
        return [*arrive, "http"] if self.end.action is Action.HTTP and not self.mishap.unreachable else arrive

    @property
    def said(self) -> tuple[Route, Reason | None]:
        """What the route and reason headers say."""
        route: Route
        why: Reason | None
        if self.begins_on_its_line or (self.later and Fact.STORED in self.facts):
            route, why = Route.DELTA, None
        elif self.later:
            route, why = Route.FULL, self.mishap.lost or Whole.CONNECTION_LOST
        else:
            route, why = Route.FULL, Whole.FIRST
        for taken in self.course:
            new = reason(taken.step.fault, taken.action)
            if new:
                route, why = (Route.HTTP if taken.action is Action.HTTP else Route.FULL), new
        return route, why

    @property
    def next_route(self) -> Route:
        """How the turn after goes: as a delta where it can."""
        if self.lasts:
            return Route.HTTP
        if self.completes and (self.mishap.answered or not self.mishap.unverified):
            return Route.FULL if self.mishap.lines_end else Route.DELTA
        return Route.DELTA if self.later and self.parent_lives else Route.FULL

    @property
    def next_reason(self) -> Whole | None:
        """Why that turn is none, where the struck one began as a delta and used up what it continued."""
        if not (self.begins_on_its_line and self.end and self.next_route is Route.FULL):
            return None
        if self.course[0].step.fault is Fault.REJECTED:
            return Whole.REJECTED
        only = len(self.course) == 1 and self.end.action is not Action.HTTP
        return Whole.PARENT_CONTINUED if only else None

    @property
    def parent_lives(self) -> bool:
        """Whether what the turn would have continued can be continued still."""
        refused = {Fault.REJECTED, Fault.NOT_FOUND}
        outlived = self.mishap.outlived or not any(taken.step.fault in refused for taken in self.course)
        return (Fact.STORED in self.facts and outlived) or self.mishap.parent_lives


def cases(mishap: Mishap) -> Iterator[Case]:
    """The shapes of a mishap, and each fact that changes which rule decides."""
    turns = [False] * mishap.first + [True] * mishap.later
    streams = [False] * mishap.json + [True] * mishap.stream
    if mishap.shapes == "few":
        yield Case(mishap, streams[0], turns[0], mishap.lanes[0])
        yield Case(mishap, streams[-1], turns[-1], mishap.lanes[-1])
        return
    for lanes, later, stream in product(mishap.lanes, turns, streams):
        plain = Case(mishap, stream, later, lanes)
        yield plain
        rules = [taken.rule for taken in plain.course]
        for fact in SETTABLE if mishap.shapes == "all" else ():
            with_fact = Case(mishap, stream, later, lanes, frozenset({fact}))
            if fact in mishap.also or [taken.rule for taken in with_fact.course] != rules:
                yield with_fact
