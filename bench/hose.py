"""The hose: an upstream that has its answers ready, and says them as fast as they are taken, or at a pace.

`python -m bench.hose` prints its port. It speaks both transports, and remembers nothing: it costs next to nothing.
"""

import base64
import hashlib
import re
import selectors
import socket
import ssl
import time
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import click

from bench.prepared import answer, refusal, sse, websocket

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_READ = 1 << 20
_HEAD_END = b"\r\n\r\n"
_PREVIOUS = re.compile(rb'"previous_response_id":"([^"]+)"')
_LANE = re.compile(rb'"stream_id":"([^"]+)"')
_EVENTS_OF_HTTP = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LOOK = 2_000
"""Bytes at each end of a create in which its own fields stand, as Openline and the benchmarks write them."""


class Line:
    """One socket that was accepted: HTTP until it is upgraded."""

    def __init__(self, sock: socket.socket, hose: "Hose") -> None:
        self._hose = hose
        self.sock = sock
        self._came = bytearray()
        self._upgraded = False
        self._inflate: zlib._Decompress | None = None
        self._deflate: zlib._Compress | None = None

    def ready(self) -> bool:
        """Read what there is, and answer what is whole. Returns whether the line is still there."""
        while True:
            try:
                came = self.sock.recv(_READ)
            except ConnectionError:
                return False
            if not came:
                return False
            self._came += came
            while self._one():
                pass
            if not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
                return True

    def _one(self) -> bool:
        return self._frame() if self._upgraded else self._request()

    def _request(self) -> bool:
        end = self._came.find(_HEAD_END)
        if end < 0:
            return False
        head = bytes(self._came[:end])
        fields = {
            name.strip().lower(): text.strip() for name, _, text in (at.partition(b":") for at in head.split(b"\r\n"))
        }
        size = int(fields.get(b"content-length", b"0"))
        if len(self._came) < end + len(_HEAD_END) + size:
            return False
        del self._came[: end + len(_HEAD_END) + size]
        if b"sec-websocket-key" in fields:
            self._upgrade(fields)
        else:
            events = answer(self._hose.response(), self._hose.pieces)
            self.sock.sendall(_EVENTS_OF_HTTP)
            self._hose.say(self, map(_chunk, map(sse, events)), b"0\r\n\r\n")
        return True

    def _upgrade(self, fields: dict[bytes, bytes]) -> None:
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + _GUID, usedforsecurity=False).digest())
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        lines.append(b"Sec-WebSocket-Accept: " + accept)
        if b"permessage-deflate" in fields.get(b"sec-websocket-extensions", b"") and self._hose.deflate:
            lines.append(b"Sec-WebSocket-Extensions: permessage-deflate")
            self._inflate = zlib.decompressobj(wbits=-15)
            self._deflate = zlib.compressobj(wbits=-15)
        self.sock.sendall(b"\r\n".join(lines) + _HEAD_END)
        self._upgraded = True

    def _frame(self) -> bool:
        """One frame of a client's: masked, and whole in itself."""
        came = self._came
        size, head = came[1] & 127 if len(came) >= 2 else 0, 2
        if size >= 126:
            head = 4 if size == 126 else 10
            size = int.from_bytes(came[2:head], "big")
        if len(came) < head + 4 + size or len(came) < 2:
            return False
        first, mask = came[0], bytes(came[head : head + 4])
        payload = bytes(came[head + 4 : head + 4 + size])
        del came[: head + 4 + size]
        kind = first & 15
        if kind == 1:
            self._create(_unmasked(payload, mask), compressed=bool(first & 0x40))
        elif kind == 8:
            self.sock.sendall(bytes((0x88, size)) + _unmasked(payload, mask))
        elif kind == 9:
            self.sock.sendall(bytes((0x8A, size)) + _unmasked(payload, mask))
        return True

    def _create(self, text: bytes, *, compressed: bool) -> None:
        if compressed and self._inflate:
            text = self._inflate.decompress(text + b"\x00\x00\xff\xff")
        look = text[:_LOOK] + text[-_LOOK:]
        named, previous = _LANE.search(look), _PREVIOUS.search(look)
        lane = named[1].decode() if named else None
        if b'"generate":false' in look and previous:
            self.sock.sendall(self._framed(refusal(previous[1].decode(), lane)))
            return
        self._hose.say(self, map(self._framed, answer(self._hose.response(), self._hose.pieces, lane)))

    def _framed(self, event: bytes) -> bytes:
        if self._deflate is None:
            return websocket(event)
        packed = self._deflate.compress(event) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return websocket(packed[:-4], deflated=True)


class Hose:
    """Answers on one port. With a pace it waits until so many streams are asked for, and then serves them in turn."""

    def __init__(self, pieces: int, *, pace: float, streams: int, deflate: bool, tls: ssl.SSLContext | None) -> None:
        self.pieces = pieces
        self.deflate = deflate
        self._pace = pace
        self._streams = streams
        self._tls = tls
        self._count = 0
        self._waiting: list[tuple[Line, deque[bytes]]] = []
        self._selector = selectors.DefaultSelector()
        self._door = socket.create_server(("127.0.0.1", 0), backlog=1_024)
        self._selector.register(self._door, selectors.EVENT_READ)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._door.getsockname()[1]
        return port

    def response(self) -> str:
        """The id of another response."""
        self._count += 1
        return f"resp_{self._count:048x}"

    def say(self, line: Line, events: Iterator[bytes], last: bytes = b"") -> None:
        """Send these, now or at the pace."""
        if not self._pace:
            line.sock.sendall(b"".join(events) + last)
            return
        said = deque(events)
        said[-1] += last
        self._waiting.append((line, said))
        if len(self._waiting) == self._streams:
            self._paced()
            self._waiting.clear()

    def serve(self) -> None:
        """For ever."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._door:
                    sock, _peer = self._door.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock = self._tls.wrap_socket(sock, server_side=True) if self._tls else sock
                    self._selector.register(sock, selectors.EVENT_READ, Line(sock, self))
                elif not key.data.ready():
                    self._selector.unregister(key.fileobj)
                    key.data.sock.close()

    def _paced(self) -> None:
        """One event of each stream in turn, each at its time: a busy wait, as timers are too coarse for it."""
        gap = 1 / (self._pace * self._streams)
        due = time.perf_counter()
        while self._waiting[-1][1]:
            for line, said in self._waiting:
                while time.perf_counter() < due:
                    pass
                due += gap
                line.sock.sendall(said.popleft())


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def _chunk(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


@click.command()
@click.option("--pieces", type=int, default=10, help="Pieces of text in each answer.")
@click.option("--pace", type=float, default=0.0, help="Events a second of each stream; 0 is as fast as they are taken.")
@click.option("--streams", type=int, default=1, help="With a pace: so many streams begin together.")
@click.option("--deflate/--no-deflate", default=False, help="Compress, where it is offered.")
@click.option("--certificate", type=click.Path(path_type=Path), help="Serve over TLS with this chain and key, in PEM.")
def main(pieces: int, pace: float, streams: int, *, deflate: bool, certificate: Path | None) -> None:
    """Serve prepared answers on a port of 127.0.0.1 that the system chooses, which is printed."""
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    hose = Hose(pieces, pace=pace, streams=streams, deflate=deflate, tls=tls)
    click.echo(hose.port)
    hose.serve()


if __name__ == "__main__":
    main()
