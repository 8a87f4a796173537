"""HTTP sinks: answers reach the caller as the API, or the upstream, would have sent them."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.config import Timeouts
from proxy.core.reasons import Passed, Route, Whole
from proxy.server.responses import HttpSink, labels
from proxy.simulator import Behaviour, Fault
from proxy.turns.outcome import End, Outcome
from proxy.turns.sink import CallerGone
from tests.server.wire import (
    KEY,
    CutShort,
    Line,
    Pairs,
    Response,
    Rig,
    ask,
    connected,
    request,
    request_head,
    rigged,
    scripted,
)

HELLO: dict[str, object] = {"model": "gpt-5.4", "input": "hello", "store": False}
STREAM = {**HELLO, "stream": True}
OURS = {"x-request-id", "x-openline-route", "x-openline-reason"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A simulator and a proxy with default settings."""
    async with rigged() as running:
        yield running


async def answered(raw: bytes, method: str = "GET") -> tuple[Response, Outcome]:
    """What a caller gets where the upstream answers with these bytes and closes, and the outcome."""

    async def script(line: Line) -> None:
        await request_head(line)
        await line.send(raw)

    async with scripted(script) as base, rigged(upstream=base) as rig:
        return await rig.ask(method, "/v1/x"), await rig.outcome()


def theirs(response: Response) -> list[tuple[str, str]]:
    """The headers of an answer that are not this hop's."""
    return [(name, value) for name, value in response.headers if name not in {*OURS, "Transfer-Encoding"}]


# ---- what passes through, on its way down


async def test_headers_come_back_as_they_were() -> None:
    """Order, case, repeated Set-Cookie, odd bytes: all as the upstream sent them; nothing of the library is added."""
    headers = [
        ("x-ratelimit-remaining", "9"),
        ("Set-Cookie", "a=1; Path=/; HttpOnly"),
        ("X-MiXed", "caf\u00c3\u00a9"),
        ("set-cookie", "b=2"),
        ("openai-processing-ms", "7"),
        ("Content-Length", "2"),
    ]
    raw = "HTTP/1.1 201 Quite Right\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\nok"
    response, outcome = await answered(raw.encode("latin-1"))
    assert response.line == "HTTP/1.1 201 Quite Right"
    assert theirs(response) == headers
    assert response.body == b"ok"
    assert response.header("x-request-id") == outcome.id
    assert (outcome.status, outcome.end) == (201, End.PASSED)


async def test_the_upstreams_own_server_date_and_request_id_come_through() -> None:
    """What the library would add is not taken for its own where the upstream said it."""
    headers = [("Server", "Python/3.9 aiohttp/1"), ("Date", "x"), ("X-Request-ID", "req_1"), ("Content-Length", "0")]
    raw = "HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    response, _ = await answered(raw.encode())
    assert theirs(response) == headers


async def test_hop_by_hop_headers_end_here() -> None:
    """Headers of the upstream's connection, and x-openline-* ones of another Openline, do not reach the caller."""
    response, _ = await answered(
        b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
        b"X-Openline-Route: delta\r\nTrailer: X-T\r\nUpgrade: h2c\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n"
    )
    assert theirs(response) == [("X-End", "1"), ("Content-Length", "0")]
    assert response.header("x-openline-route") == "passthrough"


async def test_headers_that_cannot_be_passed_on_as_they_are() -> None:
    """Latin-1 arrives as UTF-8, control characters as blanks: the answer is not lost for a header."""
    response, _ = await answered(b"HTTP/1.1 200 O\x01K\r\nX-Name: caf\xe9\x02!\r\nContent-Length: 2\r\n\r\nok")
    assert response.line == "HTTP/1.1 200 O K"
    assert response.header("x-name") == "caf\u00c3\u00a9 !"
    assert response.body == b"ok"


@pytest.mark.parametrize(
    "line",
    [
        "200 OK",
        "204 No Content",
        "304 Not Modified",
        "302 Found",
        "418 I'm a teapot",
        "429 Slow",
        "503 Later",
        "299 Odd",
    ],
)
async def test_statuses_come_back(line: str) -> None:
    """Status and reason are the upstream's; a redirect is not followed."""
    body = b"" if line[:3] in {"204", "304"} else b"ok"
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    response, outcome = await answered(f"HTTP/1.1 {line}\r\nLocation: /v1/y\r\n{length}\r\n".encode() + body)
    assert response.line == f"HTTP/1.1 {line}"
    assert (response.header("location"), response.body) == ("/v1/y", body)
    assert outcome.status == int(line[:3])


async def test_a_head_request_gets_the_headers_alone() -> None:
    """The length that a GET would have had comes back, and no body; the connection goes on."""
    response, _ = await answered(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", "HEAD")
    assert (response.header("content-length"), response.body) == ("77", b"")


async def test_compressed_answers_are_left_alone() -> None:
    """A gzip answer reaches the caller byte for byte with its label."""
    packed = gzip.compress(b"x" * 1_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    response, _ = await answered(head.encode() + packed)
    assert (response.header("content-encoding"), response.body) == ("gzip", packed)


async def test_an_answer_that_ends_with_the_connection() -> None:
    """An HTTP/1.0 answer without a length is whole when the upstream closes."""
    response, outcome = await answered(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    assert (response.body, outcome.end) == (b"all of it", End.PASSED)


@pytest.mark.parametrize("keep", [(), (("Connection", "keep-alive"),)], ids=["", "keep-alive"])
@pytest.mark.parametrize(("method", "target"), [("POST", "/v1/responses"), ("GET", "/v1/x")])
async def test_an_http10_caller_sees_the_end(method: str, target: str, keep: Pairs) -> None:
    """It knows no chunks: where there is no length the connection is closed, whatever the caller would like."""

    async def script(line: Line) -> None:
        await request_head(line)
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nall of it\r\n0\r\n\r\n")

    async with scripted(script) as other, rigged(upstream="" if method == "POST" else other) as rig:
        body = msgspec.json.encode(STREAM) if method == "POST" else None
        async with connected(rig.url) as line:
            await line.send(request(method, target, [KEY, *keep], body).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            response = await line.response()
            assert response.status == 200
            assert response.body.endswith(b"all of it" if method == "GET" else b"\n\n")


async def test_an_answer_streams() -> None:
    """The first chunk reaches the caller before the upstream has sent its last."""
    go_on = asyncio.Event()

    async def script(line: Line) -> None:
        await request_head(line)
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await go_on.wait()
        await line.send(b"4\r\nlast\r\n0\r\n\r\n")

    async with scripted(script) as base, rigged(upstream=base) as rig, connected(rig.url) as line:
        await line.send(request("GET", "/v1/x", [KEY]))
        assert (await line.head()).chunked
        assert await line.chunk() == b"first"
        go_on.set()
        assert [await line.chunk(), await line.chunk()] == [b"last", b""]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst",
    ],
    ids=["chunked", "length"],
)
async def test_an_answer_that_is_cut_stays_cut(raw: bytes) -> None:
    """Where the upstream breaks off, the caller's body breaks off too: no clean end pretends that it was whole."""

    async def script(line: Line) -> None:
        await request_head(line)
        await line.send(raw)

    async with scripted(script) as base, rigged(upstream=base) as rig:
        with pytest.raises(CutShort):
            await rig.ask("GET", "/v1/x")
        outcome = await rig.outcome()
        assert (outcome.end, outcome.status) == (End.CUT, 200)
        assert outcome.faults == ["the upstream's answer was cut short"]
        assert rig.outcomes.empty()


async def test_garbage_from_upstream_is_a_502() -> None:
    """What is no HTTP at all cannot be passed on: a clear error in its place."""
    response, outcome = await answered(b"garbage\r\n\r\n")
    assert (response.status, response.error()["code"]) == (502, "openline_unreachable")
    assert (outcome.status, outcome.end) == (502, End.ERROR)


async def test_a_caller_that_takes_nothing_is_let_go() -> None:
    """A caller that stops reading holds its upstream connection no longer than timeouts.write_seconds.

    Should it read on later, it finds its answer cut, not ended.
    """
    ended = asyncio.get_running_loop().create_future()

    async def script(line: Line) -> None:
        await request_head(line)
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                await line.send(b"10000\r\n" + bytes(65_536) + b"\r\n")
        except ConnectionError:
            ended.set_result("cut")

    limits = Timeouts(write_seconds=0.2)
    async with scripted(script) as base, rigged(upstream=base, timeouts=limits) as rig, connected(rig.url) as line:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket's transport reads as well
        await line.send(request("GET", "/v1/x", [KEY]))
        outcome = await rig.outcome()
        assert (outcome.end, outcome.status) == (End.HUNG_UP, 200)
        async with asyncio.timeout(10):
            assert await ended == "cut"
        line.writer.transport.resume_reading()  # type: ignore[attr-defined] # same
        with pytest.raises(CutShort):
            await line.response()


# ---- turns


def events(body: bytes) -> list[tuple[str, dict[str, object]]]:
    """An SSE body's events, read strictly: `event: TYPE`, `data: JSON`, an empty line."""
    found = []
    for block in body.removesuffix(b"\n\n").split(b"\n\n"):
        first, second = block.split(b"\n")
        data = msgspec.json.decode(second.removeprefix(b"data: "), type=dict[str, object])
        found.append((first.removeprefix(b"event: ").decode(), data))
    return found


async def test_sse_callers_get_the_apis_framing(rig: Rig) -> None:
    """Each event has its type line and one data line; types, order and sequence numbers are those of plain HTTP."""
    response = await rig.create(STREAM)
    direct = await ask(rig.app._settings.upstream.url, "POST", "/v1/responses", [KEY], msgspec.json.encode(STREAM))
    assert (response.status, response.chunked) == (200, True)
    assert response.header("content-type") == direct.header("content-type") == "text/event-stream; charset=utf-8"
    assert response.header("server") is None
    got, wanted = events(response.body), events(direct.body)
    assert [kind for kind, _ in got] == [kind for kind, _ in wanted]
    assert [event["sequence_number"] for _, event in got] == [event["sequence_number"] for _, event in wanted]
    assert all(kind == event["type"] and "stream_id" not in event for kind, event in got)


async def test_json_callers_get_the_final_response(rig: Rig) -> None:
    """Without `stream` the answer is the final response alone, as JSON with its length."""
    response = await rig.create(HELLO)
    assert (response.status, response.header("content-type")) == (200, "application/json")
    assert response.header("content-length") == str(len(response.body))
    body = response.json()
    assert (body["object"], body["status"]) == ("response", "completed")
    assert body["output"]


@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["json", "sse"])
@pytest.mark.parametrize("transport", ["ws", "http"])
async def test_early_errors_are_http_answers(body: dict[str, object], transport: str, rig: Rig) -> None:
    """An error before any event has the status, the whole error object and the Retry-After of plain HTTP."""
    refusal = {"status": 429, "code": "rate_limit_exceeded", "message": "Slow down.", "headers": {"Retry-After": "7"}}
    rig.sim.faults.add(Fault("error", "start", **refusal))  # type: ignore[arg-type] # the names are checked there
    headers = [KEY, *([("x-openline-mode", "off")] if transport == "http" else [])]
    response = await rig.create(body, headers)
    assert (response.status, response.header("retry-after")) == (429, "7")
    assert response.error()["code"] == "rate_limit_exceeded"
    assert response.error()["message"] == "Slow down."
    assert {"type", "param"} <= set(response.error())
    assert rig.sim.journal[-1].transport == transport
    assert (await rig.outcome()).status == 429


async def test_the_request_id_is_the_upstreams_where_it_gave_one(rig: Rig) -> None:
    """An error that names its request keeps that name; an answer without one gets Openline's own."""
    rig.sim.faults.add(Fault("error", "start", status=400, headers={"x-request-id": "req_9"}))
    assert (await rig.create(HELLO)).header("x-request-id") == "req_9"
    assert str((await rig.create(HELLO)).header("x-request-id")).startswith("ol_")


async def test_an_error_in_mid_stream_has_the_flat_shape(rig: Rig) -> None:
    """After events an error is the last event of the stream, which then ends cleanly."""
    rig.sim.faults.add(Fault("error", "events", after=2, code="server_error", message="Broken."))
    response = await rig.create(STREAM)
    kind, event = events(response.body)[-1]
    assert (response.status, kind, event["code"], event["message"]) == (200, "error", "server_error", "Broken.")
    assert (await rig.outcome()).end is End.ERROR


async def test_a_line_lost_in_mid_stream_cuts_the_callers_body(rig: Rig) -> None:
    """After events a lost socket looks as a lost HTTP line would: the chunked body is not ended."""
    rig.sim.faults.add(Fault("abort", "events", after=2))
    with pytest.raises(CutShort):
        await rig.create(STREAM)
    outcome = await rig.outcome()
    assert (outcome.end, outcome.status) == (End.CUT, 200)
    assert rig.outcomes.empty()


async def test_silence_is_filled_with_comments() -> None:
    """After the first event a silent upstream is bridged by SSE comments, which parsers skip."""
    async with rigged(timeouts=Timeouts(keepalive_seconds=0.05)) as rig, connected(rig.url) as line:
        rig.sim.faults.add(Fault("hang", "events", after=2))
        await line.send(request("POST", "/v1/responses", [KEY], msgspec.json.encode(STREAM)))
        await line.head()
        chunks = [await line.chunk()]
        while chunks[-1] != b": keep-alive\n\n":
            chunks.append(await line.chunk())
        assert chunks[0].startswith(b"event: response.created\n")
        rig.sim.faults.release()
        while chunks[-1]:
            chunks.append(await line.chunk())
        assert b"event: response.completed" in b"".join(chunks)


async def test_a_turn_over_http_is_cut_as_it_was() -> None:
    """Without WebSocket mode a broken answer reaches the caller broken, and is recorded so."""
    async with rigged(Behaviour(websocket=False)) as rig:
        rig.sim.faults.add(Fault("abort", "events", after=2, transport="http"))
        with pytest.raises(CutShort):
            await rig.create(STREAM)
        assert (await rig.outcome()).end is End.CUT


async def test_the_next_turn_on_the_terminal_byte_is_a_delta(rig: Rig) -> None:
    """When the terminal event is written the lane is free again: a caller's next turn at once is a delta."""
    body = {**STREAM, "input": [{"role": "user", "content": "hello [[rounds=1 calls=0]]"}]}
    async with connected(rig.url) as line:
        await line.send(request("POST", "/v1/responses", [KEY], msgspec.json.encode(body)))
        await line.head()
        text = b""
        while b"event: response.completed" not in text:
            text += await line.chunk()
        final = next(event for kind, event in events(text) if kind == "response.completed")
        output = msgspec.convert(final["response"], dict[str, object])["output"]
        items = [*body["input"], *msgspec.convert(output, list[object]), {"role": "user", "content": "more"}]  # type: ignore[misc]
        response = await rig.create({**body, "input": items})
        assert response.header("x-openline-route") == "delta"
        assert response.header("x-openline-reason") is None


def test_labels() -> None:
    """The route, and the reason where there is one; no route where Openline refused what took none."""
    outcome = Outcome("ol_1", Route.DELTA)
    assert labels(outcome) == {"x-openline-route": "delta"}
    outcome.route, outcome.reason = Route.PASSTHROUGH, Passed.QUERY
    assert labels(outcome) == {"x-openline-route": "passthrough", "x-openline-reason": "query"}
    outcome.end = End.ERROR
    assert labels(outcome) == {}
    outcome.route, outcome.reason = Route.FULL, Whole.FIRST
    assert labels(outcome) == {"x-openline-route": "full", "x-openline-reason": "first"}


async def test_a_caller_that_is_gone_is_told_apart() -> None:
    """Writing to a connection that is lost raises CallerGone, and to abort it once more is no fault."""
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(incoming: web.Request) -> web.StreamResponse:
        sink = HttpSink(incoming, 1, lambda: False)
        incoming.protocol.force_close()
        try:
            await sink.begin(Outcome("ol_1", Route.FULL))
            sink.keep_alive()
        except CallerGone as gone:
            sink.abort()
            said.set_result(str(gone))
        return sink.response

    app = web.Application()
    app.router.add_get("/", handler)
    async with TestServer(app) as server, connected(str(server.make_url("/"))) as line:
        await line.send(request("GET", "/"))
        assert await line.at_end()
    assert said.result() == "the caller hung up"
