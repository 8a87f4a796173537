"""Reads: a socket whose reads are cut wherever a test wants them, spoken to by the library's own other end."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from proxy.upstream.socket import Socket


class Kernel:
    """A kernel's socket without a kernel: it takes every option."""

    def setsockopt(self, *_: object) -> None:
        """Nothing to be done."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and notes when reading is to stop."""

    def __init__(self) -> None:
        super().__init__(extra={"socket": Kernel()})
        self.written = bytearray()
        self.paused = False
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""

    def is_closing(self) -> bool:
        """Whether it was given up."""
        return self.aborted

    def abort(self) -> None:
        """Note it."""
        self.aborted = True

    def write_eof(self) -> None:
        """Nothing to be done."""

    def can_write_eof(self) -> bool:
        """As sockets can."""
        return True

    def pause_reading(self) -> None:
        """Note it."""
        self.paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.paused = False


@dataclass
class Taken:
    """A receiver that keeps what it gets."""

    messages: list[bytes] = field(default_factory=list)
    reads: int = 0
    error: ConnectionClosed | None = None

    def arrived(self, messages: list[bytes]) -> None:
        """Keep them."""
        self.messages += messages
        self.reads += 1

    def lost(self, error: ConnectionClosed) -> None:
        """Keep it."""
        self.error = error


class Ends:
    """Both ends of an upgrade that is under way; the test carries the bytes."""

    def __init__(self, *, deflate: bool = False, takeover: bool = True) -> None:
        offers = [ClientPerMessageDeflateFactory()] if deflate else []
        accepts = [ServerPerMessageDeflateFactory(server_no_context_takeover=not takeover)] if deflate else []
        client = ClientProtocol(parse_uri("ws://localhost/v1/responses"), extensions=offers, max_size=None)
        self.host = ServerProtocol(extensions=accepts, max_size=None)
        self.socket = Socket(client)
        self.wire = Wire()
        self.socket.connection_made(self.wire)
        client.send_request(client.connect())
        self.host.receive_data(b"".join(client.data_to_send()))
        (asked,) = self.host.events_received()
        if not isinstance(asked, Request):
            raise TypeError("the upgrade is a request")
        self.host.send_response(self.host.accept(asked))

    def said(self) -> bytes:
        """What the host has said since the last time."""
        return b"".join(self.host.data_to_send())

    def hear(self, data: bytes, cuts: Sequence[int] = ()) -> None:
        """Read it in as many pieces as the cuts make."""
        edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
        for start, end in itertools.pairwise(edges):
            self.socket.data_received(data[start:end])
