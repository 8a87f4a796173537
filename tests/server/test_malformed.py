"""Malformed requests: a 400 in the API's shape, the connection closed, one outcome, and nothing goes any further."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import http_parser, web_protocol

from proxy.core.reasons import Route
from proxy.turns.outcome import End
from tests.server.malformed import BODIES, GET, HEADS
from tests.server.wire import KEY, Line, Rig, connected, request, request_head, rigged, scripted

SMUGGLED = b"GET /v1/_echo/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
EVERY = HEADS | BODIES


@pytest.fixture(params=["C", "Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the HTTP library's parsers reads what comes in."""
    chosen = http_parser.HttpRequestParserC if request.param == "C" else http_parser.HttpRequestParserPy
    monkeypatch.setattr(web_protocol, "HttpRequestParser", chosen)


@pytest.fixture
async def rig(parser: None) -> AsyncIterator[Rig]:  # noqa: ARG001 - in place before the proxy is
    """A simulator and a proxy."""
    async with rigged() as running:
        yield running


async def refused(line: Line, rig: Rig) -> None:
    """Read the refusal, the end of the connection, and the record."""
    response = await line.response()
    assert (response.status, response.header("content-type")) == (400, "application/json")
    assert (response.header("connection"), response.header("server")) == ("close", None)
    error = response.error()
    assert (error["code"], error["type"], error["param"]) == ("openline_bad_request", "invalid_request_error", None)
    assert await line.at_end()
    outcome = await rig.outcome()
    assert (outcome.status, outcome.end, outcome.route, outcome.reason) == (400, End.ERROR, Route.PASSTHROUGH, None)
    assert response.header("x-request-id") == outcome.id
    assert rig.outcomes.empty()
    assert "sk-secret" not in response.body.decode()


@pytest.mark.parametrize("case", HEADS)
async def test_a_malformed_head_is_refused(case: str, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """It gets a 400, nothing of it or of what is pipelined behind it is passed on, and nothing of it is told."""
    caplog.set_level(logging.DEBUG)
    async with connected(rig.url) as line:
        await line.send(HEADS[case] + SMUGGLED)
        await refused(line, rig)
    assert (len(rig.sim.requests), len(rig.sim.journal)) == (0, 0)
    assert "sk-secret" not in caplog.text


@pytest.mark.parametrize("case", BODIES)
async def test_a_malformed_body_is_refused(case: str, rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """A body that turns out malformed gets its 400 at once; the request is not ended upstream as if it were whole."""
    caplog.set_level(logging.DEBUG)
    async with connected(rig.url) as line:
        await line.send(BODIES[case].replace(b"/v1/_echo/sk-secret", b"/v1/responses") + SMUGGLED)
        await refused(line, rig)
    assert (len(rig.sim.requests), len(rig.sim.journal)) == (0, 0)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("case", EVERY)
async def test_what_came_before_is_answered(case: str, rig: Rig) -> None:
    """A request ahead of a malformed one, in the same segment, gets its answer first."""
    async with connected(rig.url) as line:
        await line.send(request("GET", "/v1/_echo/first", [KEY]) + EVERY[case] + SMUGGLED)
        assert (await line.response()).status == 200
        assert (await rig.outcome()).status == 200
        if case in BODIES:
            response = await line.response()
            assert (response.status, response.error()["code"]) == (400, "openline_bad_request")
            assert await line.at_end()
        else:
            await refused(line, rig)
    assert [seen.path for seen in rig.sim.requests if "smuggled" in seen.path] == []


@pytest.mark.parametrize("case", ["a bare LF after a header", "two equal lengths", "an asterisk", "a huge size"])
async def test_the_size_of_segments_does_not_matter(case: str, rig: Rig) -> None:
    """Byte for byte it is the same, for the good request ahead and for the malformed one."""
    async with connected(rig.url) as line:
        for byte in request("POST", "/v1/_echo/first", [KEY], b"body") + EVERY[case] + SMUGGLED:
            line.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert (await line.response()).status == 200
        assert (await rig.outcome()).request_bytes == 4
        response = await line.response()
        assert (response.status, response.error()["code"]) == (400, "openline_bad_request")
        assert await line.at_end()


@pytest.mark.parametrize("case", ["two equal lengths", "a size that is none", "a bare LF after a header"])
async def test_a_body_that_is_not_read_yet_is_whole(case: str, rig: Rig) -> None:
    """What is malformed behind a large body costs that one nothing, though nobody has read it by then."""
    body = b'{"model":"gpt-5.4","store":false,"input":"%b"}' % (b"x" * 150_000)
    async with connected(rig.url) as line:
        await line.send(request("POST", "/v1/responses", [KEY], body) + EVERY[case] + SMUGGLED)
        assert (await line.response()).status == 200
        assert (await rig.outcome()).request_bytes == len(body)
        assert (await line.response()).status == 400
        assert await line.at_end()


@pytest.mark.usefixtures("parser")
async def test_a_broken_body_is_cut_off_upstream() -> None:
    """What has gone upstream of a chunked upload is left without an end, and its caller hears of it at once."""
    rest: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    came = asyncio.Event()

    async def script(line: Line) -> None:
        await request_head(line)
        await line.chunk()
        came.set()
        rest.set_result(await line.reader.read())

    async with scripted(script) as base, rigged(upstream=base) as rig, connected(rig.url) as line:
        await line.send(request("POST", "/v1/files", [KEY, ("Transfer-Encoding", "chunked")]) + b"3\r\nabc\r\n")
        async with asyncio.timeout(10):
            await came.wait()
        await line.send(b"zz\r\n")
        response = await line.response()
        assert (response.status, response.error()["code"]) == (400, "openline_bad_request")
        assert await line.at_end()
        async with asyncio.timeout(10):
            assert await rest == b""
        outcome = await rig.outcome()
        assert (outcome.end, outcome.status, outcome.request_bytes) == (End.ERROR, 400, 3)
        assert rig.outcomes.empty()


@pytest.mark.usefixtures("parser")
async def test_a_broken_body_behind_a_running_request() -> None:
    """It is told of when its turn comes; the request ahead of it, whose body was whole, is not touched."""
    go = asyncio.Event()

    async def script(line: Line) -> None:
        await request_head(line)
        await go.wait()
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with scripted(script) as base, rigged(upstream=base) as rig, connected(rig.url) as line:
        await line.send(request("POST", "/v1/files", [KEY], b"whole") + BODIES["a size that is none"])
        go.set()
        assert (await line.response()).body == b"ok"
        assert (await line.response()).status == 400
        assert await line.at_end()
        assert [(await rig.outcome()).status for _ in range(2)] == [200, 400]


@pytest.mark.parametrize("size", [1, 5_000_000])
async def test_a_refusal_arrives_though_the_caller_still_sends(size: int, rig: Rig) -> None:
    """A large upload behind a malformed head does not cost its sender the answer."""
    head = b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: +%d\r\n\r\n" % size
    async with connected(rig.url) as line:
        line.writer.write(head + bytes(size))
        assert (await line.response()).status == 400


async def test_hints_name_the_usual_slips(rig: Rig) -> None:
    """The answer says what to do about https, HTTP/2 and use as a forward proxy."""
    hints = {"TLS": "not https", "HTTP/2's preface": "use HTTP/1.1", "CONNECT": "not a forward proxy"}
    for case, hint in hints.items():
        async with connected(rig.url) as line:
            await line.send(HEADS[case])
            assert hint in str((await line.response()).error()["message"])


async def test_an_unfinished_head_that_is_no_http_is_not_waited_for(rig: Rig) -> None:
    """What can no longer become a request is refused at its first wrong byte, not at a limit of time."""
    for beginning in (
        b"\x16",
        b"GET / HTTP/1.1\r\nX: \x00",
        b"\x00",
        b"get ",
        b"HELO",
        GET + b"X-A: 1\n",
        b"GET x\r\n",
    ):
        async with connected(rig.url) as line:
            await line.send(beginning if beginning != b"HELO" else b"HELO localhost\r\n")
            await refused(line, rig)
