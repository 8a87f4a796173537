"""An SSE stream: cut as its readers cut it, in whatever pieces it comes."""

import re
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from proxy.core.events import sniff, sse
from proxy.core.sse import Cutter, lines

# What makes and ends lines and fields, in any order.
streams = st.lists(
    st.sampled_from(
        [b"data", b"event", b"id", b":", b": ", b" ", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"{}", b"x", b"\xc3\xa9"]
    ),
    max_size=40,
).map(b"".join)


def cut(text: bytes, places: list[int]) -> list[bytes]:
    """What comes of the stream, in pieces."""
    cutter = Cutter()
    bounds = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [data for start, end in pairwise(bounds) for data in cutter.feed(text[start:end])]


def read(text: bytes) -> list[bytes]:
    """The data of the events that the SDK sees in it."""
    return [event.data.encode() for event in SSEDecoder().iter_bytes(iter([text])) if event.data]


@given(streams, st.lists(st.integers(0, 200), max_size=6))
def test_pieces_do_not_matter(text: bytes, places: list[int]) -> None:
    """Wherever a stream is cut, also within the end of a line, the events are the same."""
    assert cut(text, places) == cut(text, [])


@given(streams)
def test_lines_are_counted_as_they_are_cut(text: bytes) -> None:
    """Whatever ends them."""
    assert lines(text) == len(re.split(rb"\r\n|\n|\r", text)) - 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_the_end_of_a_line_is_one_wherever_it_is_cut(end: bytes) -> None:
    """Half of it is no empty line, which would end the event; nor is it if nothing comes in between."""
    text = end.join((b"data: a", b"data: b", b"", b": c", b"data: d", b"", b""))
    for place in range(len(text)):
        assert cut(text, [place, place]) == [b"a\nb", b"d"], place


@given(streams)
def test_events_are_those_of_the_sdk(text: bytes) -> None:
    """What has data is what the SDK gives to its caller, byte for byte, but for data that is empty."""
    assert [data for data in cut(text + b"\n\n", []) if data] == read(text + b"\n\n")


@given(st.lists(st.text(max_size=20), max_size=5), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_of_the_api_come_back(texts: list[str], end: bytes) -> None:
    """As they were framed, with any of the three ends of lines."""
    frames = [msgspec.json.encode({"type": "response.output_text.delta", "delta": text}) for text in texts]
    stream = b"".join(sse(sniff(frame)) for frame in frames).replace(b"\n", end)
    assert cut(stream, list(range(0, len(stream), 7))) == frames


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b": keep-alive\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 1\nretry: 5\n\n", []),
        (b"data: a\ndata: b\ndata\n\n", [b"a\nb\n"]),
        (b"data:a\ndata:  b\n\n", [b"a\n b"]),
        (b"data: a\n", []),
        (b"data: a\n\ndata: b", [b"a"]),
        (b"data: a\r\rdata: b\r\n\r\n", [b"a", b"b"]),
        (b"\n\n\ndata: a\n\n\n\n", [b"a"]),
        (b"dat: a\ndatas: b\n\n", []),
    ],
)
def test_lines_make_events(text: bytes, found: list[bytes]) -> None:
    """Comments and other fields are left out, one blank goes, and what no empty line ends is no event."""
    assert cut(text, []) == found
