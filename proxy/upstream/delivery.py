"""Delivery: whether what was sent arrives. The kernel calls a line lost where nothing of it does, for some seconds."""

import asyncio
import contextlib
import math
import socket
import sys

from websockets.exceptions import ConnectionClosed

from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.upstream.socket import Socket

# What a network may be away for while turns are answered: as long as keep-alive pings are commonly waited for.
_PATIENT = 20.0
# The kernel's own limit, in units of so many to a second. Linux: a window that stays closed counts too (tcp(7),
# TCP_USER_TIMEOUT). macOS: retransmissions alone (TCP_RXT_CONNDROPTIME in netinet/tcp.h), in whole seconds.
_LINUX: tuple[int | None, int] = (getattr(socket, "TCP_USER_TIMEOUT", None), 1_000)
_MACOS: tuple[int | None, int] = (0x80, 1)
_ROUND_TRIPS = 1.0
_TOO_BIG = 1009


class Delivery:
    """One socket's. A slow way is no loss, as long as some bytes arrive."""

    def __init__(self, line: Socket, hurry_seconds: float, platform: str = sys.platform) -> None:
        self.seconds = 0.0
        """How long what was sent may stay unacknowledged."""
        self._line = line
        self._hurry_seconds = hurry_seconds
        self._option, self._units = _MACOS if platform == "darwin" else _LINUX
        self._begun = 0
        self._timer: asyncio.TimerHandle | None = None
        self._limit(_PATIENT)

    def begin(self, seconds: float, *, alone: bool) -> int:
        """A create is about to be written, which can go another way for `seconds`. Returns its number.

        It is to begin to arrive within that time, and soon: unless it can go no other way, or others share the line.
        """
        self._begun += 1
        if alone and math.isfinite(seconds):
            self._limit(min(seconds, self._hurry_seconds))
        return self._begun

    def written(self) -> None:
        """The kernel has it: soon it has arrived, or the line is lost."""
        if self.seconds != _PATIENT and self._timer is None:
            # The kernel counts from the first time that it sends anew: it takes a round trip or two more.
            self._timer = asyncio.get_running_loop().call_later(2 * self.seconds + _ROUND_TRIPS, self.relax)

    def relax(self) -> None:
        """What was sent has arrived: the model may take its time."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self.seconds != _PATIENT:
            self._limit(_PATIENT)

    def cut_short(self, create: int) -> bool:
        """Whether the last create was not written to its end: it cannot run. Of others that is not known."""
        return self._line.unsent and create == self._begun

    def loss(self, error: ConnectionClosed) -> TurnFault:
        """What the end of the line means: OVERSIZE where the host minds a frame's size, else LINE_LOST."""
        if isinstance(error.__cause__, TimeoutError):
            detail = f"the line was lost: what was sent did not arrive for {self.seconds:g} s"
            return TurnFault(Fault.LINE_LOST, detail, waited=self.seconds)
        close = error.rcvd or error.sent
        detail = f"the line was lost {f'with code {close.code}' if close else 'without a close frame'}"
        too_big = error.rcvd is not None and error.rcvd.code == _TOO_BIG
        return TurnFault(Fault.OVERSIZE if too_big else Fault.LINE_LOST, detail)

    def _limit(self, seconds: float) -> None:
        self.seconds = seconds
        transport = self._line.transport
        # A closed transport's descriptor may be another socket's by now.
        if self._option is not None and not transport.is_closing():
            kernel: socket.socket = transport.get_extra_info("socket")
            # OSError: the host has hung up and the loop has not seen it yet (macOS), or the system knows no such limit.
            with contextlib.suppress(OSError):
                kernel.setsockopt(socket.IPPROTO_TCP, self._option, max(1, round(seconds * self._units)))
