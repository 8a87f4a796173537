"""A forward proxy as a program of its own: CONNECT and absolute-form requests, HTTP/1.1.

    python -m tests.upstream.connect_proxy [--user USER --password PASSWORD] [--tls CERTIFICATE] [NAME=PORT ...]

It prints its port, then one line of JSON for each request: the request line, the headers, and what it answered. Each
NAME leads to that port of this machine; where a user is given, others are answered with 407.
"""

import argparse
import asyncio
import contextlib
import json
import ssl
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """What it lets through, and where to."""

    credential: str | None
    names: dict[str, int]
    pumps: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            head = await reader.readuntil(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")[:-2]
            method, target, _ = line.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
            authority = target if method == "CONNECT" else urlsplit(target).netloc
            status = self._status(headers, authority)
            sys.stdout.write(json.dumps({"line": line, "headers": headers, "status": status}) + "\n")
            sys.stdout.flush()
            if status != 200:
                writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
            else:
                await self._through(method, authority, head, reader, writer)
        writer.close()

    def _status(self, headers: dict[str, str], authority: str) -> int:
        if self.credential and headers.get("proxy-authorization") != self.credential:
            return 407
        return 200 if authority in self.names else 502

    async def _through(
        self, method: str, authority: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        from_host, to_host = await asyncio.open_connection("127.0.0.1", self.names[authority])
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"proxy-")]
            target = lines[0].split(b" ")[1]
            path = target.split(b"//", 1)[1].partition(b"/")[2]
            lines[0] = lines[0].replace(target, b"/" + path)
            # One request a connection: the next one may be for another host.
            to_host.write(b"\r\n".join([lines[0], b"Connection: close", *lines[1:]]))
        await asyncio.gather(_pump(reader, to_host), _pump(from_host, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


async def _main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--user")
    options.add_argument("--password", default="")
    options.add_argument("--tls")
    options.add_argument("names", nargs="*")
    given = options.parse_args()
    token = b64encode(f"{given.user}:{given.password}".encode()).decode()
    names = dict(one.split("=") for one in given.names)
    proxy = Proxy(f"Basic {token}" if given.user else None, {name: int(port) for name, port in names.items()})
    context = None
    if given.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.tls)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=context)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
