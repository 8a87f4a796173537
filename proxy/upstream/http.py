"""Plain HTTP to the upstream: what passes through, and what every turn can fall back on."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from proxy.config import Settings
from proxy.errors import Problem, Refused
from proxy.upstream.dial import PROXY_AUTHENTICATION, no_descriptor, proxy_refused
from proxy.upstream.way import Way

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
_PIECE = 2**16


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A caller's request as it came."""

    method: str
    raw_path: str = field(repr=False)  # a query may hold a key
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | AsyncIterable[bytes] | None = field(repr=False)


class PlainHttp:
    """Pooled HTTP connections to the upstream, shared by all callers: it carries each caller's own headers."""

    def __init__(self, way: Way, settings: Settings, marker: str) -> None:
        self._way = way
        self._marker = marker
        self._origin = urlsplit(way.address.base)
        self._to_proxy = way.forward.headers if way.forward else {}
        timeouts = settings.timeouts
        self._silence_seconds = timeouts.silence_seconds
        self._connecting = settings.pool.wait_seconds + timeouts.dial_seconds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.pool.http_connections, ssl=way.tls or True, keepalive_timeout=30
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_AUTOMATIC,
            timeout=aiohttp.ClientTimeout(
                total=None,
                # The wait for a connection that others have, and then for a new one.
                connect=self._connecting,
                sock_connect=timeouts.dial_seconds,
                sock_read=timeouts.silence_seconds,
            ),
            # Not trust_env: that would also add credentials from a .netrc file to what the caller sent.
            proxy=way.forward.address if way.forward else None,
            trace_configs=[_queueing()],
            read_bufsize=2**16,
            max_line_size=LARGEST_HEADER,
            max_field_size=LARGEST_HEADER,
            max_headers=MOST_HEADERS,
        )

    async def open(self, request: HttpRequest) -> aiohttp.ClientResponse:
        """Send the request on; the response is ready to be read.

        Raises:
            Refused: OVERLOADED, SILENCE or UNREACHABLE; Openline has to answer in the upstream's place.
        """
        headers = _spelt_alike([*end_to_end(request.headers), ("Via", self._marker)])
        if isinstance(request.body, bytes):
            headers.setdefault("Content-Length", str(len(request.body)))
        if self._origin.scheme == "http":
            headers.extend(self._to_proxy)  # it fetches in our name; of https it sees its CONNECT alone
        queue = _Queue()
        upload = _Upload(request.body or b"", self._silence_seconds, self._connecting)
        try:
            async with upload.limit:
                response = await self._session.request(
                    request.method,
                    self._url(request.raw_path),
                    headers=headers,
                    data=upload.pieces() if request.body else None,
                    allow_redirects=False,
                    proxy_headers=self._to_proxy,
                    trace_request_ctx=queue,
                )
                upload.answered = True
        except (aiohttp.ClientError, TimeoutError) as error:
            if upload.limit.expired() or isinstance(error, aiohttp.SocketTimeoutError):
                raise Refused(Problem.SILENCE) from error
            raise self._fault(error, queue) from error
        if self._way.forward and response.status == PROXY_AUTHENTICATION:
            # The forward proxy's word to Openline: a caller could do nothing with it.
            response.close()
            raise Refused(Problem.UNREACHABLE, proxy_refused(response.status))
        return response

    def _fault(self, error: Exception, queue: "_Queue") -> Refused:
        """What Openline says where no answer came."""
        if queue.waits:
            return Refused(Problem.OVERLOADED, "all HTTP connections to the upstream are in use")
        if no_descriptor(error):
            return Refused(Problem.OVERLOADED, "no file descriptor is left for another connection")
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return Refused(Problem.UNREACHABLE, proxy_refused(error.status))
        return Refused(Problem.UNREACHABLE, self._way.trouble(error))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def _url(self, raw_path: str) -> URL:
        """The target byte for byte: taken as one path, as the library would drop an empty query."""
        scheme, netloc = self._origin.scheme, self._origin.netloc
        target = self._way.address.http(raw_path).partition("://")[2].removeprefix(netloc)
        path = target if target.startswith("/") else f"/{target}"
        return URL.build(scheme=scheme, authority=netloc, path=path, encoded=True)


@dataclass(slots=True)
class _Queue:
    """Whether a request waits for a connection that others have."""

    waits: bool = False


def _queueing() -> aiohttp.TraceConfig:
    """Tells each request's `_Queue`; the library's own error is the same for a wait and for a slow upstream."""
    trace = aiohttp.TraceConfig()

    async def waits(_session: aiohttp.ClientSession, its: SimpleNamespace, _about: object) -> None:
        its.trace_request_ctx.waits = True

    async def goes_on(_session: aiohttp.ClientSession, its: SimpleNamespace, _about: object) -> None:
        its.trace_request_ctx.waits = False

    trace.on_connection_queued_start.append(waits)
    trace.on_connection_queued_end.append(goes_on)
    return trace


class _Upload:
    """A body on its way, if there is one. Until the answer begins, each piece must be taken within `seconds`.

    In pieces, as one large write would hold up all other turns. Behind the last, and for a connection (`connecting`
    seconds), the library has limits of its own, but not while the body's end is stuck, nor behind a `100 Continue`.
    """

    def __init__(self, body: bytes | AsyncIterable[bytes], seconds: float, connecting: float = 0.0) -> None:
        self.limit = asyncio.timeout(connecting + 2 * seconds)
        self.answered = False
        self._body = body
        self._seconds = seconds

    async def pieces(self) -> AsyncIterator[bytes]:
        """What the library is to write."""
        clock = asyncio.get_running_loop().time
        async for piece in sliced(self._body) if isinstance(self._body, bytes) else self._body:
            self._reschedule(clock() + self._seconds)
            yield piece
            self._reschedule(None)
        self._reschedule(clock() + 2 * self._seconds)

    def _reschedule(self, when: float | None) -> None:
        if not self.answered:
            self.limit.reschedule(when)


async def sliced(body: bytes) -> AsyncIterator[bytes]:
    """A body in pieces, as one that comes."""
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]


def _spelt_alike(pairs: Iterable[tuple[str, str]]) -> CIMultiDict[str]:
    """A name that comes again is spelt as at first: of `Via` beside `via` the library would keep the last alone."""
    first: dict[str, str] = {}
    return CIMultiDict((first.setdefault(name.lower(), name), value) for name, value in pairs)


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
