"""A caller that is as quick as can be: its next turn leaves on the byte that completes the terminal event."""

import asyncio
from urllib.parse import urlsplit

import msgspec
import pytest

from proxy.config import Settings, Upstream
from tests.e2e.stack import Body, Chat, Item, chat, stack

_SECONDS = 10.0
_TERMINAL = b"event: response.completed\ndata: "


class RawCaller:
    """One keep-alive connection, HTTP/1.1 by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    @classmethod
    async def connect(cls, base: str) -> "RawCaller":
        """Open a connection to the proxy."""
        parts = urlsplit(base)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port), parts.netloc)

    def send(self, body: Body) -> None:
        """Write a create, all at once."""
        raw = msgspec.json.encode(body)
        head = f"POST /v1/responses HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer k\r\n"
        self._writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)

    async def read_head(self) -> dict[str, str]:
        """The status line must be that of a 200; the headers of the answer."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), _SECONDS)
        status, *lines = head.decode().strip().split("\r\n")
        assert status == "HTTP/1.1 200 OK"
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    async def read_to_terminal_byte(self) -> list[Item]:
        """Read up to the byte that completes the terminal event, and no further; the items that were streamed."""
        body = bytearray()
        while not (_TERMINAL in body and body.endswith(b"\n\n")):
            size = int(await asyncio.wait_for(self._reader.readuntil(b"\r\n"), _SECONDS), 16)
            assert size, "the last chunk came before the terminal event"
            body += await asyncio.wait_for(self._reader.readexactly(size), _SECONDS)
            if _TERMINAL not in body:
                await asyncio.wait_for(self._reader.readexactly(2), _SECONDS)
        frames = [line.removeprefix(b"data: ") for line in bytes(body).split(b"\n") if line.startswith(b"data: ")]
        events = [msgspec.json.decode(frame, type=dict[str, object]) for frame in frames]
        return [event["item"] for event in events if event["type"] == "response.output_item.done"]  # type: ignore[misc] # items are objects

    async def read_rest(self) -> None:
        """The end of the chunk, and the last chunk: the connection can be used again."""
        rest = await asyncio.wait_for(self._reader.readuntil(b"0\r\n\r\n"), _SECONDS)
        assert rest == b"\r\n0\r\n\r\n"

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


@pytest.mark.parametrize("lanes", ["on", "off"])
async def test_a_turn_sent_on_the_terminal_byte_finds_its_head(lanes: str) -> None:
    """Fifty times in a row, a turn sent before the last chunk of the one before was read goes as a delta."""
    upstream = msgspec.convert({"verifies_ids": "yes", "lanes": lanes}, Upstream)
    talk: Chat = chat("Look things up. [[rounds=60 calls=1]]", stream=True)
    routes = []
    async with stack(settings=Settings(upstream=upstream)) as running:
        now, other = await RawCaller.connect(running.base), await RawCaller.connect(running.base)
        now.send(talk.body)
        for _ in range(51):
            routes.append((await now.read_head())["x-openline-route"])
            talk = talk.followed(await now.read_to_terminal_byte())
            other.send(talk.body)
            await now.read_rest()
            now, other = other, now
        now.close()
        other.close()
    assert routes == ["full", *["delta"] * 50]
