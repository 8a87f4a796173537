"""Raw clients of the simulator: aiohttp for HTTP, websockets for sockets, so that no code of ours judges itself."""

import asyncio
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from proxy.simulator import Entry, Simulator

Event = dict[str, Any]  # a frame as it came: tests look deep into it
TERMINAL = {"response.completed", "response.failed", "response.incomplete", "error"}
KEY = {"Authorization": "Bearer key"}
TOOL = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"key": {"type": "string"}, "n": {"type": "integer"}}},
}


class Socket:
    """One WebSocket to the simulator."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **fields: object) -> None:
        """Send a create with these fields; a model and `store: false` unless they say otherwise."""
        await self.connection.send(
            json.dumps({"type": "response.create", "model": "m", "store": False, **fields}, ensure_ascii=False)
        )

    async def receive(self) -> Event:
        """The next frame, within five seconds."""
        async with asyncio.timeout(5):
            frame: Event = json.loads(await self.connection.recv())
        return frame

    async def answer(self, lane: str | None = None) -> list[Event]:
        """All frames up to the terminal one of `lane`."""
        frames: list[Event] = []
        while not frames or frames[-1].get("type") not in TERMINAL or frames[-1].get("stream_id") != lane:
            frames.append(await self.receive())
        return frames

    async def turn(self, **fields: object) -> Event:
        """Send a create; its terminal frame."""
        await self.send(**fields)
        lane = fields.get("stream_id")
        return (await self.answer(lane if isinstance(lane, str) else None))[-1]

    async def closed(self) -> int | None:
        """Read until the socket ends; the close code."""
        with suppress(ConnectionClosed):
            async with asyncio.timeout(5):
                while True:
                    await self.connection.recv()
        return self.connection.close_code


@dataclass
class Running:
    """A simulator that listens, and a client session for it."""

    sim: Simulator
    base: str
    http: aiohttp.ClientSession
    sockets: list[ClientConnection]

    @property
    def root(self) -> str:
        """The listener's own URL."""
        return self.base.removesuffix("/v1")

    @property
    def last(self) -> Entry:
        """The latest create."""
        return self.sim.journal[-1]

    async def socket(self, **headers: str) -> Socket:
        """Open a WebSocket."""
        connection = await connect(
            f"ws{self.base.removeprefix('http')}/responses",
            additional_headers={**KEY, **headers},
            max_size=None,
            proxy=None,
        )
        self.sockets.append(connection)
        return Socket(connection)

    async def json(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] = KEY
    ) -> tuple[int, Any]:
        """Status and JSON of a call; `body` goes as JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        stream = io.BytesIO(data) if data and len(data) > 1_000_000 else data  # aiohttp warns of large bytes
        async with self.http.request(method, self.root + path, data=stream, headers=headers) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else {}

    async def create(self, **fields: object) -> tuple[int, Event]:
        """`POST /v1/responses`, answered as JSON."""
        return await self.json("POST", "/v1/responses", {"model": "m", **fields})

    async def stream(self, **fields: object) -> list[Event]:
        """`POST /v1/responses`, its SSE stream as strictly parsed events."""
        body = json.dumps({"model": "m", "stream": True, **fields})
        async with self.http.post(f"{self.base}/responses", data=body, headers=KEY) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            return parse_sse(await answer.read())


def parse_sse(text: bytes) -> list[Event]:
    """The events of a stream that is framed exactly as the API frames it."""
    blocks = text.split(b"\n\n")
    assert blocks.pop() == b"", "the stream does not end with a whole event"
    events = []
    for block in blocks:
        first, second = block.split(b"\n")
        event: Event = json.loads(second.removeprefix(b"data: "))
        assert first == b"event: " + event["type"].encode()
        events.append(event)
    return events
