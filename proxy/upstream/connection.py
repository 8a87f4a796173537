"""A connection: one upstream WebSocket, its lanes, and whose is what comes on it."""

import asyncio
import time

import cachetools
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State as SocketState

from proxy.config import Settings
from proxy.core.events import Event, Kind, NotAnEvent, unnamed
from proxy.core.heads import Head
from proxy.core.lane import Lane, OutOfPlace, State, Unowned, Verdict, Whose
from proxy.core.lanes import Lanes
from proxy.core.reasons import Whole
from proxy.core.recovery import Fault
from proxy.core.refusal import refusal
from proxy.core.runs import runs
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.address import PoolKey
from proxy.upstream.capabilities import Host
from proxy.upstream.delivery import Delivery
from proxy.upstream.drain import Drains
from proxy.upstream.lease import Lease
from proxy.upstream.owner import Owner
from proxy.upstream.pieces import Pieces, pieces
from proxy.upstream.silence import Silence
from proxy.upstream.socket import Socket
from proxy.upstream.upload import Upload, Way

# Bytes that may wait for a turn to take them before the socket is read no further.
_HIGH_WATER = 1_048_576
# Models of which a connection remembers that it was asked about them.
_MOST_ASKED = 64
_OF_CREATES = (Fault.CONNECTION_LIMIT, Fault.OVERSIZE)


class Connection:
    """One WebSocket. It is read as long as it is open: a close, and any frame, is seen at once.

    socket ─▶ runs (what is it?) ─▶ lanes (whose is it?) ─▶ the lease of the turn that has the lane
    """

    def __init__(
        self,
        socket: Socket,
        key: PoolKey,
        host: Host,
        lanes: Lanes,
        *,
        settings: Settings,
        expires: float,
        tasks: Tasks,
        owner: Owner,
    ) -> None:
        self.key = key
        self.host = host
        self.lanes = lanes
        self.expires = expires
        self.opened_at = self.used_at = time.monotonic()
        self.fault: TurnFault | None = None
        self.asked: cachetools.LRUCache[bytes, None] = cachetools.LRUCache(_MOST_ASKED)
        """The models of which it was asked here what they do with a made-up id."""
        self._limits = settings.pool
        self._upload_seconds = settings.timeouts.first_event_seconds
        self._socket = socket
        self._delivery = Delivery(socket, settings.pool.pong_seconds)
        self._tasks = tasks
        self._owner = owner
        self._leases: dict[Lane, Lease] = {}
        self._given_up: list[Head | None] = []
        """What lanes held that are not used again."""
        self._drains = Drains(tasks, self._drained)
        self._pieces: Pieces | None = None
        self._held_up = False
        """Whether it is read no further, as a turn does not take what came."""
        self._silence = Silence()
        self._way = Way(self, socket, self._delivery, self._silence, tasks)
        self._spoken = False
        # Not now: whoever makes it is to know it before it can end.
        asyncio.get_running_loop().call_soon(socket.listen, self)

    @property
    def open(self) -> bool:
        """Whether turns may still use it. A close frame is noticed before the socket is gone."""
        return self.fault is None and self._socket.state is SocketState.OPEN

    @property
    def busy(self) -> bool:
        """Whether any turn has a part of it."""
        return self.lanes.busy

    @property
    def in_vain(self) -> bool:
        """Whether nothing of a response ever came."""
        return not self._spoken

    def lease(self, lane: Lane, continuing: Head | None = None) -> Lease:
        """Give `lane` to a turn, which goes on from `continuing` there."""
        self.lanes.lease(lane, continuing)
        lease = self._leases[lane] = Lease(self, lane)
        self.taken()  # a slow caller must not keep this turn waiting
        return lease

    def retire(self, reason: Whole) -> None:
        """Close it once the turns that it has are done; the heads that die with it are buried with this reason."""
        self.lanes.retire(reason)
        self._close_when_idle()

    def close(self, reason: Whole) -> None:
        """Close it now."""
        self.lanes.retire(reason)
        self._end(TurnFault(Fault.LINE_LOST, f"the connection was closed: {reason.value}"))

    async def write(self, lease: Lease, frame: bytes, probe: bytes | None, pong_seconds: float) -> None:
        """Write a create, and a probe ahead of it. Raises TurnFault where it was not, or not wholly, written."""
        # What has come already is seen first: it can be no answer to this create.
        await asyncio.sleep(0)
        if lease.fault or not self.open or lease.lane.state is not State.IDLE:
            # Whatever ended the line, this create was not written.
            raise TurnFault(Fault.LINE_LOST, str(lease.fault or "the line is closing"))
        if len(frame) >= self.host.known.frame_limit_bytes:
            raise TurnFault(Fault.OVERSIZE, "the create is larger than the host's frame limit")
        if probe:
            self.asked[lease.model] = None
        await Upload(self._way, lease).run(
            (probe, frame) if probe else (frame,),
            self._upload_seconds,
            spare=pong_seconds,
            pong_seconds=min(pong_seconds, self._limits.pong_seconds),
            doubtful=self._silence.doubtful(self._limits.doubtful_after_seconds),
            alone=self.lanes.in_flight == 1,
        )

    async def gone(self) -> None:
        """Wait until its descriptor is free."""
        await self._socket.wait_closed()

    def lost(self, error: ConnectionClosed) -> None:
        """The socket is closed, which says why."""
        if any(lease.probe and not lease.probe.is_set() for lease in self._leases.values()):
            self.host.asked_in_vain()
        self._end(self._delivery.loss(error), self.lanes.sole_awaited)

    def abort(self, detail: str) -> None:
        """The line is dead: no closing handshake, which would wait behind a write that is stuck."""
        self._end(TurnFault(Fault.LINE_LOST, detail))
        self._socket.transport.abort()

    def taken(self) -> None:
        """A turn took what had arrived, or need not any more."""
        if self._held_up:
            self._held_up = False
            if not self._socket.transport.is_closing():
                self._socket.transport.resume_reading()

    def give_up_probe(self, lease: Lease) -> None:
        """The host does not answer the made-up id. Others that share the line have theirs answered, and go on."""
        self.host.asked_in_vain()
        if self.lanes.in_flight == 1:
            self.close(Whole.CONNECTION_LOST)
        else:
            lease.end(TurnFault(Fault.LINE_LOST, "a made-up id was not answered"))
            self._quarantine(lease.lane)

    def release(self, lease: Lease) -> None:
        """The turn is done. In mid-answer a lone one's socket is closed, which stops the generation as HTTP would."""
        lane = lease.lane
        lane.release()
        if lease.arrival:
            lease.arrival.over()
        self._leases.pop(lane, None)
        self._pieces = None
        self.used_at = time.monotonic()
        self.taken()
        if lane.in_flight and self.fault is None:
            if self.lanes.proven:
                lane.abandon()
                self._drains.begin(lane)
            else:
                self.close(Whole.UNFINISHED)
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self.lanes.reason and not self.busy:
            self.close(self.lanes.reason)

    def _drained(self, lane: Lane, ended: bool) -> None:  # noqa: FBT001 - a callback's only word
        if not ended:
            self._quarantine(lane)
        self._close_when_idle()
        self._owner.room()

    def _quarantine(self, lane: Lane) -> None:
        """The lane's name is never used again, its frames are dropped; the connection goes with its other turns."""
        self._given_up.append(lane.distrust())
        self.retire(self.lanes.reason or Whole.CONNECTION_LOST)

    def arrived(self, messages: list[bytes]) -> None:
        """What one read brought: each event goes to its lease, and all of them at once to the turns that listen."""
        if self.fault:
            return  # it ended while this was on its way: what comes now says nothing of the host
        self._silence.broken()
        self._delivery.relax()
        if self._pieces and self._pieces.took(messages):
            return
        self._pieces = None
        try:
            for event in runs(messages, named=self.lanes.named):
                if not self._greets(event):
                    self._take(event)
                if self.fault:
                    return
        except (OutOfPlace, NotAnEvent) as error:
            # Where several turns share the line it cannot be told whose this was: most of them are bystanders.
            shared = self.lanes.in_flight > 1
            if shared:
                self.host.mixed_up(certain=isinstance(error, Unowned))
            self._end(TurnFault(Fault.LINE_LOST if shared else Fault.GARBAGE, f"the upstream sent {error}"))
            self._socket.transport.abort()
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        for lease in tuple(self._leases.values()):
            lease.hand_over()
            if lease.waiting > _HIGH_WATER and self._leases.get(lease.lane) is lease:
                if self.lanes.in_flight > 1:
                    lease.shed()
                elif not self._held_up and not self._socket.transport.is_closing():
                    self._held_up = True
                    self._socket.transport.pause_reading()

    def _greets(self, event: Event) -> bool:
        """Whether it is what some hosts say of themselves before they answer anything: no turn's, so it is dropped."""
        if self._spoken:
            return False
        self._spoken = event.kind is Kind.ERROR or event.type.startswith("response.")
        if self._spoken:
            self._owner.works(self)
        return not self._spoken

    def _take(self, event: Event) -> None:
        """Give an event to whom it belongs. Raises OutOfPlace, NotAnEvent where that cannot be told."""
        if event.kind is Kind.ERROR and refusal(event.frame).connection_limit:
            self.lanes.retire(Whole.ROTATED)
            self.host.refused_age(time.monotonic() - self.opened_at)
            self._end(TurnFault(Fault.CONNECTION_LIMIT, "the host's age limit"), self.lanes.asked_by(event))
            return
        was_named, was_proven = self.lanes.named, self.lanes.proven
        lane = self.lanes.of(event)
        if was_named and not self.lanes.named:
            self.host.refused_lanes()
            self._owner.room()  # nobody need wait for another echo
        if self.lanes.proven and not was_proven:
            self._owner.room()
        if lane.state is State.IDLE and lane.name is not None:
            self._quarantine(lane)
            return
        whose = lane.take(event)
        if whose is Whose.NOBODY:
            self._drains.dropped(lane, event.size)
            return
        if whose is Whose.PROBE:
            self._answered(lane.verdict, self._leases.get(lane))
            return
        lease = self._leases[lane]
        self._pieces = pieces(event, lane, lease)
        lease.deliver(unnamed(event, lane.name) if lane.name is not None else event)

    def _answered(self, verdict: Verdict | None, lease: Lease | None) -> None:
        """The host has answered a made-up id; the turn that asked may be gone."""
        if verdict is not None and lease and lease.probe:
            self.host.asked(lease.model, verdict)
            lease.probe.set()

    def _end(self, fault: TurnFault, refused: Lane | None = None) -> None:
        """The one way out: the fault is kept for the turns that wait, the lanes close, the heads die.

        `refused` is the lane whose create was refused by what ended the line: it did not run. Others may have.
        """
        if self.fault:
            return
        self.fault = fault
        reason = self.lanes.reason or Whole.CONNECTION_LOST
        self.lanes.retire(reason)
        for lane, lease in tuple(self._leases.items()):
            unknown = fault.fault in _OF_CREATES and lane is not refused
            lease.end(TurnFault(Fault.LINE_LOST if unknown else fault.fault, fault.detail, waited=fault.waited))
        dead = [head for head in [*self._given_up, *[lane.close() for lane in self.lanes]] if head]
        self._drains.end()
        self._owner.ended(self, dead, reason)
        if self._socket.unsent:
            # A closing handshake would wait behind it, and nobody wants it any more.
            self._socket.transport.abort()
        self._tasks.start(self._socket.close(), "connection close")
