"""A sentence: what a summary comes to, in one line for a person, and why nothing was gained where nothing was."""

from collections.abc import Iterator, Mapping

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
    Whole.HIDDEN_REASONING: "reasoning came back neither encrypted nor in clear, and nothing is stored: have the agent"
    " ask for reasoning.encrypted_content",
    Whole.COMPACTION: "the history was compacted each time",
    Whole.TRUNCATION: "truncation: auto lets the upstream drop items",
    Whole.UNFINISHED: "the answers before failed, were incomplete or were abandoned",
    Whole.UNCLEAR_OUTPUT: "the answers before were not seen whole, ended otherwise than streamed, or shared an id",
    Whole.PARENT_CONTINUED: "other turns had already continued from there: forks, undos or retries",
    Whole.CONNECTION_LOST: "the connections were lost between the turns; `openline doctor` looks at the way",
    Whole.ROTATED: "the connections neared the host's age limit between the turns",
    Whole.EVICTED: "there were too many conversations at once: raise pool.max_connections",
    Whole.REJECTED: "the turns before were answered with errors",
    Whole.NOT_FOUND: "the upstream had forgotten the responses",
    Whole.LANES_REFUSED: 'the host took no lanes: set upstream.lanes = "off"',
    Whole.LANES_BUSY: "the connections had as many turns at work, or lanes in use, as the host allows",
    Plain.MODE_OFF: 'everything goes over plain HTTP: the mode is "off", or x-openline-mode says so',
    Plain.OBSERVED: 'everything goes over plain HTTP: the mode is "observe"',
    Plain.SEMANTIC_HEADER: "the agent sends a header that no WebSocket carries: docs/headers.md",
    Plain.IMAGES: 'there are images in the histories, and upstream.images is "http": docs/settings.md',
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


# The words for a status that Openline answered by itself, before a call became a turn.
_OWN = {
    400: "it could not read them",
    401: "they did not show its token",
    403: "their Host or Origin is not let in",
    408: "they did not come in time",
    409: "it goes to its upstream another way than when this run began: start the command anew",
    426: "it serves no WebSockets",
    500: "it failed at them, and its log says how",
    503: "it was at one of its limits, or shutting down",
    508: "they came from itself: check upstream.url",
}


def sentence(summary: Summary, *, silent: str = SILENT) -> str:
    """The line. `silent` says why an agent that made no call may have made none."""
    if not summary.turns:
        return f"0 turns: {_no_turns(summary, silent)}"
    turns, refused = _count(summary.turns, "turn"), _refusal(summary.statuses(Route.DELTA, Route.FULL, Route.HTTP))
    if summary.refused == summary.turns:
        every = "" if summary.turns == 1 else "all "
        return "; ".join((f"{turns}, {every}{refused}", *_troubles(summary)))
    head = f"{turns}, {_count(summary.deltas, 'delta')}"
    told = [*_gain(summary), *_figures(summary), *_troubles(summary)]
    if refused:
        return "; ".join((f"{head}, {summary.refused:,} {refused}", *told))
    return f"{head}: {'; '.join(told)}" if told else head


def _unsent(saved: int, of: int) -> str:
    """What was not sent of what came; empty where nothing was gained, as where compressed requests went up plainly."""
    if saved < 0:
        return f"{size(-saved)} more sent than the {size(of)} that came"
    return f"{size(saved)} of {size(of)} not sent" if saved else ""


def _gain(summary: Summary) -> Iterator[str]:
    """What was gained, or why nothing was."""
    if summary.deltas:
        if gained := _unsent(summary.unsent_bytes, summary.request_bytes):
            yield gained
        return
    reasons = _reasons(summary, Route.FULL, Route.HTTP)
    telling: dict[Reason, int] = {reason: count for reason, count in reasons.items() if reason is not Whole.FIRST}
    if summary.turn_errors == summary.turns:
        if not summary.refused:
            yield "it ended with an error" if summary.turns == 1 else "all of them ended with an error"
    elif not telling:
        yield ADVICE[Whole.FIRST]
    if telling:
        yield f"{_listed(telling)}: {ADVICE[next(iter(telling))]}"
    observed = summary.observed
    if observed.turns:
        saved = f", and {size(observed.unsent_bytes)} not sent" if observed.unsent_bytes > 0 else ""
        yield f"with --mode on {_count(observed.deltas, 'delta')}{saved}"


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
    """How much sooner deltas were than turns that went whole in this run the same way: measured, or not said.

    Over plain HTTP the first that is seen is the answer's head, which is another event.
    """
    delta, whole = (ways.get(route, Way()) for route in (Route.DELTA, Route.FULL))
    if delta.first_event_p50 is None or whole.first_event_p50 is None:
        return ""
    if min(delta.first_events, whole.first_events) < _COMPARED:
        return ""
    sooner = whole.first_event_p50 - delta.first_event_p50
    return f" ({duration(abs(sooner))} {'sooner' if sooner >= 0 else 'later'} than full)"


def _troubles(summary: Summary) -> Iterator[str]:
    """What did not go as it might have."""
    reasons = _reasons(summary, Route.FULL, Route.HTTP)
    reasons.pop(Whole.FIRST, None)
    if summary.deltas and reasons:
        yield f"no deltas: {_listed(reasons)}"
    failed = summary.turn_errors - summary.refused
    if failed and (summary.deltas or failed < summary.turns):
        yield f"{failed:,} ended with an error"
    if summary.replays:
        yield f"{_count(summary.replays, 'replay')}"
    if passed := sum(_reasons(summary, Route.PASSTHROUGH).values()):
        yield f"{_count(passed, 'other call')} passed through{_of_them(summary)}"
    if own := summary.own_statuses:
        yield f"{_count(sum(own.values()), 'other call')} refused by Openline: {_statuses(own)}"
    if summary.suspects:
        yield "CONTEXT SUSPECT: the host may have lost a conversation; no more deltas went to it"


def _no_turns(summary: Summary, silent: str) -> str:
    """Why nothing that was asked was a turn."""
    reasons = _reasons(summary, Route.PASSTHROUGH)
    telling = {reason: count for reason, count in reasons.items() if reason in ADVICE}
    if telling:
        advice = ADVICE[next(iter(telling))]
        return f"/v1/responses passed through, {_listed(telling)}: {advice}{_of_them(summary)}"
    if reasons:
        paths = sorted(summary.passed.items(), key=lambda one: -one[1])[:_NAMED]
        used = ", ".join(f"{printable(path, _LONGEST_PATH)} ({_count(count, 'call')})" for path, count in paths)
        return f"the agent used {used}, which Openline passes through{_of_them(summary)}"
    if own := summary.own_statuses:
        words = _OWN.get(next(iter(own)), "see --log FILE")
        return f"Openline refused {_count(sum(own.values()), 'call')} of the agent's, {_statuses(own)}: {words}"
    if summary.calls:
        return f"no call of the agent's arrived whole ({summary.calls:,} begun)"
    return f"the agent made no call to Openline ({silent})"


def _refusal(statuses: Mapping[int, int]) -> str:
    """How often which status was answered, and what the most frequent one means; empty where none was."""
    if not statuses:
        return ""
    verb = "refused" if max(statuses) < 500 else "failed"
    return f"{verb}: {_statuses(statuses)}: {_meaning(next(iter(statuses)))}"


def _meaning(status: int) -> str:
    if status in {401, 403}:
        return "the upstream refused the key"
    if status == 404:
        return "the upstream has no such path or model"
    if status == 429:
        return "the upstream's rate limit or quota was reached"
    if status >= 500:
        return "trouble at the upstream, or on the way there"
    return "the requests were not accepted"


def _of_them(summary: Summary) -> str:
    """Of what passed through, what was refused."""
    refused = summary.statuses(Route.PASSTHROUGH)
    return f", {sum(refused.values()):,} of them {_refusal(refused)}" if refused else ""


def _statuses(statuses: Mapping[int, int]) -> str:
    return ", ".join(f"{status} ({count:,})" for status, count in list(statuses.items())[:_NAMED])


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
