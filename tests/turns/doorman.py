"""A doorman: a host that lets every upgrade in and sends it straight away again, and that answers plain HTTP."""

import asyncio
import contextlib

from websockets.http11 import Request
from websockets.server import ServerProtocol

_BODY = b'{"ok":true}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class Doorman:
    """Listens while the `async with` block runs. The acceptance and the close frame leave in one segment."""

    def __init__(self, code: int) -> None:
        self.upgrades = 0
        self._code = code
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Doorman":
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    @property
    def base(self) -> str:
        """The upstream URL to give to the proxy."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1] if self._server else 0}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            # The body of one request, which has a length, comes in front of the head of the next.
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"upgrade: websocket" in head.lower():
                    self.upgrades += 1
                    writer.write(self._turned_away(head))
                else:
                    writer.write(_ANSWER)
        writer.close()

    def _turned_away(self, head: bytes) -> bytes:
        protocol = ServerProtocol()
        protocol.receive_data(head)
        (request,) = protocol.events_received()
        if isinstance(request, Request):
            protocol.send_response(protocol.accept(request))
        protocol.send_close(self._code)
        return b"".join(protocol.data_to_send())
