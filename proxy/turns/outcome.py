"""An outcome: the one record of how a turn went. It holds counts and names, never what was said."""

from dataclasses import dataclass, field
from enum import StrEnum

from proxy.core.explanation import Explanation
from proxy.core.reasons import Reason, Route


class End(StrEnum):
    """How a turn ended."""

    COMPLETED = "completed"
    SHORT = "ended_short"  # response.failed or response.incomplete
    ERROR = "error"
    CUT = "cut"
    HUNG_UP = "hung_up"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Would:
    """How a turn that went over plain HTTP would have gone in mode `on`."""

    route: Route
    reason: Reason | None
    sent_bytes: int
    """The size of what would have been sent: the frame, or the body where that would have gone over plain HTTP too."""


@dataclass(slots=True)
class Outcome:
    """Filled in while the turn runs; frozen in practice once it is reported. Times in seconds, sizes in bytes."""

    id: str
    route: Route
    reason: Reason | None = None
    method: str = "POST"
    path: str = "/v1/responses"
    status: int = 0
    end: End = End.HUNG_UP
    """Until the turn's end is known: a caller may go at any time."""
    request_bytes: int = 0
    sent_bytes: int = 0
    first_event_seconds: float | None = None
    total_seconds: float = 0.0
    replays: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    context_suspect: bool = False
    faults: list[str] = field(default_factory=list)
    """What went wrong on the way, each in one line; nothing private."""
    why: Explanation | None = None
    """What the reason was in this case; None where it says all there is to say."""
    would: Would | None = None
    """In mode `observe`, how it would have gone."""
    run: str | None = None
    """Which `openline exec` it belongs to."""
    ended_at: float = 0.0
    """When it was over: seconds since 1970."""
