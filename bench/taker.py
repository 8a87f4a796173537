"""A taker: a caller of raw sockets that takes whatever comes, so that what it costs is next to nothing."""

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_READ = 1 << 20
_END_OF_CHUNKS = b"0\r\n\r\n"
END_OF_FRAMES = b"}}}"
"""What no event of a prepared answer ends with but the last."""
_LAZY_SECONDS = 0.001
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Taken:
    """One answer as it came. Times are in seconds since the request was sent."""

    first: float
    """Until the first event."""
    whole: float
    size: int
    head: bytes
    """What came first: the headers among it."""

    @property
    def route(self) -> str:
        """What Openline says of the turn, if it was one of Openline's."""
        return _header(self.head, b"x-openline-route")

    @property
    def ok(self) -> bool:
        """Whether it was a stream: of events over HTTP, or of frames."""
        return b" 200 " in self.head[:20] or b"response.created" in self.head[:40]


def request(port: int, body: bytes) -> bytes:
    """A streamed create over HTTP."""
    head = (
        f"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def created(text: bytes) -> bytes:
    """A create over a WebSocket, as a client frames it: masked, if only with zeros (RFC 6455, 5.3)."""
    return b"\x81\xff" + len(text).to_bytes(8, "big") + bytes(4) + text


def upgraded(line: socket.socket, port: int) -> None:
    """Have the line speak WebSocket."""
    ask = f"GET /v1/responses HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    line.sendall(f"{ask}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode())
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        came = line.recv(1)
        if not came:
            raise ConnectionError("no upgrade")
        said += came


@contextlib.contextmanager
def opened(port: int, tls: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
    """A connection that stays open."""
    with socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_SECONDS) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            yield line
            return
        with tls.wrap_socket(line, server_hostname="localhost") as secured:
            yield secured


def take(line: socket.socket, sent: bytes, end: bytes = _END_OF_CHUNKS) -> Taken:
    """Ask, and take the answer to its end."""
    began = time.perf_counter()
    line.sendall(sent)
    head, size, last, first = b"", 0, b"", 0.0
    while not last.endswith(end):
        came = line.recv(_READ)
        if not came:
            raise ConnectionError("the answer was cut short")
        if b'{"type":"' in came and not first:
            first = time.perf_counter() - began
        if len(head) < 2_000:
            head += came[:2_000]
        size += len(came)
        last = (last + came[-64:])[-64:]
    return Taken(first, time.perf_counter() - began, size, head)


def take_all(lines: Sequence[socket.socket], sent: bytes) -> None:
    """Ask on each line at once, and take all answers to their ends: lazily, to leave the cores to the others."""
    with selectors.DefaultSelector() as waiting:
        for line in lines:
            waiting.register(line, selectors.EVENT_READ)
            line.sendall(sent)
        left = len(lines)
        while left:
            time.sleep(_LAZY_SECONDS)
            for key, _ in waiting.select(_LONGEST_SECONDS):
                line = lines[[other.fileno() for other in lines].index(key.fd)]
                came = line.recv(_READ)
                if not came:
                    raise ConnectionError("the answer was cut short")
                if came.endswith(_END_OF_CHUNKS):
                    waiting.unregister(line)
                    left -= 1


def _header(head: bytes, name: bytes) -> str:
    for line in head.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip().decode("latin-1")
    return ""
