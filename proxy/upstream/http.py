"""Plain HTTP to the upstream: what passes through, and what every turn can fall back on."""

import ssl
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, field

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from proxy.config import Timeouts
from proxy.upstream.address import Address

# Headers that belong to one hop (RFC 9110, 7.6.1), and the proxy's own.
_HOP = frozenset(
    {
        "connection",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    }
)
_OWN_PREFIX = "x-openline-"
# aiohttp adds these of itself unless told not to; only the caller's own go upstream.
_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A caller's request as it came."""

    method: str
    raw_path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | AsyncIterable[bytes] | None = field(repr=False)


class PlainHttp:
    """Pooled HTTP connections to the upstream, shared by all callers: it carries each caller's own headers."""

    def __init__(self, address: Address, timeouts: Timeouts, tls: ssl.SSLContext | None, marker: str) -> None:
        self._address = address
        self._marker = marker
        connector = aiohttp.TCPConnector(limit=0, ssl=tls if tls is not None else True, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_AUTOMATIC,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=timeouts.dial_seconds, sock_read=timeouts.silence_seconds
            ),
            trust_env=True,
            read_bufsize=2**16,
        )

    async def open(self, request: HttpRequest) -> aiohttp.ClientResponse:
        """Send the request on; the response is ready to be read. Raises aiohttp.ClientError, TimeoutError."""
        headers = CIMultiDict(end_to_end(request.headers))
        headers.add("Via", self._marker)
        return await self._session.request(
            request.method,
            URL(self._address.http(request.raw_path), encoded=True),
            headers=headers,
            data=request.body,
            allow_redirects=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def end_to_end(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that go on to the other side: neither one hop's nor the proxy's own."""
    pairs = list(headers)
    named = {
        token.strip().lower() for name, value in pairs if name.lower() == "connection" for token in value.split(",")
    }
    dropped = _HOP | named
    return [
        (name, value)
        for name, value in pairs
        if name.lower() not in dropped and not name.lower().startswith(_OWN_PREFIX)
    ]
