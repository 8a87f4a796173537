"""Tap: a TCP relay in front of a server that keeps what went through it. It changes nothing."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.relay import Relay


@dataclass
class Line:
    """One connection: its bytes, and for each piece that the client sent its offset and its place in time."""

    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)
    pieces: list[tuple[int, int]] = field(default_factory=list)

    def when(self, offset: int) -> int:
        """The place in time of the piece that holds this byte of the client's."""
        return max(place for begins, place in self.pieces if begins <= offset)


class Tap(Relay):
    """A relay that keeps every byte."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self._clock = itertools.count()

    def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        line = Line()
        self.lines.append(line)
        self._tasks.start(self._up(reader, far_writer, line), "tap up")
        self._tasks.start(_carried(far_reader, writer, line.down), "tap down")

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> None:
        await _carried(
            reader,
            writer,
            line.up,
            lambda: line.pieces.append((len(line.up), next(self._clock))),
        )


async def _carried(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    kept: bytearray,
    note: Callable[[], object] = lambda: None,
) -> None:
    """Carry bytes one way until an end closes; a reset is passed on as one."""
    try:
        while data := await reader.read(65_536):
            note()
            kept += data
            writer.write(data)
            await writer.drain()
        writer.close()
    except ConnectionError:
        writer.transport.abort()
