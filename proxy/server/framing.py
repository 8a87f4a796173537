"""The framing of what one caller sends: cut into heads and bodies, each checked before anything else reads it."""

import re
from collections.abc import Callable, Iterator

from proxy.server.head import LARGEST_HEAD, Malformed, check, check_field, check_line

_END = b"\r\n"
_END_OF_HEAD = b"\r\n\r\n"
# A line ends in both or in neither; a part of a head may end between the two.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]|(?<!\r)\n")
_BEGINNING = re.compile(rb"[A-Z-]{1,20}(?: |\Z)")
_MOST_BLANK_LINES = 4
# The extension is for nobody behind us: it is taken, and not passed on.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LARGEST_SIZE_LINE = 1_024
_LARGEST_TRAILERS = 8_192


class Framing:
    """Where in the stream one connection is.

    head ─▶ body of a length ─▶ head …
      ├──▶ size ─▶ chunk ─▶ size … trailers ─▶ head …
      └──▶ upgraded: whatever it is
    """

    def __init__(self) -> None:
        self._held = b""
        self._step: Callable[[], bytes] = self._head
        self._searched = 0
        self._begun = False
        self._blank_lines = 0
        self._left = 0
        self.heads = 0
        """Complete heads so far."""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is not complete."""
        return bool(self._held) and self.between

    @property
    def between(self) -> bool:
        """Whether no body is under way."""
        return self._step == self._head

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What can be read on now: whole heads, parts of bodies. Raises Malformed after what was right before it."""
        self._held += data
        while piece := self._step():
            yield piece

    def _take(self, size: int) -> bytes:
        piece, self._held = self._held[:size], self._held[size:]
        return piece

    def _head(self) -> bytes:
        while self._held.startswith(_END) and not self._begun:  # clients may send a blank line after a body
            self._blank_lines += 1
            if self._blank_lines > _MOST_BLANK_LINES:
                raise Malformed("it begins with blank lines")
            self._take(2)
        end = self._held.find(_END_OF_HEAD, self._searched)
        if (end if end >= 0 else len(self._held)) > LARGEST_HEAD:
            raise Malformed(f"its head is larger than {LARGEST_HEAD:,} bytes")
        if end < 0:
            self._partial()
            return b""
        body = check(self._held[:end])
        self._searched, self._begun, self._blank_lines = 0, False, 0
        self.heads += 1
        if body.upgrade:
            self._step = self._upgraded
        elif body.chunked:
            self._step = self._size
        elif body.length:
            self._left, self._step = body.length, self._sized
        return self._take(end + 4)

    def _partial(self) -> None:
        """Judge what is there of a head: what is no HTTP at all may wait for an answer and never end its head."""
        if self._held in {b"", b"\r"}:
            return
        if _CONTROL.search(self._held, max(0, self._searched - 1)):
            raise Malformed("it has control characters, or lines that do not end in CR LF: is it HTTP (not https)?")
        if not self._begun:
            if not _BEGINNING.match(self._held):
                raise Malformed("it does not begin with a method")
            line, ended, _ = self._held.partition(_END)
            if ended:
                check_line(line)
                self._begun = True
        self._searched = max(0, len(self._held) - 3)

    def _sized(self) -> bytes:
        piece = self._take(self._left)
        self._left -= len(piece)
        if not self._left:
            self._step = self._head
        return piece

    def _size(self) -> bytes:
        line, ended, _ = self._held.partition(_END)
        size = _SIZE.fullmatch(line if ended else line.removesuffix(b"\r"))
        if (size is None and (ended or line not in {b"", b"\r"})) or len(line) > _LARGEST_SIZE_LINE:
            raise Malformed("the size of a chunk of its body cannot be read")
        if size is None or not ended:
            return b""
        self._take(len(line) + 2)
        self._left = int(size[1], 16)
        self._step = self._chunk if self._left else self._trailers
        return b"%x\r\n" % self._left

    def _chunk(self) -> bytes:
        piece = self._take(self._left)
        self._left -= len(piece)
        if not self._left:
            self._step = self._chunk_end
        return piece

    def _chunk_end(self) -> bytes:
        if not _END.startswith(self._held[:2]):
            raise Malformed("a chunk of its body is longer than its size")
        if len(self._held) < 2:
            return b""
        self._step = self._size
        return self._take(2)

    def _trailers(self) -> bytes:
        """Fields after a chunked body: nobody reads them here, so that they end here."""
        end = 0
        if not self._held.startswith(_END):
            end = self._held.find(_END_OF_HEAD)
            if (end if end >= 0 else len(self._held)) > _LARGEST_TRAILERS:
                raise Malformed(f"its trailers are larger than {_LARGEST_TRAILERS:,} bytes")
            if _CONTROL.search(self._held[: end if end >= 0 else None]):
                raise Malformed("its trailers have control characters")
            if end < 0:
                return b""
            for field in self._held[:end].split(_END):
                check_field(field)
            end += 2
        self._take(end + 2)
        self._step = self._head
        return _END

    def _upgraded(self) -> bytes:
        return self._take(len(self._held))
