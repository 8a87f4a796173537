"""The framing: pieces that end where heads and bodies end, wherever the segments end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.framing import Framing
from proxy.server.head import Malformed
from tests.server.malformed import BODIES, HEADS

HEAD = b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding:CHUNKED \r\n\r\n"
EVERY = HEADS | BODIES
# What comes in, and what goes on of it.
STREAMS = {
    "nothing": (b"", b""),
    "a head": (GET, GET),
    "a blank line ahead": (b"\r\n\r\n" + GET + b"\r\n" + GET, GET + GET),
    "a length": (HEAD + b"Content-Length:\t4 \r\n\r\nbody" + GET, HEAD + b"Content-Length:\t4 \r\n\r\nbody" + GET),
    "no body": (HEAD + b"Content-Length: 0\r\n\r\n" + GET, HEAD + b"Content-Length: 0\r\n\r\n" + GET),
    "chunks": (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + GET, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + GET),
    "a chunk that looks like an end": (
        CHUNKED + b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        CHUNKED + b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
    ),
    "sizes in any spelling": (CHUNKED + b"00A\r\n0123456789\r\n000\r\n\r\n", CHUNKED + b"a\r\n0123456789\r\n0\r\n\r\n"),
    "extensions and trailers": (
        CHUNKED + b'3;a="\\"b c";d\r\nabc\r\n0;e\r\nX-A: 1\r\nX-B:\r\n\r\n' + GET,
        CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + GET,
    ),
    "an upgrade": (
        GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello\x00\n",
        GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello\x00\n",
    ),
    "an offer of HTTP/2": (
        HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab" + GET,
        HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab" + GET,
    ),
    "a promise of a WebSocket without an upgrade": (GET[:-2] + b"Upgrade: websocket\r\n\r\n" + GET,) * 2,
    "raw bytes in a value": (GET[:-2] + b"X: \xff\xe4\t b\r\n\r\n",) * 2,
    "HTTP/1.0 without a host": (b"GET / HTTP/1.0\r\n\r\n",) * 2,
}


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream as segments that end at these places."""
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


def passed(segments: list[bytes]) -> tuple[bytes, str | None]:
    """What the framing lets pass of these segments, and why it stops."""
    framing, seen = Framing(), bytearray()
    try:
        for segment in segments:
            for piece in framing.feed(segment):
                assert piece
                seen += piece
    except Malformed as fault:
        return bytes(seen), str(fault)
    return bytes(seen), None


@pytest.mark.parametrize("case", STREAMS)
def test_what_is_right_passes(case: str) -> None:
    """Heads and bodies pass as they are; chunks in one spelling, without extensions and trailers."""
    stream, expected = STREAMS[case]
    assert passed([stream]) == (expected, None)
    assert passed([bytes([byte]) for byte in stream]) == (expected, None)


@given(st.sampled_from(sorted(STREAMS)), st.lists(st.integers(0, 2**16), max_size=8))
def test_segments_make_no_difference(case: str, places: list[int]) -> None:
    """The same passes, however the network cut it."""
    stream, expected = STREAMS[case]
    assert passed(cut(stream, places)) == (expected, None)


@given(st.sampled_from(sorted(EVERY)), st.lists(st.integers(0, 2**18), max_size=4))
def test_segments_do_not_hide_what_is_malformed(case: str, places: list[int]) -> None:
    """What is refused whole is refused in pieces, at the latest when something follows it; it lets no more pass."""
    stream = EVERY[case] + GET
    whole, fault = passed([stream])
    parts, same = passed(cut(stream, places))
    if case == "an old WebSocket":  # the library's own check
        return
    assert fault
    assert same
    assert parts == whole


@pytest.mark.parametrize("case", HEADS)
def test_nothing_of_a_malformed_head_passes(case: str) -> None:
    """Not a byte of it reaches a parser that might think otherwise."""
    if case != "an old WebSocket":
        assert passed([HEADS[case] + GET])[0] == b""


@given(st.lists(st.sampled_from([b"\r", b"\n", b" ", b":", b"a", b"GET / HTTP/1.1", b"Host: a", b"0", b"\x00"])))
def test_whatever_comes_it_is_right_or_refused(parts: list[bytes]) -> None:
    """No bytes raise anything else, and nothing passes but heads that are whole."""
    seen, _ = passed(parts)
    assert seen.count(b"\r\n\r\n") == seen.count(b"HTTP/1.1\r\n")


def test_where_it_is_in_the_stream() -> None:
    """It counts heads, and knows whether one has begun and whether a body is under way."""
    framing = Framing()

    def state(data: bytes) -> tuple[int, bool, bool]:
        list(framing.feed(data))
        return framing.heads, framing.in_head, framing.between

    assert state(b"") == (0, False, True)
    assert state(b"\r\n") == (0, False, True)
    assert state(b"POST") == (0, True, True)
    assert state(b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n") == (1, False, False)
    assert state(b"a") == (1, False, False)
    assert state(b"bGET") == (1, True, True)
