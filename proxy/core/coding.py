"""A content coding: undone piece by piece, as a body comes, and never to more than is allowed."""

import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

import brotli

try:
    from compression import zstd
except ImportError:  # before Python 3.14
    from backports import zstd

# As long as the zlib header: by then it is known whether there is one.
_HEADER = 2


class TooLarge(Exception):
    """More than the limit, as sent or as decoded."""


class NotDecodable(Exception):
    """An unknown or broken content coding."""


class _Stream(Protocol):
    """What the libraries of the codings have in common."""

    @property
    def eof(self) -> bool:
        """Whether the coded data is whole."""

    @property
    def unused_data(self) -> bytes:
        """What followed it."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most so many bytes of what `data` holds."""


class Decoder:
    """One coded body."""

    def __init__(self, name: str) -> None:
        """Raise NotDecodable where no such coding is known."""
        begin = _STREAMS.get(name)
        if begin is None:
            raise NotDecodable(name)
        self._name = name
        self._stream = begin()

    @property
    def whole(self) -> bool:
        """Whether all of it has come."""
        return self._stream.eof

    def decode(self, data: bytes, most: int) -> bytes:
        """What the next piece holds.

        Raises:
            NotDecodable: it is broken, or comes after the end.
            TooLarge: it holds more than `most` bytes; nothing can be decoded any more.
        """
        if not data:
            return b""
        try:
            decoded = self._stream.decompress(data, most + 1)
        except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
            raise NotDecodable(self._name) from error
        if len(decoded) > most:
            raise TooLarge
        if self._stream.unused_data:
            raise NotDecodable(self._name)
        return decoded


class _Deflate:
    """With or without the zlib header: programs differ."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS)
        self._head = b""

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        head = self._head
        self._head = (head + data)[:_HEADER]
        try:
            return self._stream.decompress(data, max_length)
        except zlib.error:
            if len(head) == _HEADER:
                raise
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._stream.decompress(head + data, max_length)


class _Brotli:
    """The library's names for the same."""

    unused_data = b""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def eof(self) -> bool:
        whole: bool = self._stream.is_finished()
        return whole

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        decoded: bytes = self._stream.process(data, output_buffer_limit=max_length)
        return decoded


def _gzip() -> _Stream:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


_STREAMS: Mapping[str, Callable[[], _Stream]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": zstd.ZstdDecompressor,
}
