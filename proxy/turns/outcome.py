"""An outcome: the one record of how a turn went. It holds counts and names, never what was said."""

from dataclasses import dataclass, field
from enum import StrEnum

from proxy.core.reasons import Reason, Route


class End(StrEnum):
    """How a turn ended."""

    COMPLETED = "completed"
    SHORT = "ended_short"  # response.failed or response.incomplete
    ERROR = "error"
    CUT = "cut"
    HUNG_UP = "hung_up"
    PASSED = "passed"


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
    run: str | None = None
    """Which `openline exec` it belongs to."""
    ended_at: float = 0.0
    """When it was over: seconds since 1970."""
