"""A request body: read within limits, its content encoding undone for reading while the raw bytes are kept."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import StreamReader, web

from proxy.core.coding import Decoder, NotDecodable

# Nobody encodes twice but to keep us busy: each layer may unpack to the limit, and be the next one's input.
_MOST_LAYERS = 3
# For a JSON's depth its braces are brackets, and all but these and the quotes does not count.
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'"[]{}'))
_STRING = re.compile(rb'"[^"]*"')
# More than these is no history but an attempt to keep us busy.
_MOST_BRACKETS = 1_000_000
# Bytes a second. Below it a body comes only to keep its place among the requests.
_SLOWEST = 1_000.0


class BodyFault(Exception):
    """The caller's body broke off, or is no HTTP body."""


class Upload:
    """A caller's body on its way: `size` bytes of it came so far, `fault` says what was wrong with it."""

    def __init__(self, content: StreamReader, seconds: float) -> None:
        self._content = content
        self._seconds = seconds
        self._waited = 0.0
        self.size = 0
        self.fault = ""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises BodyFault: also when nothing comes for `seconds`, or all the waits for it are longer than that and what
        its size takes at 1 kB a second. Our own waits, for an upstream that reads slowly, do not count.
        """
        while chunk := await self._next():
            self.size += len(chunk)
            yield chunk

    async def _next(self) -> bytes:
        now = asyncio.get_running_loop().time
        began, left = now(), self._seconds + self.size / _SLOWEST - self._waited
        try:
            async with asyncio.timeout(min(left, self._seconds)):
                return await self._content.readany()
        except TimeoutError as error:
            in_all = "" if left >= self._seconds else " in all"
            self.fault = f"its body stalled for {self._seconds:g} s{in_all}"
            raise BodyFault(self.fault) from error
        except (web.RequestPayloadError, ConnectionError) as error:
            self.fault = "its body is broken"
            raise BodyFault(self.fault) from error
        finally:
            self._waited += now() - began


@dataclass(frozen=True, slots=True)
class Prefix:
    """What was read of a body that is larger than the limit, and where the rest comes from."""

    read: tuple[bytes, ...] = field(repr=False)
    rest: AsyncIterator[bytes]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.read:
            yield chunk
        async for chunk in self.rest:
            yield chunk


async def read(upload: Upload, limit: int) -> bytes | Prefix:
    """The whole body as sent, or what was read of it where it is larger than `limit` bytes. Raises BodyFault."""
    chunks: list[bytes] = []
    coming = aiter(upload)
    async for chunk in coming:
        chunks.append(chunk)
        if upload.size > limit:
            return Prefix(tuple(chunks), coming)
    return b"".join(chunks)


def decode(body: bytes, encodings: str, limit: int) -> bytes:
    """Undo the `Content-Encoding` header's list, last first. Raises NotDecodable, TooLarge (over `limit` bytes)."""
    names = [part.strip().lower() for part in encodings.split(",")]
    layers = [name for name in names if name not in {"", "identity"}]
    if len(layers) > _MOST_LAYERS:
        raise NotDecodable(f"{len(layers)} layers")
    for name in reversed(layers):
        body = _decode_one(body, name, limit)
    return body


def is_fuller(body: bytes, most: int) -> bool:
    """Whether the JSON `body` has more than some `most` values, whatever is in its texts.

    Parsing takes a thousand times as long for many small values as for a long text, and all turns wait meanwhile.
    """
    if body.count(b",") <= most:
        return False
    unescaped = _unescaped(body)
    if unescaped.count(b'"') > 4 * most:  # a key and a text have as many
        return True
    return sum(between.count(b",") for between in unescaped.split(b'"')[::2]) > most


def is_deeper(body: bytes, most: int) -> bool:
    """Whether the JSON `body` is nested more than `most` levels deep. It is looked at flat: nothing here recurses."""
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    # Most strings have no bracket in them. Two quotes side by side, even of two strings, can go together.
    flat = _unescaped(body).translate(_ONE_KIND, _NOT_STRUCTURE).replace(b'""', b"")
    brackets = _STRING.sub(b"", flat)
    for _ in range(most):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")  # the innermost level
        if len(brackets) > _MOST_BRACKETS:
            return True
    return bool(brackets)


def _unescaped(body: bytes) -> bytes:
    """A JSON whose strings end at the next quote: escaped backslashes go first, or one would seem to escape it."""
    return body.replace(b"\\\\", b"").replace(b'\\"', b"")


def _decode_one(body: bytes, name: str, limit: int) -> bytes:
    decoder = Decoder(name)
    decoded = decoder.decode(body, limit)
    if not decoder.whole:
        raise NotDecodable(name)
    return decoded
