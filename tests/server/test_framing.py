"""The framing: pieces that end where heads and bodies end, wherever the segments end."""

from collections import deque
from itertools import pairwise
from time import process_time

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
        return joined(bytes(seen)), str(fault)
    return joined(bytes(seen)), None


def joined(seen: bytes) -> bytes:
    """With the data of all chunks in one, as segments may part them anew."""
    head, end, rest = seen.partition(b"\r\n\r\n")
    data = b""
    while b"chunked" in head.lower() and rest and not rest.startswith(b"0\r\n"):
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        assert rest[length : length + 2] == b"\r\n"
        data, rest = data + rest[:length], rest[length + 2 :]
    return head + end + (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + rest


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


def test_small_chunks_pass_as_one() -> None:
    """Thousands of chunks in one read are one chunk behind it; what a malformed one follows passes before it."""
    small = b"1;x\r\na\r\n" * 20_000
    pieces = [*Framing().feed(CHUNKED + small + b"0\r\n\r\n")]
    assert pieces == [CHUNKED, b"4e20\r\n" + b"a" * 20_000 + b"\r\n0\r\n", b"\r\n"]
    assert passed([CHUNKED + b"1\r\na\r\n1\r\nb\r\nx\r\n"])[0] == CHUNKED + b"2\r\nab\r\n"


def test_many_small_pieces_take_time_in_proportion() -> None:
    """Twenty times as many chunks or heads in one read take twenty times as long, not four hundred times."""
    for start, one in ((CHUNKED, b"1\r\na\r\n"), (b"", GET)):
        few, many = (took(start + one * count) for count in (3_000, 60_000))
        assert many < 80 * few


def took(stream: bytes) -> float:
    """Seconds of this process to frame it: the best of some."""
    spent = []
    for _ in range(3):
        before = process_time()
        deque(Framing().feed(stream), maxlen=0)
        spent.append(process_time() - before)
    return min(spent)


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
