"""A request body: content encodings undone within limits, and reading that ends."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import msgspec
import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.coding import NotDecodable, TooLarge
from proxy.server.body import BodyFault, Prefix, Upload, decode, is_deeper, is_fuller, read
from proxy.tasks import Tasks

LIMIT = 1_000_000
TEXT = b'{"model":"gpt-5.4","input":"caf\xc3\xa9"}' * 50


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the zlib header, as some clients send it."""
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
    "identity": ("identity", bytes),
}
COMPRESSING = [name for name in ENCODERS if name != "identity"]


@given(st.binary(max_size=3_000), st.lists(st.sampled_from(sorted(ENCODERS)), max_size=3))
def test_any_stack_of_encodings_is_undone(data: bytes, stack: list[str]) -> None:
    """What was encoded by a list of encodings comes back as it was, the last one undone first."""
    body = data
    for name in stack:
        body = ENCODERS[name][1](body)
    assert decode(body, ",".join(ENCODERS[name][0] for name in stack), LIMIT) == data


@pytest.mark.parametrize("header", ["GZIP", " gzip ", "identity, gzip", "gzip,,", ",gzip"])
def test_the_header_is_read_leniently(header: str) -> None:
    """Case, blanks and empty members of the list do not matter."""
    assert decode(gzip.compress(TEXT), header, LIMIT) == TEXT


@pytest.mark.parametrize("name", COMPRESSING)
def test_a_bomb_is_too_large(name: str) -> None:
    """A small body that unpacks to more than the limit is refused, not unpacked."""
    header, encode = ENCODERS[name]
    bomb = encode(bytes(5 * LIMIT))
    assert len(bomb) < LIMIT
    with pytest.raises(TooLarge):
        decode(bomb, header, LIMIT)


@pytest.mark.parametrize("outer", COMPRESSING)
@pytest.mark.parametrize("inner", COMPRESSING)
def test_a_bomb_within_another_is_too_large(inner: str, outer: str) -> None:
    """Each layer has the limit: two of them together unpack to no more than one."""
    bomb = ENCODERS[outer][1](ENCODERS[inner][1](bytes(5 * LIMIT)))
    assert len(bomb) < LIMIT // 100
    with pytest.raises(TooLarge):
        decode(bomb, f"{ENCODERS[inner][0]}, {ENCODERS[outer][0]}", LIMIT)


def test_layers_are_counted() -> None:
    """More than three layers are not undone, however small each is: the upstream may judge them."""
    body = TEXT
    for _ in range(3):
        body = gzip.compress(body)
    assert decode(body, "gzip, gzip, identity, gzip,", LIMIT) == TEXT
    with pytest.raises(NotDecodable):
        decode(gzip.compress(body), "gzip, gzip, gzip, gzip", LIMIT)


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    """What is unpacked is bounded while it is unpacked, not looked at afterwards."""
    for name in COMPRESSING:
        header, encode = ENCODERS[name]
        bomb = encode(bytes(20 * LIMIT))
        tracemalloc.start()
        try:
            with pytest.raises(TooLarge):
                decode(bomb, header, LIMIT)
            assert tracemalloc.get_traced_memory()[1] < 5 * LIMIT
        finally:
            tracemalloc.stop()


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_the_depth_of_json(value: object) -> None:
    """Depth is that of arrays and objects; brackets, quotes and backslashes in strings do not count."""
    body = msgspec.json.encode(value)
    deepest = depth(value)
    assert not is_deeper(body, deepest)
    assert deepest == 0 or is_deeper(body, deepest - 1)


def depth(value: object) -> int:
    """How deep a value is nested."""
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 1 + max(map(depth, value.values()), default=0) if isinstance(value, dict) else 0


@pytest.mark.parametrize("text", ["\\\\", '\\"', '\\\\\\"', "\\n", "[[[[{{{{", "\\\\\\\\", ']\\"[\\\\', "\\u005c"])
def test_strings_do_not_count_for_the_depth(text: str) -> None:
    """However a string is escaped, what it holds is no structure, and what comes after it is."""
    body = b'[["%b"],["%b",["%b"]]]' % ((text.encode(),) * 3)
    assert (is_deeper(body, 2), is_deeper(body, 3)) == (True, False)


@pytest.mark.parametrize("levels", [1_000, 1_000_000])
def test_what_is_far_too_deep_is_told_soon(levels: int) -> None:
    """A million levels are no recursion of ours, and no end of work."""
    assert is_deeper(b"[" * levels + b"]" * levels, 128)
    assert is_deeper(b'{"a":[' * levels + b"]}" * levels, 128)


@pytest.mark.parametrize("name", COMPRESSING)
def test_the_limit_itself_is_allowed(name: str) -> None:
    """Exactly as many bytes as the limit are taken, one more is not."""
    header, encode = ENCODERS[name]
    assert decode(encode(TEXT), header, len(TEXT)) == TEXT
    with pytest.raises(TooLarge):
        decode(encode(TEXT), header, len(TEXT) - 1)


@pytest.mark.parametrize("name", COMPRESSING)
@pytest.mark.parametrize(
    "bend",
    [
        lambda body: body[:-1],
        lambda body: body[: len(body) // 2],
        lambda body: body + b"more",
        lambda _: b"\x00not that encoding",
        lambda _: b"",
    ],
    ids=["last byte missing", "half", "something after it", "other bytes", "empty"],
)
def test_a_broken_body_is_not_decodable(name: str, bend: Callable[[bytes], bytes]) -> None:
    """What is cut, followed by something, or something else is for the upstream to judge."""
    header, encode = ENCODERS[name]
    with pytest.raises(NotDecodable):
        decode(bend(encode(TEXT)), header, LIMIT)


def test_an_unknown_encoding_is_not_decodable() -> None:
    """An encoding that Openline does not know is for the upstream to judge, also within a list."""
    for header in ("compress", "gzip, rot13", "rot13, gzip"):
        with pytest.raises(NotDecodable):
            decode(gzip.compress(TEXT), header, LIMIT)


FULL = {
    "items": lambda count: b"[" + b",".join([b"{}"] * count) + b"]",
    "keys": lambda count: b"{" + b",".join(b'"%d":1' % number for number in range(count)) + b"}",
    "texts": lambda count: b"[" + b",".join([rb'"a\"\\"'] * count) + b"]",
    "nested": lambda count: b"[" + b",".join([b"[[1,2]]"] * (count // 2)) + b"]",
}


@pytest.mark.parametrize("shape", FULL)
def test_many_values_are_too_many(shape: str) -> None:
    """They are counted wherever they stand."""
    assert is_fuller(FULL[shape](1_002), 1_000)
    assert not is_fuller(FULL[shape](1_000), 1_000)


@pytest.mark.parametrize("text", [",,,", '\\",', '",[,"', "\\\\", '\\",\\'])
def test_texts_are_no_values(text: str) -> None:
    """Whatever is in a text, also another JSON, is one value."""
    assert not is_fuller(msgspec.json.encode([text * 10_000] * 10), 10)


def test_strings_with_brackets_are_told_from_levels() -> None:
    """Neither empty strings nor brackets within others make a level, wherever they stand."""
    odd = ["", "[", "]", "", '"', "[[", "]]", "\\", ""]
    body = msgspec.json.encode([[*odd, {"": odd, "[": ["", "]"]}], *odd])
    assert (is_deeper(body * 1, 3), is_deeper(body, 4)) == (True, False)


def coming(*chunks: bytes, whole: bool = True) -> StreamReader:
    """A body of which these chunks have come."""
    loop = asyncio.get_running_loop()
    line = BaseProtocol(loop)
    line.connection_made(asyncio.Transport())
    stream = StreamReader(line, 2**16, loop=loop)
    for chunk in chunks:
        stream.feed_data(chunk)
    if whole:
        stream.feed_eof()
    return stream


async def test_a_body_is_read_whole() -> None:
    """A body up to the limit is one piece of bytes, and counted."""
    upload = Upload(coming(b"abc", b"def"), 1)
    assert await read(upload, 6) == b"abcdef"
    assert upload.size == 6
    assert await read(Upload(coming(), 1), 6) == b""


async def test_a_larger_body_is_kept_to_be_passed_on() -> None:
    """Of a body over the limit nothing is lost: what was read comes first, then the rest as it comes."""
    stream = coming(b"abcdefg", whole=False)
    upload = Upload(stream, 1)
    body = await read(upload, 6)
    assert isinstance(body, Prefix)
    stream.feed_data(b"hij")
    stream.feed_eof()
    assert b"".join([chunk async for chunk in body]) == b"abcdefghij"
    assert upload.size == 10


async def test_a_body_that_stalls_is_a_fault() -> None:
    """A caller that sends nothing more does not hold its turn for ever; the fault says so."""
    upload = Upload(coming(b"abc", whole=False), 0.01)
    with pytest.raises(BodyFault, match=r"stalled for 0\.01 s"):
        await read(upload, 6)
    assert (upload.size, upload.fault) == (3, "its body stalled for 0.01 s")


async def test_a_body_that_trickles_is_a_fault() -> None:
    """A byte now and then does not hold a place for ever: the waits are added up."""
    stream, tasks = coming(whole=False), Tasks()
    reading = tasks.start(read(Upload(stream, 0.1), 1_000_000), "body")
    async with asyncio.timeout(10):
        while not reading.done():
            stream.feed_data(b"a")
            await asyncio.wait({reading}, timeout=0.01)
        with pytest.raises(BodyFault, match=r"stalled for 0\.1 s in all"):
            await reading


async def test_a_body_that_is_read_slowly_is_no_fault() -> None:
    """Waits that are not the caller's, as for an upstream that reads slowly, are not his fault."""
    stream = coming(b"abc", whole=False)
    chunks = aiter(Upload(stream, 0.05))
    assert await anext(chunks) == b"abc"
    await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=0.1)
    stream.feed_data(b"def")
    assert await anext(chunks) == b"def"


@pytest.mark.parametrize("error", [web.RequestPayloadError("bad chunk"), ConnectionResetError("lost")])
async def test_a_body_that_breaks_is_a_fault(error: Exception) -> None:
    """A malformed chunk or a lost line in mid-body is told apart from the body's end."""
    stream = coming(b"abc", whole=False)
    upload = Upload(stream, 1)
    chunks = aiter(upload)
    assert await anext(chunks) == b"abc"
    stream.set_exception(error)
    with pytest.raises(BodyFault, match="broken"):
        await anext(chunks)
    assert upload.fault == "its body is broken"
