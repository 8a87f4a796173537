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
      ├──▶ size ─▶ chunk ─▶ its end ─▶ size … trailers ─▶ head …
      └──▶ upgraded: whatever it is
    """

    def __init__(self) -> None:
        self._held = b""
        # Where in it to go on: a cut at each piece would copy all the rest, for each of thousands of small chunks.
        self._at = 0
        self._step: Callable[[], bytes | None] = self._head
        self._chunks: list[bytes] = []
        self._searched = 0
        self._begun = False
        self._blank_lines = 0
        self._left = 0
        self.heads = 0
        """Complete heads so far."""

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is not complete."""
        return self._at < len(self._held) and self.between

    @property
    def between(self) -> bool:
        """Whether no body is under way."""
        return self._step == self._head

    @property
    def upgraded(self) -> bool:
        """Whether what comes now is not HTTP any more, so that nothing of it is checked."""
        return self._step == self._upgraded

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What can be read on now: whole heads, parts of bodies. Raises Malformed after what was right before it."""
        self._held += data
        fault = None
        try:
            while (piece := self._step()) is not None:
                if piece:
                    yield piece
        except Malformed as error:
            fault = error
        if self._chunks:
            yield self._one_chunk()
        if fault:
            raise fault
        self._held, self._at = self._held[self._at :], 0

    def _take(self, size: int) -> bytes:
        piece = self._held[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _head(self) -> bytes | None:
        while self._held.startswith(_END, self._at) and not self._begun:  # clients may send a blank line after a body
            self._blank_lines += 1
            if self._blank_lines > _MOST_BLANK_LINES:
                raise Malformed("it begins with blank lines")
            self._at += 2
        end = self._held.find(_END_OF_HEAD, self._at + self._searched)
        if (end if end >= 0 else len(self._held)) - self._at > LARGEST_HEAD:
            raise Malformed(f"its head is larger than {LARGEST_HEAD:,} bytes")
        if end < 0:
            self._partial(self._held[self._at :])
            return None
        body = check(self._held[self._at : end])
        self._searched, self._begun, self._blank_lines = 0, False, 0
        self.heads += 1
        if body.upgrade:
            self._step = self._upgraded
        elif body.chunked:
            self._step = self._size
        elif body.length:
            self._left, self._step = body.length, self._sized
        return self._take(end + 4 - self._at)

    def _partial(self, held: bytes) -> None:
        """Judge what is there of a head: what is no HTTP at all may wait for an answer and never end its head."""
        if held in {b"", b"\r"}:
            return
        if _CONTROL.search(held, max(0, self._searched - 1)):
            raise Malformed("it has control characters, or lines that do not end in CR LF: is it HTTP (not https)?")
        if not self._begun:
            if not _BEGINNING.match(held):
                raise Malformed("it does not begin with a method")
            line, ended, _ = held.partition(_END)
            if ended:
                check_line(line)
                self._begun = True
        self._searched = max(0, len(held) - 3)

    def _sized(self) -> bytes | None:
        piece = self._take(self._left)
        self._left -= len(piece)
        if not self._left:
            self._step = self._head
        return piece or None

    def _size(self) -> bytes | None:
        line, ended, _ = self._held[self._at : self._at + _LARGEST_SIZE_LINE + 2].partition(_END)
        size = _SIZE.fullmatch(line if ended else line.removesuffix(b"\r"))
        if (size is None and (ended or line not in {b"", b"\r"})) or len(line) > _LARGEST_SIZE_LINE:
            raise Malformed("the size of a chunk of its body cannot be read")
        if size is None or not ended:
            return None
        self._at += len(line) + 2
        self._left = int(size[1], 16)
        if self._left:
            self._step = self._chunk
            return b""
        self._step = self._trailers
        return (self._one_chunk() if self._chunks else b"") + b"0\r\n"

    def _chunk(self) -> bytes | None:
        """Passed on later, with its neighbours: to those who read on, many small chunks are more work than one."""
        piece = self._take(self._left)
        if not piece:
            return None
        self._chunks.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = self._chunk_end
        return b""

    def _one_chunk(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        return b"%x\r\n%b\r\n" % (len(data), data)

    def _chunk_end(self) -> bytes | None:
        end = self._held[self._at : self._at + 2]
        if not _END.startswith(end):
            raise Malformed("a chunk of its body is longer than its size")
        if len(end) < 2:
            return None
        self._step = self._size
        self._at += 2
        return b""

    def _trailers(self) -> bytes | None:
        """Fields after a chunked body: nobody reads them here, so that they end here."""
        size = 0
        if not self._held.startswith(_END, self._at):
            fields, ended, _ = self._held[self._at : self._at + _LARGEST_TRAILERS + 4].partition(_END_OF_HEAD)
            if len(fields) > _LARGEST_TRAILERS:
                raise Malformed(f"its trailers are larger than {_LARGEST_TRAILERS:,} bytes")
            if _CONTROL.search(fields):
                raise Malformed("its trailers have control characters")
            if not ended:
                return None
            for field in fields.split(_END):
                check_field(field)
            size = len(fields) + 2
        self._at += size + 2
        self._step = self._head
        return _END

    def _upgraded(self) -> bytes | None:
        return self._take(len(self._held)) or None
