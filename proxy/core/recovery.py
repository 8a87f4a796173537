"""Recovery: what is done about each fault, as a table (design: "Recovery"). Tests and docs are made from it."""

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What happened."""

    NO_WEBSOCKET = "upgrade refused: 404, 405 or 426"
    UPGRADE_FORBIDDEN = "upgrade refused: 401 or 403"
    UPGRADE_REFUSED = "upgrade refused: 429"
    DIAL_FAILED = "dial failure, timeout, or another refusal of the upgrade"
    NO_DESCRIPTOR = "no file descriptor was left for a socket"
    BREAKER_OPEN = "lines came to nothing repeatedly just before"
    POOL_FULL = "no connection became free in time"
    OVERSIZE = "a frame is larger than the host takes"
    NOT_FOUND = "previous_response_not_found for our own delta"
    CONNECTION_LIMIT = "websocket_connection_limit_reached"
    NO_LANES = "the host knows no stream_id, or has no lane left"
    REJECTED = "the upstream answered the create with an error"
    LINE_LOST = "the line was lost"
    SILENCE = "the upstream said nothing for too long"
    GARBAGE = "a frame that is no event of this turn"


class Phase(StrEnum):
    """How far the turn had come."""

    UNSENT = "before the create was written"
    WRITTEN = "after the create was written, before any event"
    STREAMING = "after events"


class Fact(StrEnum):
    """What else matters."""

    JSON = "the caller wants JSON"
    STORED = "store: true"
    ACTS = "hosted tools that act"
    UNSENT_ONLY = 'replay = "unsent"'
    SAY_FAILED = 'after_loss = "failed"'
    REDIALLED = "dialled twice already"
    REPLAYED = "sent again already, though it may have run"
    MOVED = "went to another connection already"
    SPENT = "no time for detours is left"


class Action(StrEnum):
    """What is done."""

    HTTP = "plain HTTP for this turn"
    ANSWER = "the caller gets that answer"
    REDIAL = "one more dial"
    REPLAY_HERE = "full context on the same connection"
    REPLAY_ELSEWHERE = "full context on another connection"
    BAD_GATEWAY = "502"
    GATEWAY_TIMEOUT = "504"
    CUT = "the chunked body is cut"
    SAY_FAILED = "response.failed, then the end"


@dataclass(frozen=True, slots=True)
class Rule:
    """In these phases, where all of these facts hold: this action."""

    fault: Fault
    phases: tuple[Phase, ...]
    action: Action
    where: tuple[Fact, ...] = ()


_UNSENT = (Phase.UNSENT,)
_WRITTEN = (Phase.WRITTEN,)
_STREAMING = (Phase.STREAMING,)


# The first rule that fits is taken.
RULES: tuple[Rule, ...] = (
    Rule(Fault.NO_WEBSOCKET, _UNSENT, Action.HTTP),
    # Whether the key or the upgrade is what they mind, plain HTTP tells; a middlebox may refuse upgrades alone.
    Rule(Fault.UPGRADE_FORBIDDEN, _UNSENT, Action.HTTP),
    Rule(Fault.UPGRADE_REFUSED, _UNSENT, Action.ANSWER),
    Rule(Fault.DIAL_FAILED, _UNSENT, Action.HTTP, (Fact.REDIALLED,)),
    Rule(Fault.DIAL_FAILED, _UNSENT, Action.HTTP, (Fact.SPENT,)),
    Rule(Fault.DIAL_FAILED, _UNSENT, Action.REDIAL),
    # The pool has closed an idle socket meanwhile, if it had one.
    Rule(Fault.NO_DESCRIPTOR, _UNSENT, Action.HTTP, (Fact.REDIALLED,)),
    Rule(Fault.NO_DESCRIPTOR, _UNSENT, Action.HTTP, (Fact.SPENT,)),
    Rule(Fault.NO_DESCRIPTOR, _UNSENT, Action.REDIAL),
    Rule(Fault.BREAKER_OPEN, _UNSENT, Action.HTTP),
    Rule(Fault.POOL_FULL, _UNSENT, Action.HTTP),
    Rule(Fault.OVERSIZE, (Phase.UNSENT, Phase.WRITTEN), Action.HTTP),
    Rule(Fault.NOT_FOUND, _WRITTEN, Action.REPLAY_HERE),
    # An error in place of the first event answers the create: it was refused, and ran nowhere. So these may be sent
    # again where tools act, and with replay = "unsent", too, and do not count as a replay of what may have run.
    Rule(Fault.CONNECTION_LIMIT, _WRITTEN, Action.HTTP, (Fact.MOVED,)),
    Rule(Fault.CONNECTION_LIMIT, _WRITTEN, Action.REPLAY_ELSEWHERE),
    Rule(Fault.NO_LANES, _WRITTEN, Action.HTTP, (Fact.MOVED,)),
    Rule(Fault.NO_LANES, _WRITTEN, Action.REPLAY_ELSEWHERE),
    Rule(Fault.REJECTED, _WRITTEN, Action.ANSWER),
    Rule(Fault.LINE_LOST, _UNSENT, Action.HTTP, (Fact.MOVED,)),
    Rule(Fault.LINE_LOST, _UNSENT, Action.HTTP, (Fact.SPENT,)),
    Rule(Fault.LINE_LOST, _UNSENT, Action.REPLAY_ELSEWHERE),
    Rule(Fault.LINE_LOST, _WRITTEN, Action.BAD_GATEWAY, (Fact.REPLAYED,)),
    Rule(Fault.LINE_LOST, _WRITTEN, Action.BAD_GATEWAY, (Fact.ACTS,)),
    Rule(Fault.LINE_LOST, _WRITTEN, Action.BAD_GATEWAY, (Fact.UNSENT_ONLY,)),
    # A doubtful line's pong alone uses up time after the create was written.
    Rule(Fault.LINE_LOST, _WRITTEN, Action.HTTP, (Fact.SPENT,)),
    Rule(Fault.LINE_LOST, _WRITTEN, Action.REPLAY_ELSEWHERE),
    Rule(Fault.LINE_LOST, _STREAMING, Action.BAD_GATEWAY, (Fact.JSON, Fact.REPLAYED)),
    Rule(Fault.LINE_LOST, _STREAMING, Action.BAD_GATEWAY, (Fact.JSON, Fact.ACTS)),
    Rule(Fault.LINE_LOST, _STREAMING, Action.BAD_GATEWAY, (Fact.JSON, Fact.STORED)),
    Rule(Fault.LINE_LOST, _STREAMING, Action.BAD_GATEWAY, (Fact.JSON, Fact.UNSENT_ONLY)),
    Rule(Fault.LINE_LOST, _STREAMING, Action.REPLAY_ELSEWHERE, (Fact.JSON,)),
    Rule(Fault.LINE_LOST, _STREAMING, Action.SAY_FAILED, (Fact.SAY_FAILED,)),
    Rule(Fault.LINE_LOST, _STREAMING, Action.CUT),
    Rule(Fault.SILENCE, _WRITTEN, Action.GATEWAY_TIMEOUT),
    Rule(Fault.SILENCE, _STREAMING, Action.GATEWAY_TIMEOUT, (Fact.JSON,)),
    Rule(Fault.SILENCE, _STREAMING, Action.SAY_FAILED, (Fact.SAY_FAILED,)),
    Rule(Fault.SILENCE, _STREAMING, Action.CUT),
    Rule(Fault.GARBAGE, _WRITTEN, Action.BAD_GATEWAY),
    Rule(Fault.GARBAGE, _STREAMING, Action.BAD_GATEWAY, (Fact.JSON,)),
    Rule(Fault.GARBAGE, _STREAMING, Action.SAY_FAILED, (Fact.SAY_FAILED,)),
    Rule(Fault.GARBAGE, _STREAMING, Action.CUT),
)


class NoRule(LookupError):
    """A fault in a phase where it cannot fall: the code that raised it is wrong."""


def decide(fault: Fault, phase: Phase, facts: Set[Fact]) -> Action:
    """The action for a fault. Raises NoRule where the table has none."""
    for rule in RULES:
        if rule.fault is fault and phase in rule.phases and facts >= set(rule.where):
            return rule.action
    raise NoRule(f"{fault.name} while {phase.name}")
