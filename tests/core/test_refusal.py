"""Refusals: every shape of an upstream error, and what plain HTTP would have made of it."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.events import Kind, sniff
from proxy.core.refusal import Refusal, refusal

DEFAULT = "The upstream answered with an error."
LOST = "Previous response with id 'resp_abc' not found."


@dataclass
class Shape:
    """An error frame and what must be read from it."""

    name: str
    frame: bytes
    status: int
    code: str | None = None
    message: str = DEFAULT
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    error: object = None
    """The error object that an HTTP caller gets; None where it is the frame's own, byte for byte."""


SHAPES = [
    Shape(
        "protocol.md's example",
        b'{"type":"error","status":400,"stream_id":"main","error":{"type":"invalid_request_error",'
        b'"code":"previous_response_not_found","message":"Previous response with id \'resp_abc\' not found.",'
        b'"param":"previous_response_id"},"headers":{"retry-after":"7"}}',
        400,
        "previous_response_not_found",
        LOST,
        "previous_response_id",
        {"retry-after": "7"},
    ),
    Shape(
        "without status",
        b'{"type":"error","error":{"type":"invalid_request_error","code":"context_length_exceeded","message":"Long"}}',
        400,
        "context_length_exceeded",
        "Long",
    ),
    Shape(
        "without status, by code",
        b'{"type":"error","error":{"code":"rate_limit_exceeded"}}',
        429,
        "rate_limit_exceeded",
    ),
    Shape("without status, by type", b'{"type":"error","error":{"type":"authentication_error"}}', 401),
    Shape("without status, code and type", b'{"type":"error","error":{"message":"Oh"}}', 500, message="Oh"),
    Shape("an invalid request without a code", b'{"type":"error","error":{"type":"invalid_request_error"}}', 400),
    Shape(
        "a wrapped object with odd parts", b'{"type":"error","error":{"message":5,"code":[],"param":{},"type":1}}', 500
    ),
    Shape("an empty object", b'{"type":"error","error":{}}', 500),
    Shape(
        "a wrapped object with more, odd spacing and order",
        b'{"status": 403, "error": { "z":1.50,"message" :"No",\n"inner":{"a":null} } ,"type":"error"}',
        403,
        message="No",
    ),
    Shape(
        "xAI: no type, no code",
        b'{"type":"error","status":404,"error":{"message":"Previous response with id resp_1 not found"}}',
        404,
        message="Previous response with id resp_1 not found",
    ),
    Shape(
        "ChatGPT: a detail for a message",
        b'{"type":"error","status":400,"error":{"detail":"Unsupported parameter: stream_id"}}',
        400,
        message="Unsupported parameter: stream_id",
    ),
    Shape(
        "flat",
        b'{"type":"error","status":429,"code":"rate_limit_exceeded","message":"Slow","param":null,"sequence_number":3}',
        429,
        "rate_limit_exceeded",
        "Slow",
        error={"message": "Slow", "code": "rate_limit_exceeded", "param": None, "type": "invalid_request_error"},
    ),
    Shape(
        "flat without status",
        b'{"type":"error","code":"server_error","message":"Oh","stream_id":"a","headers":{"retry-after":1}}',
        500,
        "server_error",
        "Oh",
        headers={"retry-after": "1"},
        error={"message": "Oh", "code": "server_error", "type": "server_error"},
    ),
    Shape(
        "flat with unknown fields",
        b'{"type":"error","status":409,"message":"Oh","detail":{"a":1.0}}',
        409,
        message="Oh",
        error={"message": "Oh", "detail": {"a": 1.0}, "type": "invalid_request_error"},
    ),
    Shape(
        "only text",
        b'{"type":"error","message":"Something broke"}',
        500,
        message="Something broke",
        error={"message": "Something broke", "type": "server_error"},
    ),
    Shape(
        "the error is a text",
        b'{"type":"error","error":"Something broke"}',
        500,
        message="Something broke",
        error={"message": "Something broke", "type": "server_error"},
    ),
    Shape(
        "the error is a text beside a code",
        b'{"type":"error","status":402,"code":"insufficient_quota","error":"Pay"}',
        402,
        "insufficient_quota",
        "Pay",
        error={"message": "Pay", "code": "insufficient_quota", "type": "invalid_request_error"},
    ),
    Shape("nothing told", b'{"type":"error"}', 500, error={"message": DEFAULT, "type": "server_error"}),
    Shape(
        "null told",
        b'{"type":"error","error":null,"status":503}',
        503,
        error={"message": DEFAULT, "type": "server_error"},
    ),
    Shape(
        "a number told",
        b'{"type":"error","error":7,"message":8,"status":"429"}',
        500,
        error={"message": DEFAULT, "type": "server_error"},
    ),
    Shape("a list told", b'{"type":"error","error":["a"]}', 500, error={"message": DEFAULT, "type": "server_error"}),
    Shape("an empty text", b'{"type":"error","error":""}', 500, error={"message": DEFAULT, "type": "server_error"}),
    Shape(
        "keys given twice",
        b'{"type":"error","message":"a","message":"b"}',
        500,
        message="b",
        error={"message": "b", "type": "server_error"},
    ),
    Shape(
        "too deep to read",
        b'{"type":"error","error":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        500,
        error={"message": DEFAULT, "type": "server_error"},
    ),
    Shape("no JSON", b'{"type":"error",', 500, error={"message": DEFAULT, "type": "server_error"}),
    Shape("no UTF-8", b'{"type":"error","message":"\xff"}', 500, error={"message": DEFAULT, "type": "server_error"}),
]


def wrapped(frame: bytes) -> bytes:
    """The frame's own error object, as its bytes."""
    return bytes(msgspec.json.decode(frame, type=dict[str, msgspec.Raw])["error"])


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_shape_of_an_error_is_read(shape: Shape) -> None:
    """Whatever is missing or flat: status, code, message, param and headers come out as plain HTTP would have them."""
    said = refusal(shape.frame)
    assert (said.status, said.code, said.message, said.param) == (shape.status, shape.code, shape.message, shape.param)
    assert said.headers == shape.headers


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_caller_gets_the_whole_error_object(shape: Shape) -> None:
    """A wrapped error object is kept byte for byte; a flat one becomes the object that HTTP would have had."""
    body = refusal(shape.frame).body
    if shape.error is None:
        assert body == b'{"error":' + wrapped(shape.frame) + b"}"
    else:
        assert msgspec.json.decode(body) == {"error": shape.error}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_in_mid_stream_an_error_is_flat(shape: Shape) -> None:
    """In the middle of an SSE stream the API's error has no wrapping object, and goes on counting."""
    event = refusal(shape.frame).in_stream(12)
    assert (event.type, event.kind) == ("error", Kind.ERROR)
    assert sniff(event.frame) == event
    assert msgspec.json.decode(event.frame) == {
        "type": "error",
        "code": shape.code,
        "message": shape.message,
        "param": shape.param,
        "sequence_number": 12,
    }


# --- the status


@pytest.mark.parametrize("status", [400, 401, 404, 429, 499, 500, 503, 599])
def test_a_frames_own_status_counts(status: int) -> None:
    """What the frame says is the status, whatever its code is known for."""
    frame = msgspec.json.encode({"type": "error", "status": status, "error": {"code": "invalid_api_key"}})
    assert refusal(frame).status == status


@pytest.mark.parametrize("status", [0, -1, 200, 302, 399, 600, 10**30, 404.5, "404", True, None, [], {}])
def test_a_status_that_is_none_is_filled_in(status: object) -> None:
    """An error is never answered with a status that is no error's."""
    frame = msgspec.json.encode({"type": "error", "status": status, "error": {"code": "invalid_api_key"}})
    assert refusal(frame).status == 401


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("previous_response_not_found", 400),
        ("websocket_connection_limit_reached", 400),
        ("websocket_stream_limit_reached", 400),
        ("invalid_stream_id", 400),
        ("rate_limit_exceeded", 429),
        ("insufficient_quota", 429),
        ("context_length_exceeded", 400),
        ("invalid_api_key", 401),
        ("server_error", 500),
        ("a_code_of_tomorrow", 400),
    ],
)
def test_each_known_code_has_the_status_of_plain_http(code: str, status: int) -> None:
    """A code without a status gets the one that HTTP is known to send for it."""
    assert refusal(msgspec.json.encode({"type": "error", "error": {"code": code}})).status == status
    assert refusal(msgspec.json.encode({"type": "error", "code": code})).status == status


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("authentication_error", 401),
        ("permission_error", 403),
        ("rate_limit_error", 429),
        ("tokens", 429),
        ("requests", 429),
        ("invalid_request_error", 400),
        ("server_error", 500),
        ("api_error", 500),
        ("error_of_tomorrow", 500),
    ],
)
def test_each_known_type_has_the_status_of_plain_http(kind: str, status: int) -> None:
    """A type without status and code gets the status that HTTP is known to send for it."""
    assert refusal(msgspec.json.encode({"type": "error", "error": {"type": kind}})).status == status


def test_a_flat_frames_type_is_not_the_errors() -> None:
    """`"type": "error"` is the event's name and is not shown as the error's own."""
    body = msgspec.json.decode(refusal(b'{"type":"error","code":"x","message":"y"}').body)
    assert body["error"]["type"] == "invalid_request_error"


# --- headers


def headers(given: object) -> dict[str, str]:
    """What is carried on of these headers."""
    frame = msgspec.json.encode({"type": "error", "error": {"message": "m"}, "headers": given})
    return dict(refusal(frame).headers)


def test_the_documented_headers_are_carried_on() -> None:
    """Retry and rate-limit headers reach the caller, in lower case, ints and all."""
    given = {
        "Retry-After": 7,
        "retry-after-ms": 7000.5,
        "X-Should-Retry": "true",
        "x-request-id": "req_1",
        "x-ratelimit-remaining-tokens": "0",
        "OpenAI-Processing-Ms": "12",
    }
    assert headers(given) == {
        "retry-after": "7",
        "retry-after-ms": "7000.5",
        "x-should-retry": "true",
        "x-request-id": "req_1",
        "x-ratelimit-remaining-tokens": "0",
        "openai-processing-ms": "12",
    }


@pytest.mark.parametrize(
    "given",
    [
        {"set-cookie": "a=b"},
        {"content-length": "5"},
        {"content-type": "text/html"},
        {"x-openline-route": "delta"},
        {"retry-after": "7\r\nset-cookie: a=b"},
        {"retry-after": "sieben\u2028"},
        {"retry-after": "übermorgen"},
        {"retry-after": True},
        {"retry-after": None},
        {"retry-after": ["7"]},
        {"retry-after": {"seconds": 7}},
        {"x-ratelimit-\r\nset-cookie": "a=b"},
        {"x-ratelimit-a: b": "c"},
        {"openai-ü": "c"},
        [],
        ["retry-after", "7"],
        "retry-after: 7",
        7,
        None,
    ],
)
def test_no_other_header_is_carried_on(given: object) -> None:
    """An error frame cannot set other headers, smuggle lines into them, or crash by their shape."""
    assert headers(given) == {}


# --- which error it is


def error(**fields: object) -> Refusal:
    """The refusal with this error object."""
    return refusal(msgspec.json.encode({"type": "error", "error": fields}))


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "previous_response_not_found"},
        {"code": "previous_response_not_found", "message": "x", "param": None},
        {"message": LOST},
        {"message": "Previous response with id resp_1 not found"},
        {"message": "previous response not found"},
        {"message": "Bad request. The previous response was not found."},
        {"message": 'Error: previous_response_id "resp_1" was not found.'},
        {"message": "previous_response_id: resp_1 could not be found"},
        {"message": "Previous response with id: `resp_1` is not found", "type": "invalid_request_error"},
        {"message": LOST, "code": "not_found"},
        {"message": LOST, "code": "404"},
    ],
)
def test_an_unknown_response_is_recognised(fields: dict[str, object]) -> None:
    """With its code, or without one by its words, for hosts that send no code."""
    assert error(**fields).not_found


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"message": ""},
        {"message": "Not found"},
        {"code": "not_found", "message": "Not found"},
        {"code": "model_not_found", "message": "The model 'previous response' was not found"},
        {"code": "model_not_found", "message": "x", "param": "previous_response_id"},
        {"message": "The model `gpt-x` does not exist or was not found.", "param": "model"},
        {"message": "Item with id 'rs_1' not found.", "param": "input"},
        {"message": "File file_1 named by the previous response was not found."},
        {"message": "The tool call of the previous response was not found in the input"},
        {"message": "No tool output found for function call c1 in the previous response"},
        {"message": "Vector store not found; previous response kept"},
        {"message": "Conversation with id 'conv_1' not found.", "param": "conversation"},
        {"message": "Unsupported parameter: 'previous_response_id'", "param": "previous_response_id"},
        {"message": "previous_response_id is not supported here", "param": "previous_response_id"},
        {"code": "unsupported_parameter", "param": "previous_response_id"},
        {"code": "invalid_value", "message": "Invalid 'previous_response_id'.", "param": "previous_response_id"},
        {"code": "rate_limit_exceeded", "message": "The previous response used up the limit"},
        {"code": "insufficient_quota", "param": "previous_response_id"},
        {"code": "invalid_request_error", "message": "Response resp_1 does not exist"},
    ],
)
def test_another_error_is_not_taken_for_an_unknown_response(fields: dict[str, object]) -> None:
    """Another thing that is missing, or another complaint, is the caller's to see."""
    assert not error(**fields).not_found
    assert not refusal(msgspec.json.encode({"type": "error", "status": 404, "error": fields})).not_found


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"message": "previous_response_id must be a valid UUID"},
        {"message": "Invalid 'previous_response_id': string too long.", "code": "404"},
        {"message": "Invalid previous_response_id format", "code": None},
        {"message": "gone", "code": "not_found_error"},
    ],
)
def test_a_complaint_about_the_id_is_no_proof_that_it_was_looked_for(fields: dict[str, object]) -> None:
    """A host that minds how an id is spelled may take any other; our own delta's is no business of the caller's."""
    said = error(param="previous_response_id", **fields)
    assert not said.not_found
    assert said.minds(OURS)


@pytest.mark.parametrize(
    "code", ["invalid_previous_response_id", "invalid_request_error", "model_not_found", "rate_limit_exceeded", "404"]
)
def test_a_message_that_says_so_counts_whatever_the_code(code: str) -> None:
    """Servers write their own words into `code`; that the previous response was not found is said plainly enough."""
    assert error(code=code, message=LOST).not_found
    assert error(code=code, message="Previous response with id 'x' not found", param="previous_response_id").not_found
    assert error(code=code, message=LOST, param="input").not_found


OURS = "resp_0123abcd"


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "previous_response_not_found"},
        {"message": LOST},
        {"code": "invalid_request_error", "message": f"Response {OURS} does not exist"},
        {"code": "invalid_value", "message": f"'{OURS}' is expired", "param": "input"},
        {"message": f"{OURS}: gone"},
        {"code": "invalid_value", "message": "Invalid 'previous_response_id'.", "param": "previous_response_id"},
        {"code": "unsupported_parameter", "param": "previous_response_id"},
        {"message": "Unsupported parameter: 'previous_response_id'", "param": "previous_response_id"},
    ],
)
def test_an_error_about_the_response_that_we_named_is_ours(fields: dict[str, object]) -> None:
    """The caller named no response: an error that names ours, or the field that we added, is never for him."""
    assert error(**fields).minds(OURS)
    assert refusal(msgspec.json.encode({"type": "error", "status": 400, **fields})).minds(OURS)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"code": "rate_limit_exceeded", "message": "Slow down"},
        {"code": "context_length_exceeded", "message": "Too long", "param": "input"},
        {"code": "invalid_value", "message": "Response resp_9 of input[3] does not exist", "param": "input[3].id"},
        {"code": OURS, "message": "x", "param": None},
        {"message": "Invalid tools", "param": "tools[0].parameters.properties.previous_response_id"},
    ],
)
def test_an_error_about_anything_else_is_the_callers(fields: dict[str, object]) -> None:
    """What plain HTTP would have answered too reaches the caller, and is not tried again."""
    assert not error(**fields).minds(OURS)


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "a \\udbff b"])
def test_an_error_that_quotes_half_a_surrogate_pair_is_read(half: str) -> None:
    """Its status, code and headers count as ever; the half is shown as a question mark."""
    said = refusal(
        f'{{"type":"error","status":429,"headers":{{"retry-after":"7"}},"error":'
        f'{{"code":"rate_limit_exceeded","message":"On: {half}"}}}}'.encode()
    )
    assert (said.status, said.code, said.headers) == (429, "rate_limit_exceeded", {"retry-after": "7"})
    assert "?" in said.message
    assert msgspec.json.decode(said.body)["error"] == {"code": "rate_limit_exceeded", "message": said.message}
    assert refusal(f'{{"type":"error","code":"previous_response_not_found","x":"{half}"}}'.encode()).not_found


def test_the_age_limit_is_recognised_by_its_code_alone() -> None:
    """`websocket_connection_limit_reached` is the age limit; a limit of lanes is not."""
    assert error(code="websocket_connection_limit_reached").connection_limit
    assert refusal(b'{"type":"error","code":"websocket_connection_limit_reached"}').connection_limit
    assert not error(code="websocket_stream_limit_reached").connection_limit
    assert not error(message="websocket_connection_limit_reached").connection_limit
    words = "Responses websocket connection limit reached (25 minutes)."
    assert error(message=words).connection_limit  # xAI leaves the code out at times
    assert not error(message=words, code="invalid_request_error").connection_limit
    assert not error(message=f"Invalid input: '{words}'").connection_limit


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "websocket_stream_limit_reached"},
        {"code": "invalid_stream_id", "param": None},
        {"code": "unknown_parameter", "param": "stream_id"},
        {"message": "Unknown parameter: 'stream_id'."},
        {"message": "stream_id: extra fields not permitted"},
    ],
)
def test_a_complaint_about_the_lane_is_recognised(fields: dict[str, object]) -> None:
    """The caller named no lane, so such an error is never his; only one of them means that lanes are used up."""
    assert error(**fields).no_lanes
    assert error(**fields).lanes_used_up is (fields.get("code") == "websocket_stream_limit_reached")


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "Bad schema at tools[0].parameters.properties.stream_id"},
        {"message": "Bad schema: 'stream_id' has no type", "param": "tools[0].parameters"},
        {"message": "the last_stream_id is stale"},
        {"message": "stream_ids are not listed"},
        {"code": "websocket_connection_limit_reached"},
        {"code": "invalid_request", "param": "stream"},
        {},
    ],
)
def test_another_error_is_not_taken_for_one_about_the_lane(fields: dict[str, object]) -> None:
    """A word like it in the caller's own tools does not cost the host its lanes."""
    assert not error(**fields).no_lanes


# --- anything

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ERRORS = ODD | st.dictionaries(st.sampled_from(["type", "code", "message", "param", "more"]), ODD)
FRAMES = st.fixed_dictionaries(
    {"type": st.just("error")},
    optional={
        "status": st.integers(0, 999) | ODD,
        "error": ERRORS,
        "headers": st.dictionaries(st.sampled_from(["retry-after", "X-RateLimit-Reset", "x"]), ODD) | ODD,
        "code": ODD,
        "message": ODD,
        "param": ODD,
        "more": ODD,
    },
)


@given(FRAMES)
def test_any_frame_gives_an_answer_that_http_can_carry(frame: dict[str, object]) -> None:
    """Whatever an error frame holds: an error status, a JSON error object with a type, clean headers, a flat event."""
    said = refusal(msgspec.json.encode(frame))
    assert 400 <= said.status <= 599
    given = frame.get("error")
    shown = msgspec.json.decode(said.body)["error"]
    if isinstance(given, dict):
        assert shown == given
    else:
        assert isinstance(shown["message"], str)
        assert shown["type"] in {"invalid_request_error", "server_error"}
    assert all(value.isascii() and value.isprintable() for value in said.headers.values())
    assert msgspec.json.decode(said.in_stream(0).frame)["message"] == said.message
    assert said.not_found in {True, False}


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer(frame: bytes) -> None:
    """Bytes that are no JSON at all are answered too: the caller must not hang on them."""
    assert 400 <= refusal(frame).status <= 599
    assert "error" in msgspec.json.decode(refusal(frame).body)


@pytest.mark.parametrize(
    ("fields", "unknown", "known"),
    [
        ('"status":400,"error":{"message":"Bad Request"}', True, True),
        ('"error":"Bad Request"', True, True),
        ('"status":400,"error":{"code":"bad_request"}', True, True),
        ('"status":500,"error":{"code":"server_error"}', True, False),
        ('"status":400,"error":{"code":"odd"}', True, False),
        ('"status":400,"error":{"code":"invalid_prompt"}', False, False),
        ('"status":400,"error":{"code":"overloaded"}', False, False),
        ('"status":400,"error":{"param":"model"}', False, False),
        *((f'"status":{status},"error":{{}}', False, False) for status in (401, 403, 429)),
    ],
)
def test_what_may_mean_the_lane(fields: str, *, unknown: bool, known: bool) -> None:
    """Whatever names neither another cause nor another field; of a host known to take lanes, what says nothing."""
    said = refusal(b'{"type":"error",%b}' % fields.encode())
    assert (said.may_mean_lane(known=False), said.may_mean_lane(known=True)) == (unknown, known)
