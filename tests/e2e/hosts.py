"""A known host: its real name and URL, the behaviour that stands for it, and the road that leads that name to it."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest

from proxy.config import Lanes
from proxy.simulator import Behaviour
from proxy.tasks import Tasks
from tests.upstream.authority import Authority
from tests.upstream.between import TlsRelay

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A row of the protocol's "Known hosts", or a host like one, under a setting of `upstream.lanes`."""

    url: str
    behaviour: Behaviour
    setting: Lanes = "auto"
    lanes: bool = False
    """Whether its creates name a lane under that setting."""
    deltas: bool = True
    """Whether it gets any, once it was asked."""
    asked: bool = True
    """Whether it is asked to continue a made-up id, since the table does not know that it verifies ids."""
    age_limit: float = 3_600.0

    @property
    def name(self) -> str:
        """Its name, as certificates have it."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The path of its URL."""
        return urlsplit(self.url).path


_OPENAI = Behaviour()
_NO_LANES = Behaviour(lanes=False)
HOSTS: Mapping[str, KnownHost] = {
    "OpenAI": KnownHost("https://api.openai.com/v1", _OPENAI, lanes=True, asked=False),
    "OpenAI eu": KnownHost("https://eu.api.openai.com/v1", _OPENAI, lanes=True, asked=False),
    "OpenAI us": KnownHost("https://us.api.openai.com/v1", _OPENAI, lanes=True, asked=False),
    "OpenAI, off": KnownHost("https://api.openai.com/v1", _OPENAI, setting="off", asked=False),
    "Azure": KnownHost(
        "https://mine.openai.azure.com/openai/v1",
        replace(_NO_LANES, lane_refusal="invalid_stream_id", base_path="/openai/v1"),
    ),
    "xAI": KnownHost(
        "https://api.x.ai/v1",
        replace(_NO_LANES, age_limit=1_500.0, error_omits=frozenset({"type", "code"})),
        age_limit=1_500.0,
    ),
    "Vercel": KnownHost("https://ai-gateway.vercel.sh/v1", replace(_NO_LANES, lane_refusal="ignored")),
    "LiteLLM": KnownHost(
        "http://litellm.internal:4000/v1",
        replace(_NO_LANES, lane_refusal="ignored", lenient_ids=True),
        deltas=False,
    ),
    "ChatGPT": KnownHost(
        "https://chatgpt.com/backend-api/codex",
        replace(_NO_LANES, lane_refusal="text", base_path="/backend-api/codex"),
    ),
    "unknown": KnownHost("https://api.example.test/v1", _NO_LANES),
}


class Road:
    """A forward proxy, named in the environment, that leads one host's name to the simulator and no other anywhere.

    proxy ──CONNECT NAME──▶ road ──▶ TLS under the host's own certificate ──▶ simulator
    """

    def __init__(self, host: KnownHost, authority: Authority, environment: pytest.MonkeyPatch) -> None:
        self._host = host
        self._relay = TlsRelay(authority.context(host.name), host.name)
        self._environment = environment
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tasks = Tasks()
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, base: str) -> str:
        """Listen in front of `base`. Returns the host's own URL."""
        scheme = urlsplit(self._host.url).scheme
        if scheme == "https":
            await self._relay.start(base)
        self._port = self._relay.port or urlsplit(base).port or 0
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._environment.setenv(f"{scheme.upper()}_PROXY", address)
        return self._host.url

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server:
            self._server.close()
        await self._tasks.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._relay.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        parts = urlsplit(self._host.url)
        wanted = f"CONNECT {parts.hostname}:{parts.port or _PORTS[parts.scheme]} HTTP/1.1\r\n"
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(wanted.encode()):
            writer.write(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.append(far_writer)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._tasks.start(_carry(reader, far_writer), "road up")
        self._tasks.start(_carry(far_reader, writer), "road down")


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
