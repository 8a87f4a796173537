"""A content coding: undone in whatever pieces it comes, within its limit, and told from what is broken."""

import gzip
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise

import brotli
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.coding import Decoder, NotDecodable, TooLarge

TEXT = b'data: {"type":"response.output_text.delta","delta":"caf\xc3\xa9"}\n\n' * 60


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the zlib header."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def _brotli(data: bytes) -> bytes:
    compressed: bytes = brotli.compress(data)
    return compressed


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", _brotli),
    "zstd": ("zstd", zstd.compress),
}
every = pytest.mark.parametrize("name", ENCODERS)


def coded(name: str, data: bytes = TEXT) -> tuple[Decoder, bytes]:
    """A new decoder, and what it is to undo."""
    header, encode = ENCODERS[name]
    return Decoder(header), encode(data)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The bytes, cut at these places."""
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


@given(st.binary(max_size=2_000), st.sampled_from(sorted(ENCODERS)), st.lists(st.integers(0, 3_000), max_size=8))
def test_pieces_hold_what_the_whole_holds(data: bytes, name: str, cuts: list[int]) -> None:
    """However a body is cut, what comes out is what went in, and it is whole with its last byte."""
    decoder, body = coded(name, data)
    *first, last = pieces(body, cuts)
    found = [decoder.decode(piece, len(data)) for piece in first]
    assert not last or not decoder.whole
    assert b"".join([*found, decoder.decode(last, len(data))]) == data
    assert decoder.whole


@every
def test_what_was_flushed_is_had_at_once(name: str) -> None:
    """A host that flushes after each event is read event by event: nothing waits for the next one."""
    if name in {"gzip", "x-gzip", "deflate", "raw deflate"}:
        window = {"deflate": zlib.MAX_WBITS, "raw deflate": -zlib.MAX_WBITS}.get(name, zlib.MAX_WBITS | 16)
        zipping = zlib.compressobj(wbits=window)
        first, second = (zipping.compress(part) + zipping.flush(zlib.Z_SYNC_FLUSH) for part in (b"one", b"two"))
    elif name == "br":
        packing = brotli.Compressor()
        first, second = (packing.process(part) + packing.flush() for part in (b"one", b"two"))
    else:
        writing = zstd.ZstdCompressor()
        first, second = (writing.compress(part, writing.FLUSH_BLOCK) for part in (b"one", b"two"))
    decoder = Decoder(ENCODERS[name][0])
    assert [decoder.decode(first, 100), decoder.decode(second, 100)] == [b"one", b"two"]
    assert not decoder.whole


@every
def test_more_than_the_limit_is_too_large(name: str) -> None:
    """One byte more than a piece may hold is too much; as many are not."""
    decoder, body = coded(name)
    assert decoder.decode(body, len(TEXT)) == TEXT
    decoder, body = coded(name)
    with pytest.raises(TooLarge):
        decoder.decode(body, len(TEXT) - 1)


@every
def test_what_follows_the_end_is_not_decodable(name: str) -> None:
    """In the same piece or in another; nothing at all may follow in any number of pieces."""
    decoder, body = coded(name)
    with pytest.raises(NotDecodable):
        decoder.decode(body + b"more", len(TEXT))
    decoder, body = coded(name)
    assert decoder.decode(body, len(TEXT)) == TEXT
    assert decoder.decode(b"", 0) == b""
    with pytest.raises(NotDecodable):
        decoder.decode(b"x", len(TEXT))


@every
@pytest.mark.parametrize("cut", [1, 2, 20])
def test_what_is_cut_is_not_whole(name: str, cut: int) -> None:
    """Without its last bytes it is not taken for all there was."""
    decoder, body = coded(name)
    assert TEXT.startswith(decoder.decode(body[:-cut], len(TEXT)))
    assert not decoder.whole


@every
@pytest.mark.parametrize("size", [1, 2, 100])
def test_other_bytes_are_not_decodable(name: str, size: int) -> None:
    """They are told at the latest when something would have come of them, whatever their pieces."""
    decoder, noise = Decoder(ENCODERS[name][0]), b"\xff\xfenot that coding" * 100

    def feed() -> None:
        for start in range(0, len(noise), size):
            decoder.decode(noise[start : start + size], 10_000)

    with pytest.raises(NotDecodable):
        feed()


def test_a_header_is_believed() -> None:
    """What began with the zlib header is broken where that is: it is not read as if it had begun without one."""
    decoder = Decoder("deflate")
    header, stored = b"\x78\x9c", b"\x00\x63\xff" + b"A" * 156
    assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(header + stored) == b"A" * 156
    assert decoder.decode(header, 1_000) == b""
    with pytest.raises(NotDecodable):
        decoder.decode(stored, 1_000)


@pytest.mark.parametrize("name", ["", "identity", "compress", "GZIP", "gzip, br"])
def test_an_unknown_name_is_not_decodable(name: str) -> None:
    """Names are lower-case words; what is none of the five codings is not guessed at."""
    with pytest.raises(NotDecodable):
        Decoder(name)
