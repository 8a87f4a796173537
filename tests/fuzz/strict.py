"""A strict upstream: it takes nothing that is not exactly HTTP, and echoes what it was asked."""

import asyncio
import base64
import contextlib

import h11
import msgspec

from tests.fuzz.listening import listening

_LONGEST = 2**20


class Strict:
    """Answers every request with its own bytes; what is no HTTP, or two requests where one was sent, is noted."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The value of `x-mark` of every request that came whole, in order."""
        self.violations: list[str] = []

    def serving(self) -> contextlib.AbstractAsyncContextManager[str]:
        """Listen while the block runs; gives the base URL."""
        return listening(self._serve, "strict upstream")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST)
        try:
            while await self._one(line, reader, writer):
                line.start_next_cycle()
        except h11.RemoteProtocolError as error:
            # A request that breaks off is what the caller did; anything else was ours to keep away.
            if "incomplete" not in str(error) and "closed" not in str(error):
                self.violations.append(str(error))
        except ConnectionError:
            return
        finally:
            writer.close()

    async def _one(self, line: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False at the end of the line."""
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = line.next_event()
            if event is h11.NEED_DATA:
                line.receive_data(await reader.read(65_536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        if request is None:
            return False
        writer.write(self._answer(line, request, bytes(body)))
        await writer.drain()
        return line.our_state is h11.DONE and line.their_state is h11.DONE

    def _answer(self, line: h11.Connection, request: h11.Request, body: bytes) -> bytes:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]
        self.asked += [value for name, value in headers if name == "x-mark"]
        names = {name for name, _ in headers}
        if {"upgrade", "x-mark"} <= names:
            self.violations.append("a caller's upgrade was passed on")
        said = msgspec.json.encode(
            {
                "method": request.method.decode(),
                "path": request.target.decode("latin-1"),
                "headers": headers,
                "body": base64.b64encode(body).decode(),
            }
        )
        head = h11.Response(
            status_code=200, headers=[("content-type", "application/json"), ("content-length", str(len(said)))]
        )
        empty = request.method == b"HEAD"
        pieces = [line.send(head), None if empty else line.send(h11.Data(said)), line.send(h11.EndOfMessage())]
        return b"".join(piece for piece in pieces if piece)
