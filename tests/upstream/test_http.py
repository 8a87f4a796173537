"""Plain HTTP to the upstream: what goes out is what the caller sent, and nothing of the library's own."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.config import Settings, Timeouts
from proxy.errors import Problem, Refused
from proxy.upstream.address import Address
from proxy.upstream.http import HttpRequest, PlainHttp, _Upload, end_to_end
from proxy.upstream.way import Way
from tests.server.wire import Line, request_head, scripted

MARKER = "1.1 openline-test"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Recorder:
    """An upstream that keeps what it was sent, and answers each request alike."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0

    async def __call__(self, line: Line) -> None:
        """Serve one connection."""
        self.connections += 1
        while True:
            head = await request_head(line)
            self.heads.append(head)
            length = next((int(v) for k, _, v in _fields(head) if k.lower() == "content-length"), 0)
            self.bodies.append(await line.reader.readexactly(length))
            await line.send(self.answer)


def _fields(head: str) -> list[tuple[str, str, str]]:
    return [field.partition(": ") for field in head.split("\r\n")[1:]]


@contextlib.asynccontextmanager
async def plain(base: str, timeouts: Timeouts | None = None) -> AsyncIterator[PlainHttp]:
    """A client for that base URL, closed at the end."""
    http = PlainHttp(Way(Address(base)), Settings(timeouts=timeouts or Timeouts()), MARKER)
    try:
        yield http
    finally:
        await http.close()


async def sent(http: PlainHttp, target: str, *headers: tuple[str, str], method: str = "GET") -> tuple[int, bytes]:
    """Send a request without a body; its answer's status and body."""
    async with await http.open(HttpRequest(method, target, headers, None)) as response:
        return response.status, await response.read()


TARGETS = [
    "/v1/a%2Fb%2f..%20",
    "/v1//double//",
    "/v1/semi;colon=1,2!$&'()*+@:",
    "/v1/x?empty&y=&z=a+b%20c&z=%zz",
    "/v1/x?",
    "/v1/x??a=/?:@",
    "/v1/../up/./here",
    "/v1/frag#ment",
    "/v1/caf\u00e9",
    "/v1/pipe|{}^`\\",
    "/other/path",
    "/v1",
    "/v1?x=1",
    "/v1beta/models",
]


@pytest.mark.parametrize("target", TARGETS)
async def test_the_target_goes_out_byte_for_byte(target: str) -> None:
    """Escapes, slashes, queries and odd signs are neither normalised nor re-encoded; nothing but Via is added."""
    upstream = Recorder()
    async with scripted(upstream) as base, plain(base) as http:
        assert await sent(http, target, ("x-One", "1")) == (200, b"ok")
    host = base.removeprefix("http://").removesuffix("/v1")
    line = target.encode().decode("latin-1")
    assert upstream.heads == [f"GET {line} HTTP/1.1\r\nHost: {host}\r\nx-One: 1\r\nVia: {MARKER}\r\n\r\n"]


async def test_repeated_headers_all_go_out() -> None:
    """Every value of a repeated header goes out, in order; only the name's case follows the first one's."""
    upstream = Recorder()
    async with scripted(upstream) as base, plain(base) as http:
        await sent(http, "/v1/a", ("x-one", "1"), ("Other", ""), ("X-One", "2"), ("via", "1.1 before"), ("X-ONE", "3"))
    fields = upstream.heads[0].split("\r\n")[2:-2]
    assert fields == ["x-one: 1", "Other: ", "x-one: 2", "via: 1.1 before", "x-one: 3", f"via: {MARKER}"]


@pytest.mark.parametrize(
    ("end", "target", "expected"),
    [
        ("/openai/v1", "/v1/models?x", "/openai/v1/models?x"),
        ("/openai/v1/", "/v1/models", "/openai/v1/models"),
        ("/openai/v1", "/other", "/other"),
        ("", "/v1/models", "/models"),
        ("", "/v1", "/"),
        ("", "/v1?x=1", "/?x=1"),
    ],
)
async def test_v1_stands_for_the_base_url(end: str, target: str, expected: str) -> None:
    """The caller's `/v1` becomes the path of upstream.url; other paths go to the same host as they are."""
    upstream = Recorder()
    async with scripted(upstream) as base, plain(base.replace("http", "HTTP").removesuffix("/v1") + end) as http:
        await sent(http, target)
    assert upstream.heads[0].startswith(f"GET {expected} HTTP/1.1\r\n")


async def test_a_large_body_goes_out_whole() -> None:
    """Bytes in memory are sent with their length, however many; the library has nothing to warn of."""
    upstream, body = Recorder(), bytes(range(256)) * 8_192
    async with scripted(upstream) as base, plain(base) as http:
        response = await http.open(HttpRequest("POST", "/v1/responses", (), body))
        assert (response.status, await response.read()) == (200, b"ok")
    assert upstream.bodies == [body]
    assert f"Content-Length: {len(body)}\r\n" in upstream.heads[0]
    assert "Content-Type" not in upstream.heads[0]


async def test_connections_are_reused() -> None:
    """Two requests one after the other use one connection."""
    upstream = Recorder()
    async with scripted(upstream) as base, plain(base) as http:
        assert [await sent(http, "/v1/a"), await sent(http, "/v1/b")] == [(200, b"ok")] * 2
    assert upstream.connections == 1


async def test_redirects_are_the_callers_affair() -> None:
    """A 3xx is handed on: following it could carry the credential elsewhere."""
    upstream = Recorder(b"HTTP/1.1 307 Go\r\nLocation: /v1/elsewhere\r\nContent-Length: 0\r\n\r\n")
    async with scripted(upstream) as base, plain(base) as http:
        assert await sent(http, "/v1/a") == (307, b"")
    assert len(upstream.heads) == 1


async def test_no_cookie_is_kept_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A cookie that one caller was given does not go out with the next call, nor into a log if it is malformed."""
    upstream = Recorder(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: secret name=2\r\nContent-Length: 0\r\n\r\n"
    )
    async with scripted(upstream) as base, plain(base) as http:
        await sent(http, "/v1/a")
        await sent(http, "/v1/a")
    assert "Cookie" not in upstream.heads[1]
    assert caplog.records == []


async def test_netrc_adds_no_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .netrc file for the upstream's host changes nothing: neither an absent Authorization nor the caller's own."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password hidden\n")
    monkeypatch.setenv("NETRC", str(netrc))
    upstream = Recorder()
    async with scripted(upstream) as base, plain(base) as http:
        await sent(http, "/v1/a")
        await sent(http, "/v1/a", ("Authorization", "Bearer own"))
    assert "Authorization" not in upstream.heads[0]
    assert "Authorization: Bearer own\r\n" in upstream.heads[1]


async def test_a_silent_upstream_is_given_up() -> None:
    """An upstream that accepts and says nothing is given up after timeouts.silence_seconds, and called silent."""
    came = asyncio.Event()

    async def hang(line: Line) -> None:
        await request_head(line)
        came.set()
        await line.reader.read()

    async with scripted(hang) as base, plain(base, Timeouts(silence_seconds=0.05)) as http:
        with pytest.raises(Refused) as refused:
            await sent(http, "/v1/a")
        assert refused.value.problem is Problem.SILENCE
        assert came.is_set()


async def test_a_host_that_takes_no_more_of_a_body() -> None:
    """An upload that gets stuck is given up as one that is not answered is; its connection is closed."""
    over = asyncio.Event()

    async def deafen(line: Line) -> None:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined] # the stream's is a socket's
        await over.wait()

    async with scripted(deafen) as base, plain(base, Timeouts(silence_seconds=0.2)) as http:
        with pytest.raises(Refused) as refused:
            await http.open(HttpRequest("POST", "/v1/responses", (), b"x" * 30_000_000))
        assert refused.value.problem is Problem.SILENCE
        over.set()


@pytest.mark.parametrize("body", [b"x", b""])
async def test_a_host_that_does_not_take_the_end_of_a_body(body: bytes) -> None:
    """What is behind the last piece, where the library writes the end of a chunked body, has a limit too."""
    upload = _Upload(body, 0.05)

    async def write() -> None:
        async with asyncio.timeout(5.0), upload.limit:
            assert [piece async for piece in upload.pieces()] == ([body] if body else [])
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await write()
    assert upload.limit.expired()


@pytest.mark.parametrize("body", [None, b"x"])
async def test_a_host_that_only_says_go_on(body: bytes | None) -> None:
    """An interim answer with nothing behind it is no answer: given up as silence is."""

    async def go_on(line: Line) -> None:
        await request_head(line)
        await line.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await line.reader.read()

    limits = Timeouts(silence_seconds=0.1, dial_seconds=0.3)
    async with scripted(go_on) as base, plain(base, limits) as http:
        with pytest.raises(Refused) as refused:
            await http.open(HttpRequest("POST", "/v1/responses", (), body))
        assert refused.value.problem is Problem.SILENCE


async def test_nobody_there_is_unreachable() -> None:
    """A refused connection is Openline's to answer, with the name of what went wrong and nothing more."""
    async with plain("http://127.0.0.1:9/v1") as http:
        with pytest.raises(Refused) as refused:
            await sent(http, "/v1/a")
        assert refused.value.problem is Problem.UNREACHABLE
        assert re.fullmatch(r"the upstream \(127\.0\.0\.1:\d+\): Connection refused", refused.value.detail)


def test_headers_of_one_hop_and_our_own_stay_here() -> None:
    """Hop-by-hop headers, those that Connection names, and x-openline-* are dropped; all else keeps order and case."""
    pairs = [
        ("Host", "a"),
        ("X-B", "1"),
        ("Connection", "keep-alive, X-Named"),
        ("x-named", "gone"),
        ("Keep-Alive", "5"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "Basic x"),
        ("Proxy-Connection", "close"),
        ("Proxy-Authenticate", "Basic"),
        ("Expect", "100-continue"),
        ("X-OpenLine-Mode", "off"),
        ("x-a", "2"),
        ("x-b", "3"),
    ]
    assert end_to_end(pairs) == [("X-B", "1"), ("x-a", "2"), ("x-b", "3")]
