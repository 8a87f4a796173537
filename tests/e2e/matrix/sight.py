"""A sight: what the caller sees of an action. The one table that the matrix and docs/reliability.md share."""

from collections.abc import Mapping
from dataclasses import dataclass

from proxy.core.reasons import Plain, Reason, Whole
from proxy.core.recovery import Action, Fault
from proxy.errors import Problem
from proxy.turns.outcome import End

CONTINUES = frozenset({Action.REDIAL, Action.REPLAY_HERE, Action.REPLAY_ELSEWHERE})
"""After these the turn goes on, and the caller sees nothing yet."""


@dataclass(frozen=True)
class Sight:
    """What an action that ends the turn looks like."""

    words: str
    end: End
    """What the outcome says; an upstream's answer over plain HTTP may say otherwise."""
    problem: Problem | None = None
    """The answer that Openline makes up: its status and code."""
    status: int | None = None
    """The status where it is always the same."""
    cut: bool = False
    """Whether the body ends without its last chunk."""
    last: str | None = None
    """The last event of the stream, where that is always the same."""


SIGHTS: Mapping[Action, Sight] = {
    Action.HTTP: Sight("what plain HTTP answers", End.PASSED),
    Action.ANSWER: Sight("the upstream's own error", End.ERROR),
    Action.BAD_GATEWAY: Sight(f"502, `{Problem.LINE_LOST.value[1]}`", End.ERROR, Problem.LINE_LOST, status=502),
    Action.GATEWAY_TIMEOUT: Sight(f"504, `{Problem.SILENCE.value[1]}`", End.ERROR, Problem.SILENCE, status=504),
    Action.CUT: Sight("the stream breaks off", End.CUT, status=200, cut=True),
    Action.SAY_FAILED: Sight("the stream ends with `response.failed`", End.ERROR, status=200, last="response.failed"),
}
UNSEEN = "nothing of it"
"""What the caller sees where the turn went on and came to its end."""

# Why a turn went over plain HTTP, or in full to the same or another connection.
PLAIN: Mapping[Fault, Plain] = {
    Fault.NO_WEBSOCKET: Plain.NO_WEBSOCKET,
    Fault.UPGRADE_FORBIDDEN: Plain.UPGRADE_REFUSED,
    Fault.DIAL_FAILED: Plain.DIAL_FAILED,
    Fault.NO_DESCRIPTOR: Plain.NO_DESCRIPTOR,
    Fault.BREAKER_OPEN: Plain.BREAKER_OPEN,
    Fault.POOL_FULL: Plain.POOL_FULL,
    Fault.OVERSIZE: Plain.OVERSIZE,
    Fault.CONNECTION_LIMIT: Plain.AGE_LIMIT,
    Fault.NO_LANES: Plain.NO_LANES,
    Fault.LINE_LOST: Plain.LINE_LOST,
}
FULL: Mapping[Fault, Whole] = {
    Fault.NOT_FOUND: Whole.NOT_FOUND,
    Fault.CONNECTION_LIMIT: Whole.ROTATED,
    Fault.NO_LANES: Whole.LANES_REFUSED,
    Fault.LINE_LOST: Whole.CONNECTION_LOST,
}
REFUSED = frozenset({Fault.NOT_FOUND, Fault.CONNECTION_LIMIT, Fault.NO_LANES, Fault.REJECTED, Fault.OVERSIZE})
"""By these the upstream says that it did not run the create."""


def reason(fault: Fault, action: Action) -> Reason | None:
    """What `x-openline-reason` says after this action; None where it is not this action that decides it."""
    if action is Action.HTTP:
        return PLAIN[fault]
    return FULL[fault] if action in {Action.REPLAY_HERE, Action.REPLAY_ELSEWHERE} else None
