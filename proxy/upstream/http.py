"""Plain HTTP to the upstream: what passes through, and what every turn can fall back on."""

import io
import ssl
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from proxy.config import Timeouts
from proxy.errors import Problem, Refused
from proxy.upstream.address import Address

# Headers that belong to one hop (RFC 9110, 7.6.1), and what this hop settles by itself.
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
# The library's 8 kB is less than some clients' metadata headers.
LARGEST_HEADER = 65_536
MOST_HEADERS = 256


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
        self._origin = urlsplit(address.base)
        connector = aiohttp.TCPConnector(limit=0, ssl=tls if tls is not None else True, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_AUTOMATIC,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=timeouts.dial_seconds, sock_read=timeouts.silence_seconds
            ),
            # Not trust_env: that would also add credentials from a .netrc file to what the caller sent.
            proxy=_environment_proxy(address.base),
            read_bufsize=2**16,
            max_line_size=LARGEST_HEADER,
            max_field_size=LARGEST_HEADER,
            max_headers=MOST_HEADERS,
        )

    async def open(self, request: HttpRequest) -> aiohttp.ClientResponse:
        """Send the request on; the response is ready to be read.

        Raises:
            Refused: SILENCE or UNREACHABLE; Openline has to answer in the upstream's place.
        """
        headers = _spelt_alike([*end_to_end(request.headers), ("Via", self._marker)])
        # From memory in pieces: a large body in one write would hold up all other turns.
        data = io.BytesIO(request.body) if isinstance(request.body, bytes) else request.body
        try:
            return await self._session.request(
                request.method, self._url(request.raw_path), headers=headers, data=data, allow_redirects=False
            )
        except aiohttp.SocketTimeoutError as error:
            raise Refused(Problem.SILENCE) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Refused(Problem.UNREACHABLE, type(error).__name__) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def _url(self, raw_path: str) -> URL:
        """The target byte for byte: taken as one path, as the library would drop an empty query."""
        scheme, netloc = self._origin.scheme, self._origin.netloc
        target = self._address.http(raw_path).partition("://")[2].removeprefix(netloc)
        path = target if target.startswith("/") else f"/{target}"
        return URL.build(scheme=scheme, authority=netloc, path=path, encoded=True)


def _spelt_alike(pairs: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """A name that comes again is spelt as at first: of `Via` beside `via` the library would keep the last alone."""
    first: dict[str, str] = {}
    return CIMultiDict((first.setdefault(name.lower(), name), value) for name, value in pairs)


def _environment_proxy(base: str) -> str | None:
    """The forward proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY ask for."""
    parts = urlsplit(base)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxy = getproxies().get(parts.scheme)
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


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
