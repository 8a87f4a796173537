"""A connection: one upstream WebSocket, its lane, and the reader that is always at it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from proxy.config import Pool as Limits
from proxy.core.events import Event, Kind, NotAnEvent, sniff
from proxy.core.heads import Head
from proxy.core.lanes import Lane, OutOfPlace, State, Whose
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.core.refusal import refusal
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.address import PoolKey
from proxy.upstream.capabilities import Host

# Bytes that may wait for a turn to take them before the socket is read no further.
_HIGH_WATER = 1_048_576
_TOO_BIG = 1009
# How far the wall clock may run ahead of the monotonic one before the machine is taken to have slept, in seconds.
_SLEPT = 2.0


class Connection:
    """One WebSocket. Its reader runs as long as it is open: a close, and any frame, is seen at once.

    socket ─▶ reader ─▶ lane (whose is it?) ─▶ inbox ─▶ the lease that the turn holds
    """

    def __init__(
        self,
        socket: ClientConnection,
        key: PoolKey,
        host: Host,
        *,
        limits: Limits,
        expires: float,
        tasks: Tasks,
        on_end: Callable[["Connection", Head | None, Whole], None],
    ) -> None:
        self.key = key
        self.host = host
        self.expires = expires
        self.leased = False
        self.used_at = time.monotonic()
        self.fault: TurnFault | None = None
        self._limits = limits
        self._socket = socket
        self._lane = Lane()
        self._tasks = tasks
        self._on_end = on_end
        self._reason = Whole.CONNECTION_LOST
        self._inbox: deque[Event] = deque()
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._heard = 0
        self._heard_at = self._clocks()
        self._probe: asyncio.Future[None] | None = None
        tasks.start(self._read(), "connection reader")

    @staticmethod
    def _clocks() -> tuple[float, float]:
        return time.monotonic(), time.time()

    @property
    def open(self) -> bool:
        """Whether turns may still use it."""
        return self.fault is None

    @property
    def has_head(self) -> bool:
        """Whether a conversation could be continued here."""
        return self._lane.latest is not None

    def holds(self, head: Head) -> bool:
        """Whether `head` can be continued here now."""
        return self.open and not self.leased and self._lane.holds(head)

    @property
    def asked(self) -> bool:
        """Whether a made-up id was sent here."""
        return self._probe is not None

    @property
    def awaits_probe(self) -> bool:
        """Whether the host has not answered the made-up id yet."""
        return self._probe is not None and not self._probe.done()

    async def probed(self, seconds: float) -> None:
        """Wait until the host has answered the made-up id. Raises TurnFault where it does not."""
        if self._probe is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._probe)
        except TimeoutError:
            self.host.asked_in_vain()
            self.retire(Whole.CONNECTION_LOST)
        if self.fault and not self._inbox:
            raise self.fault

    def retire(self, reason: Whole) -> None:
        """Close it; the head that dies with it is buried with this reason."""
        self._reason = reason
        self._end(TurnFault(Fault.LINE_LOST, f"the connection was closed: {reason.value}"))

    async def send(self, frame: bytes, probe: bytes | None) -> Head | None:
        """Write a create (and a probe ahead of it). Returns the head that dies by it. Raises TurnFault."""
        if self.fault:
            raise self.fault
        if len(frame) >= self.host.known.frame_limit_bytes:
            raise TurnFault(Fault.OVERSIZE, "the create is larger than the host's frame limit")
        if probe:
            self._probe = asyncio.get_running_loop().create_future()
        doubtful = self._doubtful()
        dead = self._lane.create(*((Whose.PROBE, Whose.TURN) if probe else (Whose.TURN,)))
        try:
            for message in (probe, frame) if probe else (frame,):
                await self._socket.send(message, text=True)
        except ConnectionClosed as error:
            self._lose(error)
        if doubtful:
            self._tasks.start(self._confirm(self._limits.pong_seconds), "doubtful line")
        return dead

    def _doubtful(self) -> bool:
        """Whether nothing was heard for long, or the machine slept since: the line may be gone unseen."""
        (monotonic, wall), (was_monotonic, was_wall) = self._clocks(), self._heard_at
        silent = monotonic - was_monotonic
        return silent > self._limits.doubtful_after_seconds or (wall - was_wall) - silent > _SLEPT

    async def _confirm(self, seconds: float) -> None:
        """Ping the host; nothing heard within `seconds`: the line is lost."""
        heard = self._heard
        try:
            async with asyncio.timeout(seconds):
                await (await self._socket.ping())
        except TimeoutError:
            if heard == self._heard:
                self._end(TurnFault(Fault.LINE_LOST, f"a doubtful line gave no pong within {seconds:g} s"))
        except ConnectionClosed as error:
            self._lose(error)

    async def batch(self, seconds: float) -> list[Event]:
        """The events that have arrived, at least one. Raises TurnFault: the line's end, TimeoutError: silence."""
        if not self._inbox:
            self._arrived.clear()
            if self.fault:
                raise self.fault
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
            if not self._inbox:
                raise self.fault or TurnFault(Fault.LINE_LOST, "the line ended")
        events = list(self._inbox)
        self._inbox.clear()
        self._waiting = 0
        self._drained.set()
        return events

    def commit(self, head: Head) -> bool:
        """The turn that ended here can be continued from `head`: False where the line is gone meanwhile."""
        if self._lane.state is not State.IDLE:
            return False
        self._lane.commit(head)
        return True

    def give_back(self) -> None:
        """The lease ended. In mid-answer the socket is closed: that stops the generation, as plain HTTP would."""
        self.leased = False
        self.used_at = time.monotonic()
        if self.open and (self._lane.state is not State.IDLE or self._inbox):
            self.retire(Whole.UNFINISHED)

    async def _read(self) -> None:
        try:
            while True:
                message = await self._socket.recv()
                self._heard += 1
                self._heard_at = self._clocks()
                self._take(sniff(message.encode() if isinstance(message, str) else b"binary"))
                while self._waiting > _HIGH_WATER and self.open:
                    self._drained.clear()
                    await self._drained.wait()
        except ConnectionClosed as error:
            self._lose(error)
        except (OutOfPlace, NotAnEvent, UnicodeError) as error:
            self._end(TurnFault(Fault.GARBAGE, f"the upstream sent {error}"))
        finally:
            self._end(TurnFault(Fault.LINE_LOST, "the connection was closed"))
            await self._socket.close()

    def _take(self, event: Event) -> None:
        if event.kind is Kind.ERROR and self._lane.state is State.IDLE and refusal(event.frame).connection_limit:
            self._reason = Whole.ROTATED
            self._end(TurnFault(Fault.LINE_LOST, "the host's age limit"))
            return
        whose = self._lane.take(event)
        if whose is Whose.PROBE:
            if self._lane.verdict and self._probe and not self._probe.done():
                self._probe.set_result(None)
                self.host.asked(self._lane.verdict)
            return
        self._inbox.append(event)
        self._waiting += len(event.frame)
        self._arrived.set()

    def _lose(self, error: ConnectionClosed) -> None:
        close = error.rcvd or error.sent
        fault = Fault.OVERSIZE if close is not None and close.code == _TOO_BIG else Fault.LINE_LOST
        if self.awaits_probe:
            self.host.asked_in_vain()
        code = f"with code {close.code}" if close else "without a close frame"
        self._end(TurnFault(fault, f"the line was lost {code}"))

    def _end(self, fault: TurnFault) -> None:
        """The one way out: the fault is kept for the turn that waits, the lane closes, the head dies."""
        if self.fault:
            return
        self.fault = fault
        if self._probe and not self._probe.done():
            self._probe.set_result(None)
        self._arrived.set()
        self._drained.set()
        self._on_end(self, self._lane.close(), self._reason)
        self._tasks.start(self._socket.close(), "connection close")
