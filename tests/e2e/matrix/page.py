"""The page docs/reliability.md, of the recovery table and the settings. `python -m tests.e2e.matrix.page` writes it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from proxy.core.recovery import RULES, Action, Fact, Fault, Phase, Rule
from proxy.errors import Problem
from proxy.settings_sources import leaves
from tests.e2e.matrix.sight import CONTINUES, REFUSED, SIGHTS, UNSEEN, reason

PAGE = Path(__file__).parents[3] / "docs" / "reliability.md"

HAPPENED: Mapping[Fault, str] = {
    Fault.NO_WEBSOCKET: "The host answers the upgrade with 404, 405 or 426: it has no WebSocket mode.",
    Fault.UPGRADE_FORBIDDEN: "The host, or something on the way, answers the upgrade with 401 or 403.",
    Fault.UPGRADE_REFUSED: "The host answers the upgrade with 429.",
    Fault.DIAL_FAILED: "No WebSocket can be opened: nobody listens, nobody answers in time, TLS fails, or the upgrade "
    "is answered with any other status.",
    Fault.NO_DESCRIPTOR: "Openline has no file descriptor left for another socket. An idle one, if there is one, is "
    "closed to make room.",
    Fault.BREAKER_OPEN: "Sockets came to nothing several times in a row just before, or a new one took a turn and "
    "never answered it, so none is tried for a while.",
    Fault.POOL_FULL: "All sockets are busy, no more are allowed, and none came free in time.",
    Fault.OVERSIZE: "The request is larger than a frame may be: by the known limit, or the host closes with 1009.",
    Fault.NOT_FOUND: "The host no longer knows the response that Openline continued.",
    Fault.CONNECTION_LIMIT: "The socket has reached the host's age limit, and the host refuses the turn.",
    Fault.NO_LANES: "The host knows no `stream_id`, or the socket has no lane left. An error that may mean this counts "
    "too,\nwhere the host never took the lane: the turn is sent again without one, and gets that answer if it is "
    "refused alike.",
    Fault.REJECTED: "The host answers the turn with an error.",
    Fault.LINE_LOST: "The socket is lost: closed, reset, or dead without a word.",
    Fault.SILENCE: "The socket is up, but the host says nothing.",
    Fault.GARBAGE: "The host sends what is no event of this turn.",
}
"""What happened, in words for the person who runs it."""

WHEN: Mapping[Phase, str] = {
    Phase.UNSENT: "before the turn was sent",
    Phase.WRITTEN: "before its first event",
    Phase.STREAMING: "after events",
}
IF: Mapping[Fact, str] = {
    Fact.JSON: "the caller wants JSON",
    Fact.STORED: "`store` is true",
    Fact.ACTS: "hosted tools that act are offered",
    Fact.UNSENT_ONLY: '`replay = "unsent"`',
    Fact.SAY_FAILED: '`after_loss = "failed"`',
    Fact.REDIALLED: "for the second time",
    Fact.REPLAYED: "it may have run, and was sent again already",
    Fact.MOVED: "it changed sockets already",
    Fact.SPENT: "`timeouts.detour_seconds` are used up",
}
DOES: Mapping[Action, str] = {
    Action.HTTP: "sends the request over plain HTTP",
    Action.ANSWER: "passes the answer on",
    Action.REDIAL: "dials once more",
    Action.REPLAY_HERE: "sends everything again on the same socket",
    Action.REPLAY_ELSEWHERE: "sends everything again on another socket",
    Action.BAD_GATEWAY: "answers with an error",
    Action.GATEWAY_TIMEOUT: "answers with an error",
    Action.CUT: "breaks the answer off",
    Action.SAY_FAILED: "ends the answer in words",
}
MEANS: Mapping[Action, str] = {
    Action.HTTP: "the same request went to the API over plain HTTP, and its answer came back as it was; where that "
    f"does not get through either: 502 `{Problem.UNREACHABLE.value[1]}`, 504 `{Problem.SILENCE.value[1]}` or 503 "
    f"`{Problem.OVERLOADED.value[1]}`",
    Action.ANSWER: "status, JSON error and `Retry-After` as plain HTTP has them",
    Action.BAD_GATEWAY: "a JSON error with this status and `code`; nothing was delivered, so SDKs may try again",
    Action.GATEWAY_TIMEOUT: "a JSON error with this status and `code`",
    Action.CUT: "status 200, the events so far, and no last chunk",
    Action.SAY_FAILED: "status 200, the events so far, then this event, and the body is whole",
}
"""What the words for it stand for."""
SETTINGS: Mapping[Fault, Sequence[str]] = {
    Fault.NO_WEBSOCKET: ("pool.recheck_seconds",),
    Fault.DIAL_FAILED: ("timeouts.dial_seconds", "timeouts.detour_seconds"),
    Fault.NO_DESCRIPTOR: ("pool.max_connections", "limits.connections"),
    Fault.BREAKER_OPEN: ("pool.breaker_failures", "pool.breaker_seconds"),
    Fault.POOL_FULL: ("pool.max_connections", "pool.max_connections_per_key", "pool.wait_seconds"),
    Fault.OVERSIZE: ("upstream.frame_limit_bytes",),
    Fault.NOT_FOUND: ("upstream.verifies_ids",),
    Fault.CONNECTION_LIMIT: ("upstream.age_limit_seconds", "pool.min_remaining_seconds"),
    Fault.NO_LANES: ("upstream.lanes",),
    Fault.LINE_LOST: (
        *("replay", "after_loss", "timeouts.detour_seconds", "pool.doubtful_after_seconds", "pool.pong_seconds"),
    ),
    Fault.SILENCE: ("timeouts.first_event_seconds", "timeouts.silence_seconds", "after_loss"),
    Fault.GARBAGE: ("after_loss",),
}
"""Which settings change when it happens, or what is done about it."""

LIMITS = (
    *("timeouts.dial_seconds", "timeouts.detour_seconds", "timeouts.first_event_seconds", "timeouts.silence_seconds"),
    *("timeouts.write_seconds", "timeouts.keepalive_seconds", "timeouts.header_seconds"),
    *("pool.wait_seconds", "pool.max_connections", "pool.max_connections_per_key", "pool.http_connections"),
    *("limits.connections", "limits.requests", "limits.body_bytes", "limits.items", "limits.depth", "drain_seconds"),
)

TEMPLATE = Path(__file__).with_name("reliability.template.md")


def page() -> str:
    """The whole page."""
    return TEMPLATE.read_text("utf-8").format(
        faults="\n\n".join(_fault(fault) for fault in Fault),
        sights="\n".join(f"| {sight.words} | {MEANS[action]} |" for action, sight in SIGHTS.items()),
        unseen=UNSEEN,
        limits="\n".join(_limits()),
    )


def _fault(fault: Fault) -> str:
    """The section of one fault."""
    rows = [row for rule in RULES if rule.fault is fault for row in _rows(rule)]
    changed_by = ", ".join(f"`{name}`" for name in SETTINGS.get(fault, ()))
    parts = [f"### {_title(fault)}", "", HAPPENED[fault]]
    parts += [f"Settings: {changed_by}."] if changed_by else []
    parts += ["", "| When | If | Openline | The caller sees | May have run twice |", "|---|---|---|---|---|", *rows]
    return "\n".join(parts)


def _title(fault: Fault) -> str:
    """The table's own words; what begins with a code of the API is set as code."""
    first, _, rest = fault.value.partition(" ")
    return f"`{first}` {rest}".strip() if "_" in first else f"{fault.value[0].upper()}{fault.value[1:]}"


def _rows(rule: Rule) -> Iterator[str]:
    for phase in rule.phases:
        when = WHEN[phase]
        condition = ", ".join(IF[fact] for fact in rule.where)
        why = reason(rule.fault, rule.action)
        does = DOES[rule.action] + (f" (`{why.value}`)" if why else "")
        sees = UNSEEN if rule.action in CONTINUES else SIGHTS[rule.action].words
        yield f"| {when} | {condition} | {does} | {sees} | {'yes' if _twice(rule, phase) else 'no'} |"


def _twice(rule: Rule, phase: Phase) -> bool:
    """Whether the upstream may have worked on the turn two times after this."""
    again = rule.action in CONTINUES or rule.action is Action.HTTP
    earlier = Fact.REPLAYED in rule.where
    return (again and phase is not Phase.UNSENT and rule.fault not in REFUSED) or earlier


def _limits() -> Iterator[str]:
    known = {leaf.key: leaf.default for leaf in leaves()}
    for name in LIMITS:
        default = known[name]
        shown = f"{default:g} s" if isinstance(default, float) else f"{default:,}"
        yield f"| `{name}` | {shown} | {BOUNDS[name]} |"


BOUNDS: Mapping[str, str] = {
    "timeouts.dial_seconds": "one dial: connecting, TLS and the upgrade",
    "timeouts.detour_seconds": "what a turn may lose in all on sockets that come to nothing",
    "timeouts.first_event_seconds": "from sending a turn to its first event; the sending of a create, too",
    "timeouts.silence_seconds": "between two events; of a request body, between two pieces",
    "timeouts.write_seconds": "one write to a caller that finds no room",
    "timeouts.keepalive_seconds": "silence towards a streaming caller",
    "timeouts.header_seconds": "the head of the first request on a caller's connection",
    "pool.wait_seconds": "a turn's wait for a socket when all are busy",
    "pool.max_connections": "WebSockets in all",
    "pool.max_connections_per_key": "WebSockets of one credential",
    "pool.http_connections": "plain HTTP connections to the host",
    "limits.connections": "callers' connections",
    "limits.requests": "requests in flight; more get a 503 with `Retry-After`",
    "limits.body_bytes": "bytes of a request's body, as sent and decompressed",
    "limits.items": "input items of a request that Openline reads; larger ones pass through",
    "limits.depth": "nesting of a request's JSON that Openline reads; deeper ones pass through",
    "drain_seconds": "running turns, once a shutdown has begun",
}


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
