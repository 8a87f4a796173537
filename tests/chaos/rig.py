"""A rig: a real proxy in front of a host that sends exactly the frames a test names, and callers that come and go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import aiohttp
import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from proxy.config import Settings
from proxy.core.lane import State
from proxy.server.app import Openline
from proxy.tasks import Tasks
from proxy.turns.outcome import Outcome
from tests.chaos.census import connections, until
from tests.e2e.stack import Reply
from tests.upstream.peer import Line, said, soon

Frame = dict[str, object]
_SECONDS = 20.0


@dataclass(frozen=True)
class Create:
    """A create that arrived: on which socket, and how to answer it."""

    line: Line
    frame: Frame

    @property
    def lane(self) -> dict[str, str]:
        """The name that its events must carry."""
        return {"stream_id": str(self.frame["stream_id"])} if "stream_id" in self.frame else {}

    @property
    def text(self) -> str:
        """What the caller said last; empty for a made-up id."""
        items = msgspec.convert(self.frame["input"], list[dict[str, object]])
        return str(items[-1]["content"]) if items else ""

    def said(self, text: str) -> list[bytes]:
        """A whole answer to it: one message."""
        return [msgspec.json.encode({**msgspec.json.decode(one, type=Frame), **self.lane}) for one in said(text=text)]

    async def answer(self, *frames: bytes) -> bool:
        """Send these; False where the socket is closed."""
        try:
            await self.line.send(*frames)
        except ConnectionClosed:
            return False
        return True


class Host:
    """A WebSocket host without a will of its own."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        """Upgrades wait for it."""
        self.gate.set()
        self.upgrades = 0
        self.lines: list[Line] = []
        self._creates: asyncio.Queue[Create] = asyncio.Queue()

    async def create(self) -> Create:
        """The next create, on whatever socket."""
        return await soon(self._creates.get())

    @property
    def unanswered(self) -> int:
        """Creates that no test has taken yet."""
        return self._creates.qsize()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen; gives the base URL."""
        async with serve(self._hold, "127.0.0.1", 0, process_request=self._upgrade, close_timeout=1) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            self.gate.set()

    async def _upgrade(self, _socket: ServerConnection, _request: Request) -> Response | None:
        self.upgrades += 1
        await self.gate.wait()
        return None

    async def _hold(self, socket: ServerConnection) -> None:
        line = Line(socket)
        self.lines.append(line)
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._creates.put_nowait(Create(line, msgspec.json.decode(await socket.recv(), type=Frame)))


def request(text: str, *, stream: bool) -> dict[str, object]:
    """A create that says `text`."""
    return {"model": "m", "store": False, "stream": stream, "input": [{"role": "user", "content": text}]}


class Asked:
    """One caller's request on its way, and what it got so far."""

    def __init__(self, rig: "Rig", text: str, *, stream: bool) -> None:
        self.body = bytearray()
        self._task = rig.tasks.start(self._ask(rig, text, stream=stream), "caller")

    async def reply(self) -> Reply:
        """The whole answer."""
        return await soon(self._task)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what has come so far is as it should be."""
        await until(condition, lambda: bytes(self.body))

    def leave(self) -> None:
        """Hang up, unless the answer has ended already."""
        self._task.cancel()

    async def _ask(self, rig: "Rig", text: str, *, stream: bool) -> Reply:
        headers = {"authorization": "Bearer k"}
        cut = False
        async with rig.session.post(
            f"{rig.base}/responses", json=request(text, stream=stream), headers=headers
        ) as response:
            try:
                async for chunk in response.content.iter_any():
                    self.body += chunk
            except aiohttp.ClientPayloadError:
                cut = True
            named = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, named, bytes(self.body), cut)


@dataclass
class Rig:
    """The host, the proxy in front of it, and a caller's session."""

    host: Host
    app: Openline
    base: str
    session: aiohttp.ClientSession
    outcomes: list[Outcome]
    tasks: Tasks = field(default_factory=Tasks)

    def ask(self, text: str, *, stream: bool) -> Asked:
        """A caller asks."""
        return Asked(self, text, stream=stream)

    async def ended(self, count: int) -> Outcome:
        """The outcome of the turn that was the `count`th to end."""
        await until(lambda: len(self.outcomes) >= count, lambda: self.outcomes)
        return self.outcomes[count - 1]

    async def lanes_in(self, state: State, count: int = 1) -> None:
        """Wait until so many lanes are in this state: what was sent has arrived."""
        await until(lambda: self.states().count(state) == count, self.states)

    def states(self) -> list[State]:
        """What each lane is doing."""
        return [lane.state for connection in connections(self.app) for lane in connection.lanes]


@contextlib.asynccontextmanager
async def rigged(settings: Settings) -> AsyncIterator[Rig]:
    """Start one. The settings' listener and upstream URL are set here."""
    host, outcomes = Host(), list[Outcome]()
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with host.listening() as url, aiohttp.ClientSession(timeout=timeout) as session:
        upstream = msgspec.structs.replace(settings.upstream, url=url)
        app = Openline(msgspec.structs.replace(settings, listen="127.0.0.1:0", upstream=upstream), outcomes.append)
        rig = Rig(host, app, await app.start(), session, outcomes)
        try:
            yield rig
        finally:
            await rig.tasks.close()
            await app.close()


def right(reply: Reply, frames: list[bytes], *, stream: bool) -> None:
    """The reply is made of exactly these frames, their lane's name apart: one more, or one less, and it is wrong."""
    sent = [msgspec.json.decode(frame, type=Frame) for frame in frames]
    for event in sent:
        event.pop("stream_id", None)
    assert (reply.status, reply.streamed, reply.cut) == (200, stream, False)
    if stream:
        assert [msgspec.json.decode(frame, type=Frame) for frame in reply.frames] == sent
    else:
        assert reply.response == sent[-1]["response"]
