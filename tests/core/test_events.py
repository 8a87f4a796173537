"""Events: told apart as a full parser would, framed so that any SSE parser gives them back, restored in one place."""

import json
import re
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from proxy.core.events import (
    NAMES_RESPONSE,
    TERMINAL,
    Event,
    Kind,
    NotAnEvent,
    lane_name,
    restored,
    sniff,
    sse,
    told,
    unnamed,
)
from proxy.core.spans import object_fields
from tests.core.spelling import Object, Pairs, exact, objects, randoms, spell, texts

KINDS = {
    "response.created": Kind.NAMES_CHAIN,
    "response.in_progress": Kind.NAMES_CHAIN,
    "response.queued": Kind.NAMES_CHAIN,
    "response.output_item.added": Kind.ITEM_ADDED,
    "response.output_item.done": Kind.ITEM_DONE,
    "response.completed": Kind.COMPLETED,
    "response.failed": Kind.ENDED_SHORT,
    "response.incomplete": Kind.ENDED_SHORT,
    "error": Kind.ERROR,
}
names = st.one_of(st.sampled_from([*KINDS, "response.output_text.delta", "x" * 99, "x" * 100, "", "\n"]), texts)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Any event, its type first, last or in between, with more of that name further in."""
    rest = draw(objects)
    rest.pop("type", None)
    nested: Object = draw(st.sampled_from([{}, {"item": {"type": "message"}}, {"a": [{"type": "error"}]}]))
    event: Object = {**rest, **nested, "type": draw(names)}
    order = draw(st.permutations(list(event)))
    event = {key: event[key] for key in order}
    if draw(st.booleans()):
        return json.dumps(event, separators=(",", ":"), ensure_ascii=draw(st.booleans())).encode()
    return spell(event, draw(randoms)).encode()


# ---- sniffing


@given(frames())
@example(b'{"type":"response.completed"}')
@example(b'{"type":"response.com\\u0070leted","type2":"error"}')
@example(b'{"item":{"type":"error"},"type":"response.completed"}')
@example(b'{"type":"\\"}","x":"error"}')
def test_sniffing_agrees_with_a_full_parse(frame: bytes) -> None:
    """The type is the one that another parser finds, wherever and however it is written; the frame stays as it is."""
    name = json.loads(frame)["type"]
    assert sniff(frame) == Event(name, KINDS.get(name, Kind.PASS), frame)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"binary",
        b"{}",
        b"[]",
        b"null",
        b'"response.completed"',
        b'{"type":null}',
        b'{"error":null,"message":""}',
        b'{"type":1,"error":{"code":"a"}}',
        b'{"type":1}',
        b'{"item":{"type":"error"}}',
        b'{"Type":"error"}',
        b'{"type":"err',
        b' {"type":"error"',
        b'{"type": "error"} x',
        b'{"type":"\xff"}',
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"type":"error"}',
        b'{"x":"\\ud83d","type":5}',
        b'{"x":"\\ud83d"}',
        b'["\\ud83d"]',
        b'{"x":"\\ud83d","type":"error"',
    ],
)
def test_a_frame_without_a_type_is_no_event(frame: bytes) -> None:
    """What is no JSON object with a type is told."""
    with pytest.raises(NotAnEvent):
        sniff(frame)


def test_every_kind_is_told() -> None:
    """The types that mean something to a turn, and the rest, which passes."""
    for name, kind in KINDS.items():
        assert sniff(b'{"type":"%b"}' % name.encode()).kind is kind
    assert sniff(b'{"type":"response.from_the_future"}').kind is Kind.PASS
    assert {Kind.COMPLETED, Kind.ENDED_SHORT} == TERMINAL
    assert TERMINAL | {Kind.NAMES_CHAIN} == NAMES_RESPONSE


# ---- framing


def parsed(stream: bytes) -> Iterator[tuple[str, str]]:
    """An event stream as the WHATWG's specification reads it: (event type, data) of each event dispatched."""
    name, data = "", ""
    lines = re.split("\r\n|\n|\r", stream.decode().removeprefix("\ufeff"))
    for line in lines[:-1]:
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ") if colon else ""
        if not line:
            if data:
                yield name or "message", data.removesuffix("\n")
            name, data = "", ""
        elif field == "event":
            name = value
        elif field == "data":
            data += value + "\n"


@given(st.lists(frames(), min_size=1, max_size=3))
@example([b'{"type":"a",\n"b":\r\n1,\r"c":2}'])
@example(['{"type":"a","b":"\u2028\u2029\x85\x0b\x0c\x1c\x7f\ufeff"}'.replace("\x0b\x0c\x1c", "").encode()])
@example([b'{"type":"two\\rlines"}'])
@example([b'{"type":"two\\nlines"}', b'{"type":" blank first"}', b'{"type":"response.completed"}'])
def test_any_sse_parser_gives_the_event_back(given_frames: list[bytes]) -> None:
    """Name and JSON of each event are what the frame said, whatever white space and characters it holds."""
    events = [sniff(frame) for frame in given_frames]
    found = list(parsed(b"".join(map(sse, events))))
    assert [exact(data.encode()) for _, data in found] == [exact(frame) for frame in given_frames]
    for event, (name, _) in zip(events, found, strict=True):
        assert name == ("message" if {"\n", "\r"} & set(event.type) else event.type or "message")


@given(st.lists(frames(), min_size=1, max_size=3), st.integers(1, 40))
def test_the_openai_sdk_gives_the_event_back(given_frames: list[bytes], size: int) -> None:
    """The same with the parser that callers use, the stream cut into pieces anywhere."""
    stream = b"".join(sse(sniff(frame)) for frame in given_frames)
    pieces = (stream[at : at + size] for at in range(0, len(stream), size))
    found = list(SSEDecoder().iter_bytes(pieces))
    assert [exact(event.data.encode()) for event in found] == [exact(frame) for frame in given_frames]


def test_an_event_is_framed_as_the_api_frames_it() -> None:
    """`event: TYPE`, `data: FRAME`, an empty line; a frame without line ends byte for byte."""
    frame = '{"type":"response.output_text.delta","delta":"é\u2028 \\n"}'.encode()
    assert sse(sniff(frame)) == b"event: response.output_text.delta\ndata: " + frame + b"\n\n"


def test_line_ends_between_tokens_become_blanks() -> None:
    """The length of a pretty-printed frame stays; no line of it is lost."""
    frame = b'{\r\n "type": "error",\n\r "code": null\n}'
    assert sse(sniff(frame)) == b'event: error\ndata: {   "type": "error",   "code": null }\n\n'


# ---- restoring

_MARK = 123456789123456789
_PARENTS = ['"resp_1"', "null", '"a \\" , \\u0031"', '{"id":"x"}', "7"]
_DECOYS: list[Object] = [
    {},
    {"metadata": {"previous_response_id": "resp_1"}},
    {"tools": [{"type": "function", "parameters": {"properties": {"previous_response_id": {"type": "string"}}}}]},
    {"instructions": '"previous_response_id":"resp_1"', "output": [{"previous_response_id": "resp_1"}]},
]


@given(
    st.sampled_from([name for name, kind in KINDS.items() if kind in NAMES_RESPONSE]),
    st.sampled_from(_DECOYS),
    objects,
    st.sampled_from(_PARENTS),
    randoms,
    st.data(),
)
def test_only_the_parent_is_restored(
    name: str, decoy: Object, more: Object, parent: str, random: Random, data: st.DataObject
) -> None:
    """`response.previous_response_id` becomes null; no other byte of the frame changes, wherever that key stands."""
    inner: Object = {"id": "resp_2", "previous_response_id": _MARK, **decoy, "more": more}
    inner = {key: inner[key] for key in data.draw(st.permutations(list(inner)))}
    outer: Object = {"type": name, "response": inner, "previous_response_id": "outer", "sequence_number": 4, "x": more}
    outer = {key: outer[key] for key in data.draw(st.permutations(list(outer)))}
    text = spell(outer, random)
    event = sniff(text.replace(str(_MARK), parent).encode())
    assert restored(event) == event._replace(frame=text.replace(str(_MARK), "null").encode())


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"response.created","response":{"id":"resp_1"}}',
        b'{"type":"response.created","response":{"metadata":{"previous_response_id":"resp_1"}}}',
        b'{"type":"response.completed","response":{}}',
        b'{"type":"response.failed"}',
        b'{"type":"response.completed","previous_response_id":"resp_1"}',
        b'{"type":"response.output_item.done","response":{"previous_response_id":"resp_1"}}',
        b'{"type":"response.output_text.delta","response":',
        b'{"type":"error","response":{"previous_response_id":"resp_1"}}',
    ],
)
def test_what_names_no_parent_stays_as_it_is(frame: bytes) -> None:
    """Without that key in a response there is nothing to restore; other events are not even parsed."""
    assert restored(sniff(frame)) == sniff(frame)


def test_a_pretty_printed_event_keeps_its_print() -> None:
    """White space around the parent stays."""
    response = {"id": "resp_2", "previous_response_id": "resp_1", "metadata": {"previous_response_id": "x"}}
    text = json.dumps({"response": response, "type": "response.completed"}, indent=2)
    found = restored(sniff(text.encode())).frame
    assert found == text.replace('"resp_1"', "null").encode()
    pairs = exact(found)
    assert isinstance(pairs, Pairs)


HALF = "\\ud83d"


def loose(frame: bytes) -> object:
    """The frame as the stdlib reads it: the last of two equal keys, and halves of surrogate pairs as they are."""
    return json.loads(frame)


@pytest.mark.parametrize(
    ("frame", "type_", "kind"),
    [
        (b'{"delta":"a \\ud83d","type":"response.output_text.delta"}', "response.output_text.delta", Kind.PASS),
        (b'{"\\ude00":1, "type":"response.completed"}', "response.completed", Kind.COMPLETED),
        (b'\xef\xbb\xbf{"type":"error"}', "error", Kind.ERROR),
    ],
)
def test_what_the_strict_parser_does_not_take_is_still_told(frame: bytes, type_: str, kind: Kind) -> None:
    """Some gateways cut a text within a surrogate pair: that costs no turn, as it would not over plain HTTP."""
    assert sniff(frame) == Event(type_, kind, frame)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"status":429,"error":{"code":"rate_limit_exceeded"}}',
        b'{"error":"slow down"}',
        b'{"type":null,"code":"rate_limit_exceeded","message":"Slow down."}',
        b'{"error":{"message":"\\ud83d"}}',
    ],
)
def test_an_error_may_lack_its_type(frame: bytes) -> None:
    """As those of xAI do (protocol.md): the caller is to get that error, not one about a frame that nobody knows."""
    assert sniff(frame) == Event("error", Kind.ERROR, frame)


def test_a_type_that_is_no_text_breaks_no_stream() -> None:
    """A half of a surrogate pair in the type itself: the event goes on, its JSON as it came."""
    frame = b'{"x":1,"type":"a\\ud83d"}'
    assert sse(sniff(frame)) == b"event: a?\ndata: " + frame + b"\n\n"


@pytest.mark.parametrize(
    "response",
    [
        '{"previous_response_id":"resp_1","previous_response_id":"resp_1"}',
        '{"id":"a","previous_response_id":"resp_1","id":"b"}',
        '{"previous_response_id":null,"previous_response_id":"resp_1"}',
        '{"previous_response_id":"resp_1","previous_response_id":null}',
        f'{{"id":"r","previous_response_id":"resp_1","instructions":"{HALF}"}}',
        f'{{"id":"r","{HALF}":1,"previous_response_id":"resp_1","metadata":{{"previous_response_id":"x"}}}}',
        f'{{"id":"r","previous_response_id":"{HALF}"}}',
    ],
)
@pytest.mark.parametrize(
    "around",
    ['{{"type":"response.created","response":{}}}', '{{"x":1,"x":2,"type":"response.completed","response":{}}}'],
)
def test_the_parent_is_restored_however_loosely_a_frame_is_read(response: str, around: str) -> None:
    """Keys given twice and halves of surrogate pairs: no reader finds our parent, and every one all the rest."""
    event = sniff(around.format(response).encode())
    found = restored(event)
    expected = loose(event.frame)
    assert isinstance(expected, dict)
    assert isinstance(expected["response"], dict)
    expected["response"]["previous_response_id"] = None
    assert loose(found.frame) == expected
    assert b"resp_1" not in found.frame
    assert (found.type, found.kind) == (event.type, event.kind)
    assert restored(sniff(found.frame)).frame == found.frame


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"response.created","response":{"previous_response_id":"resp_1"},"response":{"id":"b"}}',
        b'{"type":"response.created","response":{"id":"a"},"response":{"previous_response_id":"resp_1"}}',
    ],
)
def test_of_two_responses_in_one_event_neither_shows_the_parent(frame: bytes) -> None:
    """The last one counts, as for most parsers; the other goes, so that no reader finds our parent in it."""
    found = restored(sniff(frame)).frame
    assert b"resp_1" not in found
    assert found.count(b'"response":') == 1


@pytest.mark.parametrize("response", ["null", '"resp_1"', "[]", "7"])
def test_a_response_that_is_none_is_passed_on(response: str) -> None:
    """What names no parent, in however odd a way, says what it said."""
    event = sniff(f'{{"type":"response.created","response":{response}}}'.encode())
    assert loose(restored(event).frame) == loose(event.frame)


@pytest.mark.parametrize(
    "frame",
    [
        b'{"type":"response.created","response":',
        b'{"type":"response.created"}{"type":"response.created"}',
        b'{"type":"response.created","\xff":1}',
        b'{"type":"response.created","response":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_response_event_that_cannot_be_read_is_told(frame: bytes) -> None:
    """A frame that promises a response and is no JSON."""
    with pytest.raises(NotAnEvent):
        restored(sniff(frame))


# ---- lanes

_LANE = "main-1._x"


@st.composite
def laned(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """An event of a lane, the lane's name anywhere in it, and the same event without."""
    rest = draw(objects)
    nested: Object = draw(st.sampled_from([{}, {"response": {"stream_id": _LANE}}, {"a": f',"stream_id":"{_LANE}"'}]))
    event: Object = {**rest, **nested, "type": draw(names), "stream_id": _LANE}
    order = draw(st.permutations(list(event)))
    if draw(st.booleans()):
        order = ["type", *(key for key in order if key not in {"type", "stream_id"})]
        order.insert(draw(st.sampled_from([1, len(order)])), "stream_id")
    event = {key: event[key] for key in order}
    text = json.dumps(event, separators=(",", ":")) if draw(st.booleans()) else spell(event, draw(randoms))
    del event["stream_id"]
    return text.encode(), json.dumps(event).encode()


@given(laned())
def test_a_lane_is_told_and_taken_out(pair: tuple[bytes, bytes]) -> None:
    """The top-level name is read wherever it stands; without it the event says all that it said, in its order."""
    frame, bare = pair
    event = sniff(frame)
    assert lane_name(frame) == _LANE
    found = unnamed(event, _LANE)
    assert found.frame == exactly(frame, found.frame)
    assert json.loads(found.frame) == json.loads(bare)
    assert list(json.loads(found.frame)) == list(json.loads(bare))
    assert (found.type, found.kind) == (event.type, event.kind)
    assert lane_name(found.frame) is None


def exactly(frame: bytes, found: bytes) -> bytes:
    """`found`, if each of its fields stands in `frame` byte for byte."""
    for key, start, end in object_fields(found).values():
        assert found[start:end] in frame
        assert found[key:end] in frame
    return found


@pytest.mark.parametrize(
    ("frame", "bare"),
    [
        (b'{"type":"a","stream_id":"n","x":1}', b'{"type":"a","x":1}'),
        (b'{"type":"a","x":1,"stream_id":"n"}', b'{"type":"a","x":1}'),
        (b'{"type":"a","x":1, "stream_id":"n"}', b'{"type":"a","x":1}'),
        (b'{"stream_id":"n","type":"a","x": 1}', b'{"type":"a","x": 1}'),
        (b'{"type":"a","x":{"stream_id":"n"}}', b'{"type":"a","x":{"stream_id":"n"}}'),
        (b'{"type":"a","x":",\\"stream_id\\":\\"n\\"}"}', b'{"type":"a","x":",\\"stream_id\\":\\"n\\"}"}'),
    ],
)
def test_only_the_lanes_name_is_taken_out(frame: bytes, bare: bytes) -> None:
    """What is within a value stays; the rest keeps its bytes."""
    assert unnamed(sniff(frame), "n").frame == bare


@pytest.mark.parametrize("frame", [b'{"type":"a"}', b'{"type":"a","stream_id":null}', b'{"x":{"stream_id":"n"}}'])
def test_an_event_of_the_default_lane_names_none(frame: bytes) -> None:
    """Only a name at the top counts."""
    assert lane_name(frame) is None


@pytest.mark.parametrize("frame", [b'{"stream_id":1}', b'{"stream_id":["n"]}', b"[]", b"", b"[" * 100_000])
def test_an_odd_lane_is_told(frame: bytes) -> None:
    """A name that is no text, or no event at all."""
    with pytest.raises(NotAnEvent):
        lane_name(frame)


def test_a_lane_is_told_in_a_frame_that_is_read_loosely() -> None:
    """Half of a surrogate pair elsewhere in the frame does not hide whose it is."""
    assert lane_name(b'{"stream_id":"n","delta":"\\ud83d"}') == "n"
    assert lane_name(b'{"delta":"\\ud83d"}') is None
    with pytest.raises(NotAnEvent):
        lane_name(b'{"stream_id":5,"delta":"\\ud83d"}')


@pytest.mark.parametrize(
    ("frame", "bare"),
    [
        (b'{"type":"a", "stream_id":"n","stream_id":"n" }', b'{"type":"a"}'),
        (b'{"type":"a", "stream_id":"n","x":1,"x":2 }', b'{"type":"a","x":2}'),
        (b'{"type":"a", "stream_id":"n","delta":"\\ud83d" }', b'{"type":"a","delta":"\\ud83d"}'),
        (b'{"type":"error","error":{"code":"a"},"error":{"code":"b"}}', b'{"type":"error","error":{"code":"b"}}'),
        (b'{"type":"error","error":{"message":"\\ud83d"}}', b'{"type":"error","error":{"message":"\\ud83d"}}'),
    ],
)
def test_the_lanes_name_is_taken_out_however_loosely_a_frame_is_read(frame: bytes, bare: bytes) -> None:
    """Keys given twice, halves of surrogate pairs, and errors that lack the name besides: the rest is told."""
    assert unnamed(sniff(frame), "n").frame == bare


def test_what_is_no_json_is_not_cleaned() -> None:
    """No caller is given a frame of which nobody knows what it holds."""
    for frame in (b"", b"[]", b'{"type":"a","stream_id":"n"', b"[" * 100_000):
        with pytest.raises(NotAnEvent):
            unnamed(Event("a", Kind.PASS, frame), "n")


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (b'{"type":"error"}', "error"),
        (b'{"type":"response.created","response":{}}', "response.created"),
        (b'{"type": "error"}', ""),
        (b'{"a":1,"type":"error"}', ""),
        (b'{"type":"\\u0065rror"}', ""),
        (b'{"type":"' + b"x" * 200 + b'"}', ""),
        (b'{"type":"\xc3\xa9"}', ""),
        (b"nothing", ""),
    ],
)
def test_a_type_that_comes_first_is_told_without_parsing(frame: bytes, name: str) -> None:
    """Where it is written as the API writes it; elsewhere it must be looked for."""
    assert told(frame) == name
