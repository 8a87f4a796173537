"""Calls: what a client asked, in the order in which it asked, and how it was answered."""

import zlib

import msgspec

from tests.clients.calls import calls, spelled
from tests.clients.tap import Line

_USER = {"role": "user", "content": "hi"}
_CALL = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "lookup",
    "arguments": "{}",
}


def _request(items: object, path: str = "/v1/responses") -> bytes:
    body = msgspec.json.encode({"input": items})
    return b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


def _answer(route: str, body: bytes, kind: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nx-openline-route: {route}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _line(asked: list[bytes], answered: list[bytes], times: list[int]) -> Line:
    line = Line()
    for request, time in zip(asked, times, strict=True):
        line.pieces.append((len(line.up), time))
        line.up += request
    line.down += b"".join(answered)
    return line


def test_calls_of_several_connections_are_in_the_order_of_their_asking() -> None:
    """Two connections that take turns give one sequence, each call with its own answer."""
    one = _line(
        [_request([_USER]), _request([_CALL])],
        [_answer("full", b"{}"), _answer("delta", b"{}")],
        [0, 2],
    )
    two = _line([_request("x")], [_answer("http", b"{}")], [1])
    assert [call.route for call in calls([two, one])] == ["full", "http", "delta"]


def test_a_continuation_sends_back_what_the_model_said() -> None:
    """Only a create whose input holds an item of the model's can be a delta; two user messages are none of them."""
    bodies: list[object] = [
        [_USER, _USER],
        [_USER, _CALL],
        [{"role": "assistant", "content": "ho"}, _USER],
        "text",
    ]
    line = _line([_request(body) for body in bodies], [], [0, 1, 2, 3])
    assert [call.continues for call in calls([line])] == [False, True, True, False]
    other = _line([_request([_CALL], "/v1/chat/completions")], [], [0])
    assert [call.continues for call in calls([other])] == [False]


def test_an_answer_that_did_not_come_to_its_end_is_cut() -> None:
    """No answer, half an answer and a stream without `response.completed` are; a whole one is not."""
    stream = b'event: response.completed\ndata: {"type":"response.completed"}\n\n'
    failed = b'event: response.failed\ndata: {"type":"response.failed"}\n\n'
    kinds = [_answer("full", b"{}"), _answer("full", stream, "text/event-stream")]
    answers = [
        *kinds,
        _answer("full", failed, "text/event-stream"),
        _answer("full", b"{}")[:-1],
    ]
    line = _line([_request("x")] * 5, answers, [0, 1, 2, 3, 4])
    assert [call.cut for call in calls([line])] == [False, False, True, True, True]
    assert [call.status for call in calls([line])] == [200, 200, 200, 200, None]


def test_a_compressed_body_is_read_as_what_it_holds() -> None:
    """Some clients compress: the same request in another wrapping is the same request."""
    body = zlib.compress(msgspec.json.encode({"input": [_CALL]}))
    head = b"POST /v1/responses HTTP/1.1\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(body)
    (call,) = calls([_line([head + body], [], [0])])
    assert call.continues
    assert spelled(call) == spelled(calls([_line([_request([_CALL])], [], [0])])[0])


def test_only_what_is_new_in_each_run_is_taken_out() -> None:
    """Two requests that differ in response ids and ports alone are spelled alike; in text they are not."""
    texts = (
        f"resp_{'a' * 48} at 127.0.0.1:4711",
        f"resp_{'b' * 48} at 127.0.0.1:815",
        "resp_ at 127.0.0.1",
    )
    line = _line([_request(text) for text in texts], [], [0, 1, 2])
    first, second, third = (spelled(call) for call in calls([line]))
    assert first == second != third


def test_a_client_that_hangs_up_after_the_last_event_has_the_whole_answer() -> None:
    """Codex ends as soon as `response.completed` has come, at times before the end of the body."""
    stream = b'event: response.completed\ndata: {"type":"response.completed"}\n\n'
    line = _line(
        [_request("x")] * 2,
        [_answer("full", stream, "text/event-stream"), _answer("full", stream + b"ab", "text/event-stream")[:-2]],
        [0, 1],
    )
    assert [call.cut for call in calls([line])] == [False, False]
