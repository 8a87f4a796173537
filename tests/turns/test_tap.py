"""A tap: the events of an answer, whatever its form, its pieces and its content encoding."""

import gzip
import zlib
from collections.abc import Sequence

import brotli
import msgspec
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.core.answer import Answer, Ending
from proxy.core.events import Event, NotAnEvent, sniff, sse
from proxy.core.meaning import Rules
from proxy.turns.tap import MIB, MOST, MOST_AT_ONCE, MOST_EVENTS, MOST_JSON, MOST_LINES, MOST_VALUES, Tap, Unread
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


@pytest.mark.parametrize(("kind", "most"), [(SSE, MOST), (JSON, MOST_JSON)])
def test_no_more_is_read_than_the_limit(kind: tuple[str, str], most: int) -> None:
    """However it comes, a copy has a largest size."""
    tap, piece = tapped(kind), b"x" * MIB
    for _ in range(most // MIB):
        assert list(tap.see(piece)) == []
    with pytest.raises(Unread, match=f"it is larger than {most // MIB} MiB"):
        tap.see(b"x")


def test_a_piece_that_holds_too_much_is_not_unpacked() -> None:
    """All other turns would wait for it."""
    as_much, more = (brotli.compress(b"x" * size) for size in (MOST_AT_ONCE, MOST_AT_ONCE + 1))
    tap = tapped(SSE, ("Content-Encoding", "br"))
    assert list(tap.see(as_much)) == []
    with pytest.raises(Unread, match="it unpacks to more than 1 MiB at once"):
        tapped(SSE, ("Content-Encoding", "br")).see(more)


def test_what_no_text_packs_to_is_not_read_on() -> None:
    """However small its pieces are; what comes as a text does may be packed as well as it can."""
    tap, packing = tapped(SSE, ("Content-Encoding", "gzip")), zlib.compressobj(wbits=31)
    tap.see(packing.compress(b"x" * MIB) + packing.flush(zlib.Z_SYNC_FLUSH))
    piece = packing.compress(b"x" * MIB) + packing.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(Unread, match="it unpacks to more than 100 times its size"):
        tap.see(piece)
    text = b"".join(sse(sniff(b'{"type":"response.output_text.delta","delta":"%d"}' % number)) for number in range(900))
    assert len(seen(tapped(SSE, ("Content-Encoding", "gzip")), gzip.compress(text), 1_000)) == 900


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_piece_with_too_many_lines_is_not_cut(end: bytes) -> None:
    """Each would be an object, and all other turns would wait."""
    assert list(tapped(SSE).see(end * MOST_LINES)) == []
    with pytest.raises(Unread, match="it has more lines than any answer"):
        tapped(SSE).see(end * (MOST_LINES + 1))


def test_lines_are_counted_for_the_whole_answer() -> None:
    """Also where each piece has few of them."""
    tap = tapped(SSE)
    for _ in range(4 * MOST_EVENTS // 5_000):
        assert list(tap.see(b":\n" * 5_000)) == []
    with pytest.raises(Unread, match="it has more lines than any answer"):
        tap.see(b":\n")


def test_events_are_counted() -> None:
    """As many as the limit are read, one more is not."""
    tap, some = tapped(SSE), b'data: {"type":"x"}\n\n' * 1_000
    assert sum(len(list(tap.see(some))) for _ in range(MOST_EVENTS // 1_000)) == MOST_EVENTS
    with pytest.raises(Unread, match="it has more than 50,000 events"):
        list(tap.see(some))


@pytest.mark.parametrize("value", [b"0", b"[]", b"[[[[{}]]]]"])
def test_an_event_of_many_values_is_not_parsed(value: bytes) -> None:
    """To find its type where that does not come first, all of it might have to be; where it does, it need not be."""
    many = b'"a":[' + b",".join([value] * (MOST_VALUES + 1)) + b"]"
    assert len(seen(tapped(SSE), b'data: {"type":"x",%b}\n\n' % many, MIB)) == 1
    with pytest.raises(Unread, match="an event of it is too large to be read"):
        seen(tapped(SSE), b'data: {%b,"type":"x"}\n\n' % many, MIB)


def test_events_that_are_parsed_are_counted_together() -> None:
    """Those that come in one piece, as no other turn runs between them."""
    event = b'data: {"a":[' + b",".join([b"0"] * (MOST_VALUES // 2)) + b'],"type":"x"}\n\n'
    tap = tapped(SSE)
    assert [len(list(tap.see(event))) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(Unread, match="an event of it is too large to be read"):
        list(tap.see(event * 2))


def test_an_event_has_a_largest_size() -> None:
    """Its text would be gone through."""
    text = b'data: {"type":"response.completed","response":{"x":"' + b"x" * MOST_JSON
    with pytest.raises(Unread, match="an event of it is too large to be read"):
        seen(tapped(SSE), text + b'"}}\n\n', MIB)


ITEM = b'{"type":"message","role":"assistant","content":[%b]}'
CALL = b'{"type":"function_call","call_id":"c","name":"f","arguments":"[%b]"}'
MANY = b",".join([b"0"] * (MOST_VALUES + 1))


@pytest.mark.parametrize(
    "output",
    [
        MANY,
        ITEM % MANY,
        CALL % MANY,
        b",".join([ITEM % b""] * (MOST_VALUES // 5 + 1)),
        ITEM % (b'"%b"' % (b"x" * MOST_JSON)),
    ],
    ids=["values", "item", "arguments", "items", "text"],
)
def test_an_output_that_is_too_large_is_not_compared(output: bytes) -> None:
    """In an event, in those of its items, at the end, in JSON, and in a call's arguments, which are JSON in a text."""
    frames = [
        b'{"type":"response.%b","response":{"output":[%b]}}' % (kind, output) for kind in (b"created", b"completed")
    ]
    frames.append(b'{"type":"response.output_item.done","output_index":0,"item":%b}' % output)
    streams = [(SSE, b"data: " + frame + b"\n\n") for frame in frames]
    for kind, body in (*streams, (JSON, b'{"status":"completed","output":[%b]}' % output)):
        with pytest.raises(Unread, match=r"too large|larger than"):
            seen(tapped(kind), body, MIB)


def test_items_are_counted_together() -> None:
    """However little each of them holds: all are compared at once, when the answer ends."""
    item = b'data: {"type":"response.output_item.done","output_index":0,"item":{}}\n\n'
    tap = tapped(SSE)
    events = (event for _ in range(MOST_VALUES // 5) for event in tap.see(item))
    with pytest.raises(Unread, match="its output is too large to be compared"):
        list(events)


def test_what_is_not_compared_may_be_large() -> None:
    """Tools and instructions come back with each response: they are no output."""
    body = b'{"status":"completed","id":"resp_1","output":[],"tools":[%b]}' % MANY
    assert len(seen(tapped(JSON), body, MIB)) == 1
    frame = b'{"type":"response.completed","response":%b}' % body
    assert len(seen(tapped(SSE), b"data: " + frame + b"\n\n", MIB)) == 1


def test_texts_are_counted_together() -> None:
    """However few there are: each is gone through when the answer ends."""
    item = b'{"type":"response.output_item.done","output_index":0,"item":{"text":"%b"}}' % (b"x" * MIB)
    with pytest.raises(Unread, match="its output is too large to be compared"):
        seen(tapped(SSE), (b"data: " + item + b"\n\n") * (MOST_JSON // MIB), MIB)


def test_as_much_is_compared_of_json_as_of_a_stream() -> None:
    """There each item comes twice: when it is done, and at the end."""
    item = ITEM % b",".join([b"0"] * (MOST_VALUES // 2))
    done = b'data: {"type":"response.output_item.done","output_index":0,"item":%b}\n\n' % item
    ended = b'data: {"type":"response.completed","response":{"output":[%b]}}\n\n' % item
    for kind, body in ((SSE, done + ended), (JSON, b'{"status":"completed","output":[%b]}' % item)):
        with pytest.raises(Unread, match="its output is too large to be compared"):
            seen(tapped(kind), body, MIB)


def test_nothing_is_given_of_json_that_is_too_large() -> None:
    """It is not even cut into its items."""
    tap = tapped(JSON)
    assert list(tap.see(b'{"status":"completed","output":[%b]}' % MANY)) == []
    with pytest.raises(Unread, match="its output is too large to be compared"):
        next(iter(tap.whole()))
