"""A WebSocket: an agent's own, which speaks WebSocket mode and sends what is new alone, as Openline does for others."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.caller import Turn
from bench.chat import Chat

_ENDS = frozenset({"response.completed", "response.failed", "response.incomplete", "error"})


class _Response(msgspec.Struct):
    id: str
    output: list[dict[str, object]]


class _Event(msgspec.Struct):
    type: str
    response: _Response | None = None


class WebSocket:
    """One connection with one conversation, which only grows."""

    def __init__(self, line: ClientConnection) -> None:
        self._line = line
        self._previous: Mapping[str, object] = {}
        self._said = 0
        """Items that the API has: those that were asked with, and the answers."""

    async def ask(self, chat: Chat) -> Turn:
        """One create, which goes on from the one before."""
        settings = {name: value for name, value in chat.settings.items() if name != "stream"}
        create = {"type": "response.create", **settings, **self._previous, "input": chat.items[self._said :]}
        frame = msgspec.json.encode(create)
        route, wait = "delta" if self._previous else "full", 0.0
        began = time.perf_counter()
        try:
            await self._line.send(frame, text=True)
            event = _Event("")
            while event.type not in _ENDS:
                event = msgspec.json.decode(await self._line.recv(decode=False), type=_Event)
                wait = wait or time.perf_counter() - began
        except ConnectionClosed as closed:
            return Turn(chat, len(frame), route, error=type(closed).__name__, wait=wait)
        response = event.response
        if event.type != "response.completed" or response is None:
            return Turn(chat, len(frame), route, error=event.type, wait=wait)
        self._previous = {"previous_response_id": response.id}
        self._said = len(chat.items) + len(response.output)
        return Turn(chat, len(frame), route, output=response.output, wait=wait)


@contextlib.asynccontextmanager
async def websocket(base: str) -> AsyncIterator[WebSocket]:
    """Open one at a base URL."""
    url = f"ws{base.removeprefix('http')}/responses"
    async with connect(url, additional_headers={"Authorization": "Bearer bench"}, max_size=None, proxy=None) as line:
        yield WebSocket(line)
