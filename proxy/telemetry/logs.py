"""Log lines: one a turn, for a person at a terminal."""

from proxy.core.reasons import Route
from proxy.turns.outcome import End, Outcome, Would

_LONGEST_PATH = 80
_NO_REQUEST = "-"
_LONGEST_FAULT = 160
# Ends that are worth a word.
_ENDS = {End.SHORT: "ended short", End.ERROR: "error", End.CUT: "cut", End.HUNG_UP: "caller hung up"}
_SUSPECT = "CONTEXT SUSPECT: the host may have lost this conversation; no more deltas go to it"


def turn_line(outcome: Outcome) -> str:
    """Route, status and reason in columns, then sizes, times and tokens; for what passed through, method and path."""
    passed = outcome.route is Route.PASSTHROUGH
    asked = outcome.method != _NO_REQUEST
    route = ("pass" if asked else "-") if passed else outcome.route.value
    reason = outcome.reason.value if outcome.reason else ""
    parts = [f"{route:<5}", f"{outcome.status or '-':>3}", f"{reason:<16}"]
    if passed:
        what = f"{printable(outcome.method, 16)} {printable(outcome.path, _LONGEST_PATH)}"
        parts.append(what if asked else "no HTTP request")
    elif outcome.request_bytes:
        parts.append(f"sent {size(outcome.sent_bytes)} of {size(outcome.request_bytes)}")
    if outcome.would:
        parts.append(_would(outcome.would))
    parts.append(_times(outcome))
    if outcome.input_tokens:
        parts.append(_tokens(outcome))
    if outcome.end in _ENDS:
        parts.append(_ENDS[outcome.end])
    if outcome.replays:
        parts.append(f"{outcome.replays} replayed")
    parts += (f"[{printable(fault, _LONGEST_FAULT)}]" for fault in outcome.faults)
    if outcome.context_suspect:
        parts.append(_SUSPECT)
    return "  ".join(parts)


def _would(would: Would) -> str:
    reason = f" ({would.reason.value})" if would.reason else ""
    return f"would be {would.route.value}{reason}, {size(would.sent_bytes)}"


def _times(outcome: Outcome) -> str:
    total = f"total {duration(outcome.total_seconds)}"
    if outcome.first_event_seconds is None:
        return total
    return f"first event {duration(outcome.first_event_seconds)}, {total}"


def _tokens(outcome: Outcome) -> str:
    taken = f"{outcome.input_tokens:,} tokens in ({outcome.cached_tokens:,} cached), {outcome.output_tokens:,} out"
    return f"{taken} ({outcome.reasoning_tokens:,} reasoning)" if outcome.reasoning_tokens else taken


def size(count: int) -> str:
    """Bytes for a reader."""
    if count < 1_000:
        return f"{count} B"
    return f"{count / 1_000:.1f} kB" if count < 999_950 else f"{count / 1_000_000:.1f} MB"


def duration(seconds: float) -> str:
    """A duration for a reader: three digits that matter."""
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"


def printable(text: str, longest: int) -> str:
    """`text` on one line, without what a terminal would obey, and no longer than `longest` characters."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(char if char.isprintable() else "?" for char in cut)
