"""What is let in is framed anew on its way up: one length or chunks, of the body that was meant."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import http_parser, web_protocol

from tests.server.wire import Line, connected, request_head, rigged, scripted

POST = b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\n"
CHUNKS = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"
# What is sent, and the body that is meant by it.
ACCEPTED = {
    "a length": (POST + b"Content-Length: 5\r\n\r\nabcde", b"abcde"),
    "a length in another spelling": (POST + b"CONTENT-LENGTH:5\t \r\n\r\nabcde", b"abcde"),
    "no length": (POST + b"\r\n", b""),
    "a length of nothing": (POST + b"Content-Length: 0\r\n\r\n", b""),
    "chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS, b"abcde"),
    "chunks in another spelling": (POST + b"transfer-encoding:\tChunKED \r\n\r\n" + CHUNKS, b"abcde"),
    "a length that Connection names": (
        POST + b"Connection: content-length\r\nContent-Length: 5\r\n\r\nabcde",
        b"abcde",
    ),
    "chunks that Connection names": (
        POST + b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        b"abcde",
    ),
    "hop-by-hop headers": (
        POST + b"Connection: host, via, x-a\r\nTE: chunked\r\nTrailer: X-Trailer\r\nKeep-Alive: 5\r\nX-A: 1\r\n"
        b"Proxy-Connection: keep-alive\r\nContent-Length: 5\r\n\r\nabcde",
        b"abcde",
    ),
    "a coding under another name": (POST + b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nabcde", b"abcde"),
    "a length under another name": (POST + b"X-Content-Length: 9\r\nContent-Length: 5\r\n\r\nabcde", b"abcde"),
    "an offer of HTTP/2": (
        POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
        b"Content-Length: 5\r\n\r\nabcde",
        b"abcde",
    ),
    "an upgrade to something else": (
        POST + b"Connection: upgrade\r\nUpgrade: tcp\r\nContent-Length: 5\r\n\r\nabcde",
        b"abcde",
    ),
    "Connection without an Upgrade": (POST + b"Connection: upgrade\r\nContent-Length: 5\r\n\r\nabcde", b"abcde"),
    "an upgrade without Connection": (POST + b"Upgrade: h2c\r\nContent-Length: 5\r\n\r\nabcde", b"abcde"),
    "a GET with a body": (POST.replace(b"POST", b"GET") + b"Content-Length: 5\r\n\r\nabcde", b"abcde"),
    "a HEAD with chunks": (POST.replace(b"POST", b"HEAD") + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS, b"abcde"),
    "a body that looks like a request": (
        POST + b"Content-Length: 41\r\n\r\nGET /v1/smuggled HTTP/1.1\r\nHost: evil\r\n\r\n",
        b"GET /v1/smuggled HTTP/1.1\r\nHost: evil\r\n\r\n",
    ),
}
SECOND = b"GET /v1/second HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(params=["C", "Python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the HTTP library's parsers reads what comes in."""
    chosen = http_parser.HttpRequestParserC if request.param == "C" else http_parser.HttpRequestParserPy
    monkeypatch.setattr(web_protocol, "HttpRequestParser", chosen)


@pytest.fixture
async def seen() -> AsyncIterator[tuple[str, "asyncio.Queue[tuple[str, bytes]]"]]:
    """An upstream that takes requests to the letter; its URL, and each head and body that it got."""
    got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def script(line: Line) -> None:
        while head := await request_head(line):
            fields = [field.lower() for field in head.split("\r\n")[1:]]
            lengths = [field for field in fields if field.startswith("content-length:")]
            codings = [field for field in fields if field == "transfer-encoding: chunked"]
            assert len(lengths + codings) <= 1
            body = b""
            if codings:
                while chunk := await line.chunk():
                    body += chunk
            elif lengths:
                body = await line.reader.readexactly(int(lengths[0].partition(": ")[2]))
            got.put_nowait((head, body))
            await line.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with scripted(script) as base:
        yield base, got


@pytest.mark.parametrize("case", ACCEPTED)
async def test_a_body_goes_up_as_it_was_meant(case: str, seen: tuple[str, "asyncio.Queue[tuple[str, bytes]]"]) -> None:
    """The upstream reads the body that was meant, then the next request; the caller gets both answers."""
    base, got = seen
    sent, meant = ACCEPTED[case]
    async with rigged(upstream=base) as rig, connected(rig.url) as line:
        await line.send(sent + SECOND)
        assert [(await line.response(sent.split(b" ")[0].decode())).status for _ in range(2)] == [204, 204]
    head, body = got.get_nowait()
    assert (head.split(" ")[1], body) == ("/v1/files", meant)
    names = [field.partition(":")[0].lower() for field in head.split("\r\n")[1:-2]]
    assert {"upgrade", "te", "trailer", "keep-alive", "http2-settings", "proxy-connection", "x-a"}.isdisjoint(names)
    assert (names.count("host"), names.count("via")) == (1, 1)
    assert got.get_nowait()[0].startswith("GET /v1/second HTTP/1.1\r\n")
    assert got.empty()
