"""An upload: one create on its way from its turn to the kernel, and what is done when it gets nowhere."""

import asyncio
import math
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.arrival import Arrival
from proxy.upstream.delivery import Delivery
from proxy.upstream.lease import Lease
from proxy.upstream.silence import Silence
from proxy.upstream.socket import Socket


class Line(Protocol):
    """What an upload asks of its connection."""

    fault: TurnFault | None

    def lost(self, error: ConnectionClosed) -> None:
        """It ended."""

    def abort(self, detail: str) -> None:
        """It is dead: end it without a word."""

    def retire(self, reason: Whole) -> None:
        """Take no new turns."""


@dataclass(frozen=True, slots=True)
class Way:
    """What an upload goes by: one connection's."""

    line: Line
    socket: Socket
    delivery: Delivery
    silence: Silence
    tasks: Tasks


class Upload:
    """One create's, and that of the question which goes ahead of it."""

    def __init__(self, way: Way, lease: Lease) -> None:
        self._way = way
        self._lease = lease
        self._arrival = Arrival(way.socket)

    async def run(
        self,
        messages: Sequence[bytes],
        seconds: float,
        *,
        spare: float,
        pong_seconds: float,
        doubtful: bool,
        alone: bool,
    ) -> None:
        """Write them, in `seconds` at most. Raises TurnFault where they were not written to their end.

        For `spare` seconds the turn can go another way; `pong_seconds` is the setting, or that if it is less.
        """
        way, lease = self._way, self._lease
        create = way.delivery.begin(spare, alone=alone)
        lease.begin()
        try:
            async with asyncio.timeout(seconds) as limit:
                if not alone and math.isfinite(spare):
                    self._watch(pong_seconds, limit)
                if doubtful:
                    # Ahead of the create: behind it, the pong would wait for a long upload.
                    pong = await way.socket.ping()
                    way.tasks.start(self._confirm(pong, pong_seconds), "doubtful line")
                for message in messages:
                    await way.socket.send(message, text=True)
                way.delivery.written()
                self._arrival.written()
        except ConnectionClosed as error:
            way.line.lost(error)
        except TimeoutError:
            if not lease.fault:
                way.line.abort(f"the upstream took less than the whole create within {seconds:g} s")
        finally:
            self._arrival.given_up()
        # While the line is open, what the kernel did not take yet goes out later: it may run.
        cut_short = way.line.fault is not None and way.delivery.cut_short(create)
        if cut_short and lease.fault and lease.fault.fault is Fault.LINE_LOST:
            raise TurnFault(Fault.LINE_LOST, lease.fault.detail, waited=lease.fault.waited)

    def _watch(self, seconds: float, limit: asyncio.Timeout) -> None:
        """Nothing arrives for `seconds`: the turn goes another way, and new ones too; others may be answered yet."""
        way, lease = self._way, self._lease

        def stalled() -> None:
            detail = f"what was sent on a shared line did not arrive for {seconds:g} s"
            lease.end(TurnFault(Fault.LINE_LOST, detail, waited=seconds))
            way.line.retire(Whole.CONNECTION_LOST)
            if self._arrival.writing and not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

        lease.arrival = self._arrival
        self._arrival.watch(seconds, stalled)

    async def _confirm(self, pong: Awaitable[float], seconds: float) -> None:
        """Neither the pong nor anything else within `seconds`: the line is lost."""
        if not await self._way.silence.ended(pong, seconds):
            detail = f"a doubtful line gave no pong within {seconds:g} s"
            self._lease.end(TurnFault(Fault.LINE_LOST, detail, waited=seconds))
            self._way.line.abort(detail)
