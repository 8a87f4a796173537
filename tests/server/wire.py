"""What the server's tests speak with: raw HTTP on both sides of a proxy, so that every byte can be compared."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from proxy.config import Settings, Upstream
from proxy.server.app import Openline
from proxy.simulator import Behaviour, Simulator
from proxy.turns.outcome import Outcome

KEY = ("Authorization", "Bearer test-key")
Pairs = Sequence[tuple[str, str]]
_SECONDS = 10.0


class CutShort(Exception):
    """The body ended before its framing says so."""


@dataclass
class Response:
    """An HTTP response as it came."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    chunked: bool = False

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.line.split(" ")[1])

    def header(self, name: str) -> str | None:
        """The value of the only header of that name; None where there is none."""
        values = [value for key, value in self.headers if key.lower() == name]
        if len(values) > 1:
            raise ValueError(f"{name} came {len(values)} times")
        return values[0] if values else None

    def json(self) -> dict[str, object]:
        """The body as a JSON object."""
        return msgspec.json.decode(self.body, type=dict[str, object])

    def error(self) -> dict[str, object]:
        """The error object of the body."""
        return msgspec.convert(self.json()["error"], dict[str, object])


@dataclass
class Line:
    """One connection, read and written by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    left: bytes = field(default=b"", repr=False)

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        async with asyncio.timeout(_SECONDS):
            await self.writer.drain()

    async def head(self) -> Response:
        """The next status line and headers."""
        async with asyncio.timeout(_SECONDS):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        line, *fields = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        pairs = [(name, value) for name, _, value in (field.partition(": ") for field in fields)]
        response = Response(line, pairs)
        response.chunked = (response.header("transfer-encoding") or "") == "chunked"
        return response

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body: empty at its end. Raises CutShort."""
        async with asyncio.timeout(_SECONDS):
            try:
                size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
                return (await self.reader.readexactly(size + 2))[:-2]
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise CutShort from error

    async def response(self, method: str = "GET") -> Response:
        """The next whole response. Raises CutShort."""
        response = await self.head()
        if method == "HEAD" or response.status in {204, 304}:
            return response
        if response.chunked:
            chunks = []
            while chunk := await self.chunk():
                chunks.append(chunk)
            response.body = b"".join(chunks)
            return response
        length = response.header("content-length")
        try:
            async with asyncio.timeout(_SECONDS):
                response.body = await (self.reader.read() if length is None else self.reader.readexactly(int(length)))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise CutShort from error
        return response

    async def at_end(self) -> bool:
        """Whether the other side closes, with nothing more said."""
        async with asyncio.timeout(_SECONDS):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Line]:
    """A raw connection to the host of `url`."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**22)
    line = Line(reader, writer)
    try:
        yield line
    finally:
        await line.close()


def request(method: str, target: str, headers: Pairs = (), body: bytes | None = None) -> bytes:
    """A request's bytes; a body gets its Content-Length unless the headers frame it."""
    pairs = [*(() if any(name.lower() == "host" for name, _ in headers) else [("Host", "localhost")]), *headers]
    if body is not None and not any(name.lower() == "transfer-encoding" for name, _ in pairs):
        pairs.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")


async def ask(url: str, method: str, target: str, headers: Pairs = (KEY,), body: bytes | None = None) -> Response:
    """One request on a connection of its own."""
    async with connected(url) as line:
        await line.send(request(method, target, headers, body))
        return await line.response(method)


@dataclass
class Rig:
    """A simulator, a proxy in front of it, and the outcomes that the proxy reported."""

    sim: Simulator
    app: Openline
    url: str
    outcomes: asyncio.Queue[Outcome]

    async def ask(self, method: str, target: str, headers: Pairs = (KEY,), body: bytes | None = None) -> Response:
        """One request through the proxy."""
        return await ask(self.url, method, target, headers, body)

    async def create(self, body: dict[str, object], headers: Pairs = (KEY,)) -> Response:
        """One `POST /v1/responses` through the proxy."""
        return await self.ask("POST", "/v1/responses", headers, msgspec.json.encode(body))

    async def outcome(self) -> Outcome:
        """The next outcome."""
        async with asyncio.timeout(_SECONDS):
            return await self.outcomes.get()


@contextlib.asynccontextmanager
async def rigged(
    behaviour: Behaviour | None = None,
    upstream: str = "",
    semantic: tuple[str, ...] = (),
    identity: tuple[str, ...] = (),
    **settings: object,
) -> AsyncIterator[Rig]:
    """Start a simulator and a proxy with these settings; `upstream` stands in for the simulator's URL."""
    sim = Simulator(behaviour or Behaviour())
    base = await sim.start()
    outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
    target = Upstream(url=upstream or base, semantic_headers=semantic, identity_headers=identity, verifies_ids="yes")
    given = {"listen": "127.0.0.1:0", "upstream": target, **settings}
    app = Openline(Settings(**given), outcomes.put_nowait)  # type: ignore[arg-type] # msgspec has no kwargs type
    try:
        yield Rig(sim, app, await app.start(), outcomes)
    finally:
        await app.close()
        await sim.close()


@contextlib.asynccontextmanager
async def scripted(script: Callable[[Line], Awaitable[None]]) -> AsyncIterator[str]:
    """An upstream that does what `script` says with each connection; gives its base URL."""
    lines: list[Line] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        lines.append(line)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await script(line)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**22)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for line in lines:
            line.writer.transport.abort()


async def request_head(line: Line) -> str:
    """The head of the request that comes in on a scripted upstream's line."""
    async with asyncio.timeout(_SECONDS):
        return (await line.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
