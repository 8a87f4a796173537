"""A tap: the events of an answer, whatever its form, its pieces and its content encoding."""

import gzip
from collections.abc import Sequence

import brotli
import msgspec
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.answer import Answer, Ending
from proxy.core.events import Event, NotAnEvent, sniff, sse
from proxy.core.meaning import Rules
from proxy.turns.tap import MIB, MOST, MOST_AT_ONCE, Tap, Unread
from tests.upstream.peer import completed, said

EVENTS = [sniff(frame) for frame in said()]
STREAM = b"".join(map(sse, EVENTS))
BODY = bytes(msgspec.json.decode(completed(), type=dict[str, msgspec.Raw])["response"])
SSE = ("Content-Type", "text/event-stream; charset=utf-8")
JSON = ("Content-Type", "application/json")


def tapped(*headers: tuple[str, str]) -> Tap:
    """A tap on an answer with these headers."""
    return Tap(CIMultiDictProxy(CIMultiDict(headers)))


def seen(tap: Tap, body: bytes, size: int = 10) -> list[Event]:
    """All that comes of a body in pieces of this size."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return [*(event for piece in pieces for event in tap.see(piece)), *tap.whole()]


def ending(events: Sequence[Event]) -> Ending:
    """What they come to."""
    answer = Answer()
    for event in events:
        answer.see(event)
    return answer.ending(Rules())


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_stream_gives_its_events(size: int) -> None:
    """As a socket would have brought them, in whatever pieces it comes."""
    assert seen(tapped(SSE), STREAM, size) == EVENTS


def test_an_event_is_given_with_its_last_byte() -> None:
    """Not with the next one: the terminal event has none behind it."""
    tap = tapped(SSE)
    assert list(tap.see(STREAM[:-1])) == EVENTS[:-1]
    assert list(tap.see(STREAM[-1:])) == EVENTS[-1:]


def test_what_ends_a_stream_at_some_hosts_is_no_event() -> None:
    """`[DONE]` says nothing."""
    assert seen(tapped(SSE), STREAM + b"data: [DONE]\n\n") == EVENTS


@pytest.mark.parametrize("status", ["completed", "failed", "incomplete"])
def test_json_comes_to_what_its_stream_would(status: str) -> None:
    """The id, the status, the tokens and the forms in which the output may come back."""
    body = BODY.replace(b'"status":"completed","store"', b'"status":"%b","store"' % status.encode())
    terminal = sniff(b'{"type":"response.%b","response":%b}' % (status.encode(), body))
    assert ending(seen(tapped(JSON), body)) == ending([*EVENTS[:-1], terminal])


def test_json_with_a_length_is_read_with_its_last_piece() -> None:
    """Its caller has it whole then, and may go on at once."""
    tap = tapped(JSON, ("Content-Length", str(len(BODY))))
    assert list(tap.see(BODY[:-1])) == []
    assert ending(list(tap.see(BODY[-1:]))).response_id == "resp_1"


def test_json_without_a_length_is_read_at_its_end() -> None:
    """Nothing is made of what may go on."""
    tap = tapped(JSON)
    assert list(tap.see(BODY)) == []
    assert ending(list(tap.whole())).response_id == "resp_1"


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Encoding", "gzip")],
        [("content-encoding", " GZIP , identity")],
        [("Content-Encoding", "identity")] * 2,
    ],
)
def test_a_coding_is_undone(headers: list[tuple[str, str]]) -> None:
    """That of a stream and that of a JSON object, whose length is that of the coded one."""
    coded = any("gzip" in value.lower() for _, value in headers)
    stream, body = (gzip.compress(text) if coded else text for text in (STREAM, BODY))
    assert seen(tapped(SSE, *headers), stream) == EVENTS
    tap = tapped(JSON, *headers, ("Content-Length", str(len(body))))
    assert ending(list(tap.see(body))) == ending(EVENTS)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([], "its content type is neither that of events nor JSON"),
        ([("Content-Type", "text/html")], "its content type is neither that of events nor JSON"),
        ([SSE, ("Content-Encoding", "rot13")], "its content encoding is not known"),
        ([SSE, ("Content-Encoding", "gzip, br")], "its content encoding is not known"),
        ([SSE, ("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")], "its content encoding is not known"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_head(headers: list[tuple[str, str]], why: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(Unread, match=why):
        tapped(*headers)


@pytest.mark.parametrize(
    ("headers", "body", "why"),
    [
        ([SSE, ("Content-Encoding", "gzip")], STREAM, "its content encoding could not be undone"),
        ([JSON, ("Content-Encoding", "br")], b"\xff" * 50, "its content encoding could not be undone"),
        ([JSON], b"", "its JSON is no response that has ended"),
        ([JSON], BODY[:-1], "its JSON is no response that has ended"),
        ([JSON], b'{"id":"resp_1","output":[]}', "its JSON is no response that has ended"),
        ([JSON], b"[]", "its JSON is no response that has ended"),
        ([JSON], b'{"status":"queued","id":"resp_1","output":[]}', "its JSON is no response that has ended"),
        ([JSON], b'{"output":' + b"[" * 100_000, "its JSON is no response that has ended"),
    ],
)
def test_what_is_broken_is_told(headers: list[tuple[str, str]], body: bytes, why: str) -> None:
    """In words that hold nothing of it."""
    with pytest.raises(Unread, match=why):
        seen(tapped(*headers), body, 10_000)


def test_a_frame_that_is_none_is_told_after_those_before_it() -> None:
    """What came in order counts, in the same piece too."""
    events = iter(tapped(SSE).see(STREAM + b"data: nothing\n\n"))
    assert [next(events) for _ in EVENTS] == EVENTS
    with pytest.raises(NotAnEvent):
        next(events)


@pytest.mark.parametrize("kind", [SSE, JSON])
def test_no_more_is_read_than_the_limit(kind: tuple[str, str]) -> None:
    """However it comes, a copy has a largest size."""
    tap, piece = tapped(kind), b"x" * MIB
    for _ in range(MOST // MIB):
        assert list(tap.see(piece)) == []
    with pytest.raises(Unread, match="it is larger than 64 MiB"):
        tap.see(b"x")


def test_a_piece_that_holds_too_much_is_not_unpacked() -> None:
    """All other turns would wait for it."""
    as_much, more = (brotli.compress(b"x" * size) for size in (MOST_AT_ONCE, MOST_AT_ONCE + 1))
    tap = tapped(SSE, ("Content-Encoding", "br"))
    assert list(tap.see(as_much)) == []
    with pytest.raises(Unread, match="it unpacks to more than 4 MiB at once"):
        tapped(SSE, ("Content-Encoding", "br")).see(more)
