"""A sentence: what a summary comes to, in one line for a person, and why nothing was gained where nothing was."""

from collections.abc import Iterator, Mapping

import msgspec

from proxy.core.reasons import Passed, Plain, Reason, Route, Whole
from proxy.telemetry.logs import duration, printable, size
from proxy.telemetry.summary import Summary, Way

SILENT = "it may not read OPENAI_BASE_URL: docs/clients.md"
"""Why an agent may have made no call."""
# So many of each are compared at least; what fewer took says nothing.
_COMPARED = 3
_NAMED = 3
_LONGEST_PATH = 60
ADVICE: Mapping[Reason, str] = {
    Passed.QUERY: "the agent adds a query string that Openline does not know",
    Passed.OWN_STATE: "the agent continues by previous_response_id, conversation or prompt itself",
    Passed.BACKGROUND: "background: true does not exist on a WebSocket",
    Passed.ODD_BODY: "the bodies are no creates that Openline can read without doubt",
    Passed.SOCKET_FIELDS: "the bodies hold fields that mean something else on a WebSocket",
    Whole.FIRST: "no conversation had a second turn, so there was nothing to continue",
    Whole.NO_MATCH: "the agent sent the answers back changed, or changed a setting: docs/clients.md says which clients"
    " do so, and where --match relaxed helps",
    Whole.HOST_UNVERIFIED: "the host did not refuse a made-up response id, so it may lose context unseen; if you know"
    ' that it does refuse, set upstream.verifies_ids = "yes"',
    Whole.CONTEXT_SUSPECT: "the host counted far fewer tokens than it was to remember, so it gets no more deltas",
    Whole.FORCED: "x-openline-mode: full asked for it",
    Whole.HOSTED_TOOLS: "the upstream ran tools of its own, behind which only --match relaxed continues",
    Whole.COMPACTION: "the history was compacted each time",
    Whole.TRUNCATION: "truncation: auto lets the upstream drop items",
    Whole.UNFINISHED: "the answers before failed, were incomplete or were abandoned",
    Whole.UNCLEAR_OUTPUT: "the answers before were not seen whole, or ended otherwise than they were streamed",
    Whole.PARENT_CONTINUED: "other turns had already continued from there: forks, undos or retries",
    Whole.CONNECTION_LOST: "the connections were lost between the turns; `openline doctor` looks at the way",
    Whole.ROTATED: "the connections neared the host's age limit between the turns",
    Whole.EVICTED: "there were too many conversations at once: raise pool.max_connections",
    Whole.REJECTED: "the turns before were answered with errors",
    Whole.NOT_FOUND: "the upstream had forgotten the responses",
    Whole.LANES_REFUSED: 'the host took no lanes: set upstream.lanes = "off"',
    Plain.MODE_OFF: 'everything goes over plain HTTP: the mode is "off", or x-openline-mode says so',
    Plain.OBSERVED: 'everything goes over plain HTTP: the mode is "observe"',
    Plain.SEMANTIC_HEADER: "the agent sends a header that no WebSocket carries: docs/headers.md",
    Plain.NO_WEBSOCKET: "the host has no WebSocket mode",
    Plain.UPGRADE_REFUSED: "the host refused the WebSocket with 401 or 403",
    Plain.DIAL_FAILED: "no WebSocket could be opened; `openline doctor` says what is in the way",
    Plain.BREAKER_OPEN: "WebSockets came to nothing repeatedly; `openline doctor` says what is in the way",
    Plain.POOL_FULL: "all connections were busy: raise pool.max_connections",
    Plain.NO_DESCRIPTOR: "no file descriptors were left: raise the limit (ulimit -n)",
    Plain.OVERSIZE: "the requests exceed the host's limit for a frame",
    Plain.AGE_LIMIT: "the host refused turns on connections that had reached its age limit",
    Plain.NO_LANES: "the host refused lanes repeatedly",
    Plain.LINE_LOST: "connections were lost before they answered; `openline doctor` looks at the way",
}
"""What became of the turns with a reason, and what can be done. Not in it: what is no turn whatever one does."""


def sentence(summary: Summary, *, silent: str = SILENT) -> str:
    """The line. `silent` says why an agent that made no call may have made none."""
    if not summary.turns:
        return (
            f"0 turns: {_passed_alone(summary) if summary.passed else f'the agent made no call to Openline ({silent})'}"
        )
    head = f"{_count(summary.turns, 'turn')}, {_count(summary.deltas, 'delta')}"
    return f"{head}: {'; '.join((*_gain(summary), *_figures(summary), *_troubles(summary)))}"


def figures(summary: Summary) -> dict[str, object]:
    """The same for a program."""
    derived = ("deltas", "unsent_bytes", "input_tokens", "cached_tokens", "output_tokens", "turn_errors")
    whole: dict[str, object] = msgspec.to_builtins(summary)
    return {**whole, **{name: getattr(summary, name) for name in derived}}


def _gain(summary: Summary) -> Iterator[str]:
    """What was gained, or why nothing was."""
    if summary.deltas:
        taken = sum(way.request_bytes for way in summary.ways.values())
        yield f"{size(max(0, summary.unsent_bytes))} of {size(taken)} not sent"
        return
    reasons = _reasons(summary, Route.FULL, Route.HTTP)
    telling: dict[Reason, int] = {reason: count for reason, count in reasons.items() if reason is not Whole.FIRST}
    if summary.turn_errors == summary.turns:
        yield "it ended with an error" if summary.turns == 1 else "all of them ended with an error"
    elif not telling:
        yield ADVICE[Whole.FIRST]
    if telling:
        yield f"{_listed(telling)}: {ADVICE[next(iter(telling))]}"
    observed = summary.observed
    if observed.turns:
        unsent = size(max(0, observed.unsent_bytes))
        yield f"with --mode on {_count(observed.deltas, 'delta')}, and {unsent} not sent"


def _figures(summary: Summary) -> Iterator[str]:
    """Times and tokens, where they were measured."""
    times = [
        f"{route.value} {duration(way.first_event_p50)}"
        for route, way in sorted(summary.ways.items())
        if way.first_event_p50 is not None
    ]
    if times:
        yield f"first event p50: {', '.join(times)}{_compared(summary.ways)}"
    if summary.input_tokens:
        cached = 100 * summary.cached_tokens / summary.input_tokens
        yield f"{summary.input_tokens:,} tokens in ({cached:.0f} % cached), {summary.output_tokens:,} out"


def _compared(ways: Mapping[Route, Way]) -> str:
    """How much sooner deltas were than turns that were sent whole in this run: measured, or not said."""
    delta = ways.get(Route.DELTA, Way())
    for route in (Route.FULL, Route.HTTP):
        whole = ways.get(route, Way())
        if min(delta.first_events, whole.first_events) < _COMPARED:
            continue
        if delta.first_event_p50 is not None and whole.first_event_p50 is not None:
            sooner = whole.first_event_p50 - delta.first_event_p50
            return f" ({duration(abs(sooner))} {'sooner' if sooner >= 0 else 'later'} than {route.value})"
    return ""


def _troubles(summary: Summary) -> Iterator[str]:
    """What did not go as it might have."""
    reasons = _reasons(summary, Route.FULL, Route.HTTP)
    reasons.pop(Whole.FIRST, None)
    if summary.deltas and reasons:
        yield f"no deltas: {_listed(reasons)}"
    if summary.turn_errors and (summary.deltas or summary.turn_errors < summary.turns):
        yield f"{summary.turn_errors} ended with an error"
    if summary.replays:
        yield f"{_count(summary.replays, 'replay')}"
    passed = sum(_reasons(summary, Route.PASSTHROUGH).values())
    if passed:
        yield f"{_count(passed, 'other call')} passed through"
    if refused := sum(summary.passed.values()) - passed:
        yield f"{_count(refused, 'other call')} refused"
    if summary.suspects:
        yield "CONTEXT SUSPECT: the host may have lost a conversation; no more deltas went to it"


def _passed_alone(summary: Summary) -> str:
    """Why nothing that was asked was a turn."""
    reasons = _reasons(summary, Route.PASSTHROUGH)
    telling = {reason: count for reason, count in reasons.items() if reason in ADVICE}
    if telling:
        return f"/v1/responses passed through, {_listed(telling)}: {ADVICE[next(iter(telling))]}"
    if not reasons:
        refused = _count(sum(summary.passed.values()), "call")
        return f"Openline refused the agent's {refused}, as it does WebSockets and what is no HTTP: see --log FILE"
    paths = sorted(summary.passed.items(), key=lambda one: -one[1])[:_NAMED]
    used = ", ".join(f"{printable(path, _LONGEST_PATH)} ({_count(count, 'call')})" for path, count in paths)
    return f"the agent used {used}, which Openline passes through"


def _reasons(summary: Summary, *routes: Route) -> dict[Reason, int]:
    """Those of these routes, the most frequent first."""
    found: dict[Reason, int] = {}
    for kind in (Passed, Whole, Plain):
        for reason in kind:
            count = sum(summary.reasons.get(f"{route.value}/{reason.value}", 0) for route in routes)
            if count:
                found[reason] = count
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def _listed(reasons: Mapping[Reason, int]) -> str:
    return ", ".join(f"{reason.value} ({count})" for reason, count in list(reasons.items())[:_NAMED])


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count:,} {noun}s"
