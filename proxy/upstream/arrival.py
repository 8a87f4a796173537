"""An arrival: whether one create reaches the other end of a line that others share, told by what is acknowledged."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable

from proxy.upstream.socket import Socket

# struct tcp_info in linux/tcp.h: the members tcpi_rtt, in microseconds, and tcpi_bytes_acked (tcp(7), TCP_INFO).
_TCP_INFO = 11
_TOLD = struct.Struct("68xI48xQ")
# An acknowledgement takes one; the first loss is made good within a few.
_ROUND_TRIPS = 3
_QUEUED = struct.Struct("i")
# How often the kernel is asked within the limit: it tells nobody by itself.
_LOOKS = 12


class Arrival:
    """One create's. A slow way is no stall, as long as some of what waits before its end arrives."""

    def __init__(self, line: Socket) -> None:
        self.writing = True
        """Whether it is still being handed to the kernel."""
        self._line = line
        self._end: int | None = None
        self._seen: int | None = None
        self._since = 0.0
        self._next: asyncio.TimerHandle | None = None

    def watch(self, seconds: float, stalled: Callable[[], None]) -> None:
        """Call `stalled` once nothing has arrived for `seconds`: until all has, or it is `over`.

        On systems that do not tell what has arrived it is never called.
        """
        loop = asyncio.get_running_loop()

        def look() -> None:
            arrived = self._arrived()
            if arrived is None or (self._end is not None and arrived >= self._end):
                return
            if arrived != self._seen:
                self._seen, self._since = arrived, loop.time()
            elif loop.time() - self._since >= max(seconds, _ROUND_TRIPS * _round_trip(self._kernel)):
                stalled()
                return
            self._next = loop.call_later(seconds / _LOOKS, look)

        look()

    def over(self) -> None:
        """Nobody wants to know any more."""
        if self._next:
            self._next.cancel()
            self._next = None  # it holds on to the turn

    def written(self) -> None:
        """The kernel has all of it, and what was written before it."""
        self.writing = False
        self._end = (_taken(self._kernel) if self._kernel else None) or 0

    def given_up(self) -> None:
        """No more of it is handed to the kernel."""
        self.writing = False

    @property
    def _kernel(self) -> socket.socket | None:
        transport = self._line.transport
        # A closed transport's descriptor may be another socket's by now.
        return None if transport.is_closing() else transport.get_extra_info("socket")

    def _arrived(self) -> int | None:
        return _arrived(self._kernel) if self._kernel else None


def _told(kernel: socket.socket | None) -> tuple[int, int]:
    """The round trip in microseconds, and the bytes acknowledged; zeros where the system does not tell."""
    if kernel is None or sys.platform != "linux":
        return 0, 0
    with contextlib.suppress(OSError, struct.error):  # a system that is like Linux, or an older one
        round_trip, count = _TOLD.unpack(kernel.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _TOLD.size))
        return int(round_trip), int(count)
    return 0, 0


def _round_trip(kernel: socket.socket | None) -> float:
    """In seconds, as the kernel has measured it."""
    return _told(kernel)[0] / 1_000_000


def _arrived(kernel: socket.socket) -> int | None:
    """Bytes that the other end has acknowledged since the connection began; None where the system does not tell.

    It is never 0 where the system tells: the handshake was acknowledged.
    """
    return _told(kernel)[1] or None


def _taken(kernel: socket.socket) -> int | None:
    """Bytes that the kernel has taken in all: those that were acknowledged, and those that wait for it (TIOCOUTQ)."""
    arrived = _arrived(kernel)  # first: what is acknowledged in between must not make it too much
    if arrived is not None:
        queued = bytearray(_QUEUED.size)
        with contextlib.suppress(OSError):
            fcntl.ioctl(kernel.fileno(), termios.TIOCOUTQ, queued)
            return arrived + int(_QUEUED.unpack(queued)[0])
    return None
