"""Connection: one WebSocket: its lanes, its memory, its age. It dies with the socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from proxy.simulator import noise
from proxy.simulator.bodies import parse
from proxy.simulator.errors import ApiError, RefusedError, age_limit, invalid, no_lanes
from proxy.simulator.faults import Fault
from proxy.simulator.host import Host
from proxy.simulator.journal import Entry, Headers
from proxy.simulator.memory import Memory
from proxy.simulator.prompt import Item
from proxy.simulator.steering import Steering
from proxy.simulator.turn import Turn
from proxy.simulator.validation import LANE_NAME
from proxy.tasks import Tasks

_CLOSE_SECONDS = 2.0


class Connection:
    """Reads frames until the socket ends; each create runs in a task of its own, one at a time in each lane."""

    def __init__(self, host: Host, request: web.BaseRequest, headers: Headers, number: int) -> None:
        self.memory = Memory()
        self._host = host
        self._request = request
        self._headers = headers
        self._number = number
        self._socket = web.WebSocketResponse(
            timeout=_CLOSE_SECONDS,
            compress=host.behaviour.compress,
            max_msg_size=host.behaviour.frame_limit,
            decode_text=False,
        )
        self._lanes: dict[str | None, asyncio.Lock] = {None: asyncio.Lock()}
        self._slots = asyncio.Semaphore(host.behaviour.in_flight)
        self._steering = Steering()
        self._tasks = Tasks()
        self._opened = host.behaviour.clock()
        self._echoed = False

    async def run(self, answer_headers: dict[str, str]) -> web.StreamResponse:
        """Accept the upgrade and serve the socket until it ends."""
        self._socket.headers.update(answer_headers)
        try:
            await self._socket.prepare(self._request)
        except ConnectionError:
            return self._socket  # the client is gone
        self._host.sockets[self._number] = self
        self._host.watch.notify()
        self._tasks.start(self._grow_old(), "simulator: age limit")
        try:
            while (message := await self._socket.receive()).type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                if len(message.data) >= self._host.behaviour.frame_limit:
                    await self._socket.close(code=WSCloseCode.MESSAGE_TOO_BIG)
                elif message.type is WSMsgType.BINARY:
                    await self.error(None, _BINARY)
                else:
                    await self._frame(message.data)
        except ConnectionError:
            pass  # the client is gone: what follows is the same
        finally:
            del self._host.sockets[self._number]
            self._host.watch.notify()
            await self._tasks.close()
        return self._socket

    def abort(self) -> None:
        """Reset the TCP connection."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def strike(self, fault: Fault) -> bool:
        """Let a fault happen to the socket; True when that ended it."""
        if fault.what == "abort":
            self.abort()
        elif fault.what == "close":
            await self._socket.close(code=fault.close_code)
        elif fault.what == "age_limit":
            await self.expire()
        elif fault.what == "binary":
            await self._socket.send_bytes(noise.binary())
            return False
        else:
            await self._socket.send_frame(noise.text(fault), WSMsgType.TEXT)
            return False
        return True

    async def expire(self) -> None:
        """The age limit is reached: say so and close."""
        await self.error(None, age_limit(self._host.behaviour.age_limit))
        await self._socket.close(code=WSCloseCode.OK)

    async def send(self, lane: str | None, event: Item) -> None:
        """Send an event; a named lane's events carry its name."""
        named = event if lane is None else {**event, "stream_id": lane}
        self._echoed |= lane is not None
        await self._socket.send_frame(msgspec.json.encode(named), WSMsgType.TEXT)

    async def error(self, lane: str | None, error: ApiError) -> None:
        """Send an error frame in this host's shape."""
        behaviour = self._host.behaviour
        frame = error.frame(lane, behaviour.error_shape, behaviour.error_omits)
        self._echoed |= "stream_id" in frame
        await self._socket.send_frame(msgspec.json.encode(frame), WSMsgType.TEXT)

    async def _grow_old(self) -> None:
        left = self._time_left()
        while left > 0:
            await asyncio.sleep(left)
            left = self._time_left()  # again: the clock may be a test's own
        with suppress(ConnectionError):
            await self.expire()

    def _time_left(self) -> float:
        behaviour = self._host.behaviour
        return behaviour.age_limit - (behaviour.clock() - self._opened)

    async def _frame(self, raw: bytes) -> None:
        try:
            body = parse(raw)
        except RefusedError as refused:
            await self.error(None, refused.error)
            return
        kind = body.get("type")
        if kind == "response.create":
            await self._create(raw, body)
        elif kind == "response.steer" and self._host.behaviour.steering:
            await self._steering.submit(body, self.send)
        else:
            await self.error(None, ApiError(400, f"Unknown event type: {kind!r}.", "invalid_value", "type"))

    async def _create(self, raw: bytes, body: dict[str, object]) -> None:
        behaviour = self._host.behaviour
        ignored = not behaviour.lanes and behaviour.lane_refusal == "ignored"
        lane, previous = None if ignored else body.get("stream_id"), body.get("previous_response_id")
        name = lane if isinstance(lane, str) else None
        entry = Entry(
            self._host.journal.next_number(),
            "ws",
            self._number,
            name,
            self._headers,
            raw,
            body,
            previous if isinstance(previous, str) else None,
            generate=body.get("generate") is not False,
            at_work=self._host.journal.at_work(self._number) + 1,
            echoed=self._echoed,
        )
        self._host.journal.add(entry)
        if self._time_left() <= 0:
            self._rejected(entry, age_limit(behaviour.age_limit))
            await self.expire()
            return
        try:
            lock = self._lane(lane)
        except RefusedError as refused:
            self._rejected(entry, refused.error)
            await self.error(name if behaviour.lanes else None, refused.error)
            return
        self._tasks.start(self._turn(entry, lock), f"simulator: create {entry.n}")

    def _rejected(self, entry: Entry, error: ApiError) -> None:
        self._host.saw(self._host.journal.note(entry, outcome="rejected", status=error.status, error_code=error.code))

    def _lane(self, name: object) -> asyncio.Lock:
        if name is None:
            return self._lanes[None]
        behaviour = self._host.behaviour
        if not behaviour.lanes:
            raise no_lanes(behaviour.lane_refusal)
        if not isinstance(name, str) or not LANE_NAME.fullmatch(name):
            raise invalid(
                "Invalid 'stream_id': expected 1 to 256 characters of letters, digits, '_', '.' and '-'.",
                "stream_id",
                "invalid_stream_id",
            )
        if name not in self._lanes and len(self._lanes) > behaviour.named_lanes:
            raise invalid(
                f"A websocket connection can have at most {behaviour.named_lanes} streams.",
                "stream_id",
                "websocket_stream_limit_reached",
            )
        return self._lanes.setdefault(name, asyncio.Lock())

    async def _turn(self, entry: Entry, lock: asyncio.Lock) -> None:
        turn = Turn(self._host, entry, self.memory, _Lane(self, entry.lane), self._in_order(lock), self._steering)
        ended = False
        try:
            with suppress(ConnectionError):
                await turn.run()
            ended = True
        finally:
            if not ended:  # cancelled, or a model of the tester's own raised: nobody must wait for an answer
                self.abort()

    @asynccontextmanager
    async def _in_order(self, lock: asyncio.Lock) -> AsyncIterator[None]:
        """One at a time in a lane, first in, first out; the rest waits for a free slot."""
        async with lock, self._slots:
            yield


class _Lane:
    """Where the events of one lane's turn go."""

    def __init__(self, connection: Connection, name: str | None) -> None:
        self._connection = connection
        self._name = name

    async def event(self, event: Item, *, terminal: bool) -> None:  # noqa: ARG002 - the socket stays open
        await self._connection.send(self._name, event)

    async def error(self, error: ApiError, sequence_number: int) -> None:  # noqa: ARG002 - frames are not counted
        await self._connection.error(self._name, error)

    async def strike(self, fault: Fault) -> bool:
        return await self._connection.strike(fault)


_BINARY = ApiError(400, "Binary frames are not supported: send one JSON object in each text frame.")
