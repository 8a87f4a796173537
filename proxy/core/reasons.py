"""Reasons: the one list of why a turn took its route, for header, log, metrics and docs."""

from enum import StrEnum


class Route(StrEnum):
    """How a turn went."""

    DELTA = "delta"
    FULL = "full"
    HTTP = "http"
    PASSTHROUGH = "passthrough"


class Passed(StrEnum):
    """Why a request passed through untouched, or needed no upstream."""

    OTHER_PATH = "other_path"
    QUERY = "query"
    OWN_STATE = "own_state"
    BACKGROUND = "background"
    ODD_BODY = "odd_body"
    SOCKET_FIELDS = "socket_fields"
    PREFLIGHT = "preflight"


class Whole(StrEnum):
    """Why a turn was sent in full."""

    FIRST = "first"
    NO_MATCH = "no_match"
    HOST_UNVERIFIED = "host_unverified"
    CONTEXT_SUSPECT = "context_suspect"
    FORCED = "forced"
    HOSTED_TOOLS = "hosted_tools"
    HIDDEN_REASONING = "hidden_reasoning"
    COMPACTION = "compaction"
    TRUNCATION = "truncation"
    UNFINISHED = "unfinished"
    UNCLEAR_OUTPUT = "unclear_output"
    PARENT_CONTINUED = "parent_continued"
    CONNECTION_LOST = "connection_lost"
    ROTATED = "rotated"
    EVICTED = "evicted"
    REJECTED = "rejected"
    NOT_FOUND = "not_found"
    LANES_REFUSED = "lanes_refused"
    LANES_BUSY = "lanes_busy"


class Plain(StrEnum):
    """Why a turn went over plain HTTP."""

    MODE_OFF = "mode_off"
    OBSERVED = "observed"
    SEMANTIC_HEADER = "semantic_header"
    IMAGES = "images"
    NO_WEBSOCKET = "no_websocket"
    UPGRADE_REFUSED = "upgrade_refused"
    DIAL_FAILED = "dial_failed"
    BREAKER_OPEN = "breaker_open"
    POOL_FULL = "pool_full"
    NO_DESCRIPTOR = "no_descriptor"
    OVERSIZE = "oversize"
    AGE_LIMIT = "age_limit"
    NO_LANES = "no_lanes"
    LINE_LOST = "line_lost"


Reason = Passed | Whole | Plain

ROUTES: dict[Route, str] = {
    Route.DELTA: "Over a WebSocket, continuing a response that the connection holds: only the new items were sent.",
    Route.FULL: "Over a WebSocket, with everything; the reason says why it was no delta.",
    Route.HTTP: "A create that was sent as it came over plain HTTP; the reason says why.",
    Route.PASSTHROUGH: "Not a plain stateless create: passed through untouched over plain HTTP.",
}
MEANINGS: dict[Reason, str] = {
    Passed.OTHER_PATH: "Not a `POST …/responses`: Openline has nothing to add and passes it through.",
    Passed.QUERY: "The URL has a query string that Openline does not know.",
    Passed.OWN_STATE: "The caller uses `previous_response_id`, `conversation` or `prompt`: state of its own.",
    Passed.BACKGROUND: "`background: true` does not exist on a socket.",
    Passed.ODD_BODY: "The body is not a create that Openline can read without doubt; the upstream's answer is right.",
    Passed.SOCKET_FIELDS: "The body holds `type`, `stream_id` or `generate`, which mean something else on a socket.",
    Passed.PREFLIGHT: "A browser asks whether a page may call: Openline answers by itself, nothing goes upstream.",
    Whole.FIRST: "The conversation starts: the input holds nothing that a model said.",
    Whole.NO_MATCH: "The last answer in this history is not known: it is new, came back changed, or a setting did.",
    Whole.HOST_UNVERIFIED: "The host has not refused a made-up response id, so it may lose context unseen: no deltas.",
    Whole.CONTEXT_SUSPECT: "The host counted far fewer input tokens than a delta implied: no more deltas to it.",
    Whole.FORCED: "`x-openline-mode: full` asked for it.",
    Whole.HOSTED_TOOLS: "The response before used tools that the upstream runs, or whose calls it words: "
    "the history need not hold all of it.",
    Whole.HIDDEN_REASONING: "The response before is not stored, and its reasoning came back without "
    "`encrypted_content` or text: no history can spell it out.",
    Whole.COMPACTION: "The history was compacted; the chain starts again.",
    Whole.TRUNCATION: "`truncation: auto` lets the upstream drop items, so what it remembers is not known.",
    Whole.UNFINISHED: "The response before failed, was incomplete or was abandoned.",
    Whole.UNCLEAR_OUTPUT: "The response before was not seen whole, its final form differed from what was streamed, "
    "or its id is that of another.",
    Whole.PARENT_CONTINUED: "Another turn already continued from there (a fork, an undo or a retry).",
    Whole.CONNECTION_LOST: "The connection that remembered this conversation was lost, or given up for what came on it "
    "that was no turn's.",
    Whole.ROTATED: "The connection that remembered this conversation neared its age limit and was replaced.",
    Whole.EVICTED: "Too many conversations or connections: the least recently used one was given up.",
    Whole.REJECTED: "The continuation before was answered with an error: the upstream forgets its parent by that, or "
    "may fail at it again.",
    Whole.NOT_FOUND: "The upstream no longer knew the response; the full context was sent at once.",
    Whole.LANES_REFUSED: "The host took no lane, or had none left: the turn, or what remembered its conversation, "
    "went to a new connection.",
    Whole.LANES_BUSY: "The connection that remembers this conversation runs as many turns as the host allows at once, "
    "or has no lane left for another.",
    Plain.MODE_OFF: '`mode = "off"`, or the header `x-openline-mode: off`.',
    Plain.OBSERVED: '`mode = "observe"`: plain HTTP; its record says how it would have gone in mode `on`.',
    Plain.SEMANTIC_HEADER: "A header that a socket cannot carry: `Idempotency-Key`, `Cookie`, a listed one, "
    "or what looks like an unlisted credential.",
    Plain.IMAGES: '`upstream.images = "http"`: the input holds images, and how they are prepared is left to the host.',
    Plain.NO_WEBSOCKET: "The host has no WebSocket mode; it is asked again after a while.",
    Plain.UPGRADE_REFUSED: "The host answered the upgrade with 401 or 403: plain HTTP tells what it means by that.",
    Plain.DIAL_FAILED: "No connection could be opened.",
    Plain.BREAKER_OPEN: "Connections failed, or brought nothing, repeatedly; they are tried again after a while.",
    Plain.POOL_FULL: "No connection came free in time: all are busy, and no more are allowed "
    "or a new one took too long.",
    Plain.OVERSIZE: "The frame would exceed the host's limit.",
    Plain.NO_DESCRIPTOR: "No file descriptor was left for another connection: raise the limit of open files.",
    Plain.AGE_LIMIT: "The host refused the turn on two connections, as they had reached its age limit.",
    Plain.NO_LANES: "The host refused the turn's lane on a second connection too.",
    Plain.LINE_LOST: "Two connections were lost before this turn could be answered there, "
    "or one and the time for another try was over.",
}
