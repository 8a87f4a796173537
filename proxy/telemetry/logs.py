"""Log lines: one a turn, for a person at a terminal."""

from proxy.core.reasons import Route
from proxy.turns.outcome import End, Outcome


def turn_line(outcome: Outcome) -> str:
    """Route, reason, sizes and times of one turn; for what passed through, its method and path."""
    parts = [outcome.route.value if outcome.route is not Route.PASSTHROUGH else "pass", str(outcome.status or "-")]
    if outcome.route is Route.PASSTHROUGH:
        parts.append(f"{outcome.method} {_printable(outcome.path)}")
    if outcome.reason:
        parts.append(outcome.reason.value)
    if outcome.request_bytes:
        parts.append(f"{size(outcome.request_bytes)} in, {size(outcome.sent_bytes)} sent")
    if outcome.first_event_seconds is not None:
        parts.append(f"first event {milliseconds(outcome.first_event_seconds)}")
    parts.append(f"total {milliseconds(outcome.total_seconds)}")
    if outcome.input_tokens:
        parts.append(f"{outcome.input_tokens} tokens in ({outcome.cached_tokens} cached), {outcome.output_tokens} out")
    if outcome.end not in (End.COMPLETED, End.PASSED):
        parts.append(outcome.end.value)
    if outcome.replays:
        parts.append(f"{outcome.replays} replayed")
    if outcome.context_suspect:
        parts.append("CONTEXT SUSPECT: the host may have lost this conversation; no more deltas go to it")
    return "  ".join([f"{parts[0]:<5}", *parts[1:], *(f"[{fault}]" for fault in outcome.faults)])


def size(count: int) -> str:
    """Bytes for a reader."""
    if count < 1_000:
        return f"{count} B"
    return f"{count / 1_000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def milliseconds(seconds: float) -> str:
    """A duration for a reader."""
    return f"{seconds * 1_000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def _printable(path: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in path[:80])
