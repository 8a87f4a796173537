"""The handler: each HTTP request becomes a turn or passes through, and its outcome is reported once."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from backports import zstd

from proxy.config import Limits, Timeouts
from proxy.core.reasons import Passed, Plain, Route, Whole
from proxy.errors import Problem
from proxy.server.handler import _MODES
from proxy.simulator import Behaviour, Fault
from proxy.tasks import Tasks
from proxy.turns.outcome import End
from tests.server.wire import KEY, Line, Pairs, Rig, ask, connected, request, request_head, rigged, scripted

HEADERS = (Path(__file__).parents[2] / "docs" / "headers.md").read_text()
UPGRADE = [
    KEY,
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]
HELLO: dict[str, object] = {"model": "gpt-5.4", "input": "hello", "store": False}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A simulator and a proxy with default settings."""
    async with rigged() as running:
        yield running


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    """What runs beside a test; ended with it."""
    running = Tasks()
    yield running
    await running.close()


def end_to_end_of(headers: Pairs) -> list[tuple[str, str]]:
    """Headers that came out upstream, but those that every hop makes: Host and the loop marker."""
    return [(name, value) for name, value in headers if name not in {"Host", "Via"}]


# ---- what passes through, on its way up


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND"])
async def test_methods_and_bodies_pass_through(method: str, rig: Rig) -> None:
    """Any method arrives as it was sent, with its body byte for byte."""
    body = bytes(range(256))
    response = await rig.ask(method, "/v1/_echo/x", [KEY, ("X-A", "1")], body)
    assert response.status == 200
    (seen,) = rig.sim.requests
    assert (seen.method, seen.path, seen.body) == (method, "/v1/_echo/x", body)
    assert end_to_end_of(seen.headers) == [KEY, ("X-A", "1"), ("Content-Length", "256")]


@pytest.mark.parametrize(
    "target",
    [
        "/v1/_echo/a%2Fb%2f%20..",
        "/v1/_echo//double//",
        "/v1/_echo/semi;colon,!$&'()*+@:",
        "/v1/_echo/x?empty&y=&z=a+b%20c&z=%zz&z=%E2%82%AC",
        "/v1/_echo/x?",
        "/v1/_echo/x??a=/?:@",
        "/v1/_echo/./../_echo/here",
    ],
)
async def test_targets_pass_through(target: str, rig: Rig) -> None:
    """Path and query arrive byte for byte: nothing is decoded, normalised or re-encoded."""
    await rig.ask("GET", target)
    assert [seen.path for seen in rig.sim.requests] == [target]


async def test_headers_pass_through(rig: Rig) -> None:
    """All end-to-end headers arrive in order and case; nothing is added; no x-openline header goes up."""
    sent = [
        KEY,
        ("x-Mixed-CASE", "v"),
        ("cookie", "a=1; b=2"),
        ("X-Twice", "1"),
        ("Other", "caf\u00c3\u00a9"),
        ("X-Twice", "2"),
        ("x-stainless-os", "Linux"),
        ("traceparent", "00-a-b-01"),
    ]
    hop = [
        ("Connection", "keep-alive, X-Mine"),
        ("X-Mine", "1"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("x-openline-mode", "off"),
        ("X-Openline-Future", "1"),
    ]
    await rig.ask("GET", "/v1/_echo/x", [*hop, *sent])
    (seen,) = rig.sim.requests
    assert end_to_end_of(seen.headers) == sent
    assert next(value for name, value in seen.headers if name == "Via").startswith("1.1 openline-")


async def test_a_request_without_a_body_gets_a_length_at_most(rig: Rig) -> None:
    """Where no body was sent none arrives; methods that usually have one get `Content-Length: 0`, as documented."""
    for method in ("POST", "DELETE", "GET", "OPTIONS"):
        await rig.ask(method, "/v1/_echo/x")
    lengths = [dict(seen.headers).get("Content-Length") for seen in rig.sim.requests]
    assert lengths == ["0", "0", None, None]
    assert {"Transfer-Encoding", "Content-Type"}.isdisjoint(
        name for seen in rig.sim.requests for name, _ in seen.headers
    )


async def test_an_upstream_may_answer_before_it_has_the_body() -> None:
    """A refusal of a large upload reaches the caller while he still sends; the rest is not waited for."""

    async def script(line: Line) -> None:
        await request_head(line)
        await line.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        await line.reader.read()

    async with scripted(script) as base, rigged(upstream=base) as rig, connected(rig.url) as line:
        await line.send(request("POST", "/v1/files", [KEY, ("Content-Length", "1000000")]) + bytes(1_000))
        response = await line.response()
        assert (response.status, response.body) == (413, b"big")
        outcome = await rig.outcome()
        assert (outcome.status, outcome.end) == (413, End.PASSED)


async def test_a_header_that_is_not_utf8_is_a_clear_400(rig: Rig) -> None:
    """What the HTTP library could only send bent is not sent at all."""
    response = await rig.ask("GET", "/v1/_echo/x", [KEY, ("X-A", "caf\u00e9")])
    assert (response.status, response.error()["code"]) == (400, "openline_bad_request")
    assert not rig.sim.requests


async def test_bodies_stream_both_ways(rig: Rig) -> None:
    """The first chunk of a body of unknown length reaches the upstream, and comes back, before the last is sent."""
    async with connected(rig.url) as line:
        await line.send(request("POST", "/v1/_echo_stream", [KEY, ("Transfer-Encoding", "chunked")]))
        await line.send(b"5\r\nfirst\r\n")
        head = await line.head()
        assert (head.status, head.chunked) == (200, True)
        assert await line.chunk() == b"first"
        await line.send(b"4\r\nlast\r\n0\r\n\r\n")
        assert await line.chunk() == b"last"
        assert await line.chunk() == b""
    (seen,) = rig.sim.requests
    assert ("Transfer-Encoding", "chunked") in seen.headers
    outcome = await rig.outcome()
    assert (outcome.end, outcome.request_bytes, outcome.sent_bytes) == (End.PASSED, 9, 9)


async def test_large_bodies_pass_both_ways(rig: Rig, tasks: Tasks) -> None:
    """20 MB go up and come back at the same time, unchanged."""
    body = bytes(range(256)) * 80_000
    async with connected(rig.url) as line:
        sending = tasks.start(line.send(request("POST", "/v1/_echo_stream", [KEY], body)), "upload")
        response = await line.response("POST")
        await sending
    assert response.body == body
    assert (await rig.outcome()).request_bytes == len(body)


async def test_expect_is_answered_here(rig: Rig) -> None:
    """A caller that waits for 100 Continue gets it before it sends its body; the upstream gets no Expect."""
    async with connected(rig.url) as line:
        await line.send(request("POST", "/v1/_echo/x", [KEY, ("Expect", "100-continue"), ("Content-Length", "4")]))
        assert (await line.head()).status == 100
        await line.send(b"body")
        assert (await line.response()).status == 200
    (seen,) = rig.sim.requests
    assert seen.body == b"body"
    assert "expect" not in {name.lower() for name, _ in seen.headers}


async def test_an_offer_of_http2_is_passed_over(rig: Rig) -> None:
    """Java's client offers `Upgrade: h2c` with each first request: it is served, and the offer goes no further."""
    offer = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]
    assert (await rig.ask("POST", "/v1/_echo/x", [KEY, *offer], b"body")).status == 200
    (seen,) = rig.sim.requests
    assert end_to_end_of(seen.headers) == [KEY, ("Content-Length", "4")]


async def test_a_caller_that_stalls_is_told_so() -> None:
    """A body that does not come within timeouts.silence_seconds is a 400 for turns and for what passes through."""
    async with rigged(timeouts=Timeouts(silence_seconds=0.05)) as impatient:
        for path in ("/v1/responses", "/v1/files"):
            async with connected(impatient.url) as line:
                await line.send(request("POST", path, [KEY, ("Content-Length", "9")], None) + b"{")
                response = await line.response()
                assert response.status == 400
                assert "stalled" in str(response.error()["message"])


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 3x\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ],
)
async def test_doubtful_framing_goes_no_further(framing: str, rig: Rig) -> None:
    """A request whose end two servers could see at different places is a 400, and the connection is closed."""
    async with connected(rig.url) as line:
        await line.send(f"POST /v1/_echo/x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n0\r\n\r\n".encode())
        assert (await line.response()).status == 400
        assert await line.at_end()
    assert not rig.sim.requests


# ---- which requests are turns


async def test_a_create_becomes_a_turn(rig: Rig) -> None:
    """A plain create goes over a WebSocket; the outcome has its sizes and counts."""
    body = msgspec.json.encode(HELLO)
    response = await rig.ask("POST", "/v1/responses", [KEY], body)
    assert (response.status, response.header("x-openline-route")) == (200, "full")
    outcome = await rig.outcome()
    assert (outcome.route, outcome.reason, outcome.end) == (Route.FULL, Whole.FIRST, End.COMPLETED)
    assert (outcome.status, outcome.request_bytes, outcome.method) == (200, len(body), "POST")
    assert outcome.id == response.header("x-request-id")
    assert min(outcome.sent_bytes, outcome.input_tokens, outcome.output_tokens, outcome.total_seconds) > 0
    assert [entry.transport for entry in rig.sim.journal] == ["ws"]


BODIES: list[tuple[Passed, dict[str, object]]] = [
    (Passed.OWN_STATE, {"previous_response_id": "resp_unknown"}),
    (Passed.OWN_STATE, {"conversation": "conv_1"}),
    (Passed.OWN_STATE, {"prompt": {"id": "pmpt_1"}}),
    (Passed.BACKGROUND, {"background": True, "store": True}),
    (Passed.SOCKET_FIELDS, {"type": "response.create"}),
    (Passed.SOCKET_FIELDS, {"stream_id": "a"}),
    (Passed.SOCKET_FIELDS, {"generate": False}),
    (Passed.ODD_BODY, {"stream_options": {"include_obfuscation": False}}),
    (Passed.ODD_BODY, {"stream": "yes"}),
    (Passed.ODD_BODY, {"input": 7}),
]


@pytest.mark.parametrize(("reason", "change"), BODIES, ids=lambda value: str(value)[:40])
async def test_what_is_no_plain_create_passes_through(reason: Passed, change: dict[str, object], rig: Rig) -> None:
    """The caller's own bytes reach the upstream over HTTP, its answer comes back, and a header names the reason."""
    body = msgspec.json.encode({**HELLO, **change})
    direct = await ask(f"http://127.0.0.1:{_port(rig)}", "POST", "/v1/responses", [KEY], body)
    response = await rig.ask("POST", "/v1/responses", [KEY], body)
    assert (response.header("x-openline-route"), response.header("x-openline-reason")) == ("passthrough", reason.value)
    assert response.status == direct.status
    assert [(entry.transport, entry.raw) for entry in rig.sim.journal] == [("http", body)] * 2
    outcome = await rig.outcome()
    assert (outcome.route, outcome.reason, outcome.end) == (Route.PASSTHROUGH, reason, End.PASSED)
    assert (outcome.request_bytes, outcome.sent_bytes, outcome.status) == (len(body), len(body), direct.status)


def _port(rig: Rig) -> int:
    """Where the simulator listens: the proxy's upstream."""
    return int(rig.app._settings.upstream.url.rpartition(":")[2].partition("/")[0])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"not json", b'{"model":"m"}', b'{"model":"m","input":"\xff"}', b"\x00" * 9],
)
async def test_odd_bodies_get_the_upstreams_own_error(body: bytes, rig: Rig) -> None:
    """What Openline cannot read goes up byte for byte; status and error object are the upstream's."""
    direct = await ask(f"http://127.0.0.1:{_port(rig)}", "POST", "/v1/responses", [KEY], body)
    response = await rig.ask("POST", "/v1/responses", [KEY], body)
    assert (response.status, response.body) == (direct.status, direct.body)
    assert response.status == 400
    assert response.header("x-openline-reason") == "odd_body"
    assert [entry.raw for entry in rig.sim.journal] == [body] * 2


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        ("POST", "/v1/responses?", "query"),
        ("POST", "/v1/responses?include=x", "query"),
        ("POST", "/v1/responses/", "other_path"),
        ("POST", "/v1/%72esponses", "other_path"),
        ("POST", "//v1/responses", "other_path"),
        ("POST", "/v1/responses/compact", "other_path"),
        ("GET", "/v1/responses", "other_path"),
        ("POST", "/v1/chat/completions", "other_path"),
        ("GET", "/v1/models", "other_path"),
    ],
)
async def test_other_paths_and_queries_pass_through(method: str, target: str, reason: str, rig: Rig) -> None:
    """Only `POST /v1/responses` exactly is a turn; everything near it goes to the upstream untouched."""
    body = msgspec.json.encode(HELLO) if method == "POST" else None
    response = await rig.ask(method, target, [KEY], body)
    assert (response.header("x-openline-route"), response.header("x-openline-reason")) == ("passthrough", reason)
    assert rig.sim.handshakes == type(rig.sim.handshakes)()


CREDENTIALS = (
    "Cookie",
    "x-api-key",
    "X-Auth-Token",
    "x-goog-api-key",
    "Ocp-Apim-Subscription-Key",
    "CF-Access-Client-Id",
    "CF-Access-Client-Secret",
    "X-Credential",
    "ChatGPT-Account-ID",
)


@pytest.mark.parametrize("header", CREDENTIALS)
async def test_an_unlisted_credential_goes_over_http(header: str) -> None:
    """A cookie, or what looks like a credential, may tell callers apart: no socket is shared, and the host gets it."""
    async with rigged() as rig:
        for user in ("alice", "bob"):
            response = await rig.create(HELLO, [KEY, (header, user)])
            assert response.header("x-openline-route") == "http"
            assert response.header("x-openline-reason") == Plain.SEMANTIC_HEADER.value
            assert dict(rig.sim.journal[-1].headers)[header] == user
        assert not rig.sim.handshakes


@pytest.mark.parametrize("header", CREDENTIALS)
async def test_a_listed_credential_parts_the_pools(header: str) -> None:
    """What upstream.identity_headers names goes on the upgrade; another value is another socket, and never a delta."""
    async with rigged(identity=(header.lower(),)) as rig:
        items: list[object] = [{"role": "user", "content": "hello"}]
        for user in ("alice", "bob"):
            response = await rig.create({**HELLO, "input": items}, [KEY, (header, user)])
            assert response.header("x-openline-route") == "full"
            items += [*msgspec.convert(response.json()["output"], list[object]), {"role": "user", "content": "more"}]
        seen = [{name.lower(): value for name, value in one.headers}[header.lower()] for one in rig.sim.handshakes]
        assert seen == ["alice", "bob"]


@pytest.mark.parametrize("header", ["x-tokenizer", "x-keynote", "x-secretary", "x-account-idle", "accept"])
async def test_what_only_sounds_alike_is_no_credential(header: str, rig: Rig) -> None:
    """A header that merely holds such a word keeps nobody from the socket."""
    response = await rig.create(HELLO, [KEY, (header, "1")])
    assert response.header("x-openline-route") == "full"


@pytest.mark.parametrize(
    ("header", "value"),
    [("Idempotency-Key", "1"), ("idempotency-key", "1"), ("X-Semantic", "1")],
)
async def test_semantic_headers_go_over_http(header: str, value: str) -> None:
    """What means something to HTTP alone, or is listed, sends its turn over HTTP."""
    async with rigged(semantic=("x-semantic",)) as rig:
        response = await rig.create(HELLO, [KEY, (header, value)])
        assert response.header("x-openline-route") == "http"
        assert response.header("x-openline-reason") == Plain.SEMANTIC_HEADER.value
        (entry,) = rig.sim.journal
        assert (entry.transport, dict(entry.headers)[header]) == ("http", value)


@pytest.mark.parametrize(
    ("mode", "header", "route", "reason"),
    [
        ("on", None, "full", "first"),
        ("on", "on", "full", "first"),
        ("on", "full", "full", "forced"),
        ("on", "off", "http", "mode_off"),
        ("off", None, "http", "mode_off"),
        ("off", "on", "full", "first"),
        ("off", "full", "full", "forced"),
        ("observe", None, "http", "observed"),
        ("observe", "on", "full", "first"),
        ("observe", "off", "http", "mode_off"),
    ],
)
async def test_modes(mode: str, header: str | None, route: str, reason: str) -> None:
    """The setting decides; the request header x-openline-mode overrides it for one turn."""
    async with rigged(mode=mode) as rig:
        response = await rig.create(HELLO, [KEY, *([("x-openline-mode", header)] if header else [])])
        assert (response.header("x-openline-route"), response.header("x-openline-reason")) == (route, reason)
        (entry,) = rig.sim.journal
        assert entry.transport == ("http" if route == "http" else "ws")
        assert not [name for name, _ in entry.headers if name.lower().startswith("x-openline")]


@pytest.mark.parametrize("value", ["", "ON", "observe", "delta", "full, off"])
@pytest.mark.parametrize("target", ["/v1/responses", "/v1/models"])
async def test_an_unknown_mode_is_a_clear_400(value: str, target: str, rig: Rig) -> None:
    """A slip in x-openline-mode must not pass for a setting: the answer names the header and its values."""
    response = await rig.ask("POST", target, [KEY, ("x-openline-mode", value)], msgspec.json.encode(HELLO))
    assert response.status == 400
    assert "x-openline-mode must be one of on, full, off" in str(response.error()["message"])
    assert not rig.sim.journal
    assert (await rig.outcome()).status == 400


# ---- encodings


@pytest.mark.parametrize(("name", "encode"), [("gzip", gzip.compress), ("zstd", zstd.compress), ("Identity", bytes)])
async def test_encoded_bodies_become_turns(name: str, encode: Callable[[bytes], bytes], rig: Rig) -> None:
    """A compressed create is read and becomes a turn like any other."""
    body = encode(msgspec.json.encode(HELLO))
    response = await rig.ask("POST", "/v1/responses", [KEY, ("Content-Encoding", name)], body)
    assert (response.status, response.header("x-openline-route")) == (200, "full")
    assert (await rig.outcome()).request_bytes == len(body)


async def test_encodings_of_repeated_headers_are_one_list(rig: Rig) -> None:
    """Two Content-Encoding headers stand for one list: the last is undone first."""
    body = zstd.compress(gzip.compress(msgspec.json.encode(HELLO)))
    twice = [KEY, ("Content-Encoding", "gzip"), ("Content-Encoding", "zstd")]
    assert (await rig.ask("POST", "/v1/responses", twice, body)).header("x-openline-route") == "full"


@pytest.mark.parametrize(("name", "status"), [("gzip", 400), ("rot13", 415)])
async def test_what_cannot_be_decoded_gets_the_upstreams_answer(name: str, status: int, rig: Rig) -> None:
    """A broken or unknown encoding goes up as it came, label included."""
    response = await rig.ask("POST", "/v1/responses", [KEY, ("Content-Encoding", name)], b"\x1f\x8bbroken")
    assert (response.status, response.header("x-openline-reason")) == (status, "odd_body")
    (entry,) = rig.sim.journal
    assert (entry.raw, dict(entry.headers)["Content-Encoding"]) == (b"\x1f\x8bbroken", name)


async def test_bodies_over_the_limit_pass_through() -> None:
    """A body over limits.body_bytes, as sent or as decoded, is not taken in but handed on whole."""
    async with rigged(limits=Limits(body_bytes=2_000)) as rig:
        large = msgspec.json.encode({**HELLO, "input": "x" * 200_000})
        packed = gzip.compress(large)
        for body, headers in ((large, [KEY]), (packed, [KEY, ("Content-Encoding", "gzip")])):
            response = await rig.ask("POST", "/v1/responses", headers, body)
            assert (response.status, response.header("x-openline-reason")) == (200, "odd_body")
            assert rig.sim.journal[-1].raw == body
            assert (await rig.outcome()).request_bytes == len(body)
        assert len(packed) < 2_000


async def test_too_many_items_pass_through() -> None:
    """More items than limits.items are not fingerprinted: the request goes up as it is."""
    async with rigged(limits=Limits(items=2)) as rig:
        items = [{"role": "user", "content": "x"}] * 3
        response = await rig.create({**HELLO, "input": items})
        assert (response.status, response.header("x-openline-reason")) == (200, "odd_body")


async def test_a_chunked_create_is_a_turn(rig: Rig) -> None:
    """The body's framing does not matter: a create of unknown length is read and sent over a socket."""
    body = msgspec.json.encode(HELLO)
    async with connected(rig.url) as line:
        await line.send(request("POST", "/v1/responses", [KEY, ("Transfer-Encoding", "chunked")]))
        for start in range(0, len(body), 10):
            piece = body[start : start + 10]
            await line.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await line.send(b"0\r\n\r\n")
        assert (await line.response()).header("x-openline-route") == "full"


# ---- draining, health, ends


async def test_draining_takes_nothing_new_and_lets_turns_end(rig: Rig, tasks: Tasks) -> None:
    """While a drain waits, new requests get 503 and a closed connection; the running turn gets its whole answer."""
    rig.sim.faults.add(Fault("hang", "events"))
    running = tasks.start(rig.create(HELLO), "turn")
    await rig.sim.until(lambda: len(rig.sim.faults.struck) == 1)
    draining = tasks.start(rig.app.drain(10), "drain")
    async with connected(rig.url) as line:
        await line.send(request("GET", "/v1/models", [KEY]))
        refused = await line.response()
        assert (refused.status, refused.header("connection")) == (503, "close")
        assert refused.error()["code"] == "openline_draining"
        assert await line.at_end()
    assert not draining.done()
    rig.sim.faults.release()
    assert (await running).status == 200
    async with asyncio.timeout(10):
        await draining
    assert [(await rig.outcome()).status for _ in range(2)] == [503, 200]


async def test_a_drain_has_an_end(rig: Rig, tasks: Tasks) -> None:
    """A turn that does not end holds a drain no longer than its limit; with nothing running it is over at once."""
    async with asyncio.timeout(5):
        await rig.app.drain(60)
    async with rigged() as other:
        other.sim.faults.add(Fault("hang", "events"))
        tasks.start(other.create(HELLO), "turn")
        await other.sim.until(lambda: len(other.sim.faults.struck) == 1)
        await other.app.drain(0.01)
        assert other.app.running == 1


@pytest.mark.parametrize("target", ["/healthz", "/healthz?x"])
async def test_health_says_who_is_here(rig: Rig, target: str) -> None:
    """`/healthz` answers by itself, whatever is asked: name, version, process and addresses; HEAD without a body."""
    response = await rig.ask("GET", target, [])
    assert (response.status, response.json()["name"]) == (200, "openline")
    assert set(response.json()) == {"name", "version", "pid", "api", "admin"}
    async with connected(rig.url) as line:
        for _ in range(2):
            await line.send(request("HEAD", target))
            head = await line.response("HEAD")
            assert (head.status, head.header("content-length")) == (200, str(len(response.body)))
    assert not rig.sim.requests
    assert rig.outcomes.empty()


async def test_health_is_told_while_draining_and_to_nobody_foreign(rig: Rig) -> None:
    """Who holds the port is told to the end, so that the next start can name it; a foreign Host is refused as ever."""
    await rig.app.drain(0.01)
    assert (await rig.ask("GET", "/healthz")).json()["name"] == "openline"
    assert (await rig.ask("GET", "/healthz", [("Host", "evil.example")])).status == 403


@pytest.mark.parametrize("target", ["/healthz", "/healthz?x", "/v1/responses"])
async def test_nothing_is_read_behind_an_upgrade(target: str, rig: Rig) -> None:
    """Wherever an upgrade was refused: what follows it has not been checked, and is not taken for requests."""
    async with connected(rig.url) as line:
        await line.send(request("GET", target, UPGRADE) + request("POST", "/v1/x", [KEY], b"{}"))
        refused = await line.response()
        assert (refused.status, refused.header("connection")) == (426, "close")
        assert await line.at_end()
    assert not rig.sim.requests


async def test_a_websocket_caller_is_told_to_use_post(rig: Rig) -> None:
    """An upgrade gets 426, on which codex falls back to POST; no outcome is missing."""
    response = await rig.ask("GET", "/v1/responses", UPGRADE)
    assert (response.status, response.error()["code"]) == (426, "openline_no_websocket")
    outcome = await rig.outcome()
    assert (outcome.status, outcome.end) == (426, End.ERROR)
    assert not rig.sim.handshakes


async def test_nobody_upstream_is_a_clear_502() -> None:
    """Where no upstream answers, the caller gets an error in the API's shape that says what to check."""
    async with rigged(upstream="http://127.0.0.1:9/v1") as rig:
        for path in ("/v1/models", "/v1/responses"):
            response = await rig.ask("POST", path, [KEY], msgspec.json.encode(HELLO))
            assert (response.status, response.header("content-type")) == (502, "application/json")
            error = response.error()
            assert (error["code"], error["type"], error["param"]) == ("openline_unreachable", "server_error", None)
            assert "check upstream.url" in str(error["message"])
            outcome = await rig.outcome()
            assert (outcome.status, outcome.end) == (502, End.ERROR)


async def test_a_silent_upstream_is_a_504() -> None:
    """An upstream that takes a request and says nothing for timeouts.silence_seconds ends in 504, not in 502."""

    async def hang(line: Line) -> None:
        await line.reader.read()

    async with scripted(hang) as base, rigged(upstream=base, timeouts=Timeouts(silence_seconds=0.05)) as rig:
        response = await rig.ask("GET", "/v1/models")
        assert (response.status, response.error()["code"]) == (504, "openline_silence")
        assert (await rig.outcome()).end is End.ERROR


async def test_a_refused_request_is_an_outcome_too(rig: Rig) -> None:
    """What the guard refuses is answered, closed and reported once."""
    async with connected(rig.url) as line:
        await line.send(request("GET", "/v1/models?secret=1", [("Host", "evil.example")]))
        response = await line.response()
        assert (response.status, response.error()["code"]) == (403, "openline_host")
        assert await line.at_end()
    outcome = await rig.outcome()
    assert (outcome.status, outcome.end, outcome.path) == (403, End.ERROR, "/v1/models")
    assert outcome.faults == ["openline_host"]
    assert rig.outcomes.empty()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_caller_that_hangs_up_frees_the_upstream(stream: bool, rig: Rig) -> None:  # noqa: FBT001 - a parameter
    """In mid-turn the socket is closed, which stops the generation; the outcome says hung_up, once."""
    rig.sim.behaviour = replace(rig.sim.behaviour, lanes=False)
    rig.sim.faults.add(Fault("hang", "events", after=2))
    async with connected(rig.url) as line:
        await line.send(request("POST", "/v1/responses", [KEY], msgspec.json.encode({**HELLO, "stream": stream})))
        await rig.sim.until(lambda: len(rig.sim.faults.struck) == 1)
    outcome = await rig.outcome()
    assert outcome.end is End.HUNG_UP
    assert outcome.request_bytes > 0
    await rig.sim.until(lambda: rig.sim.connections == 0)
    assert (rig.outcomes.empty(), rig.app.running) == (True, 0)


async def test_a_caller_that_hangs_up_cuts_what_passes_through() -> None:
    """In mid-answer, and in mid-upload, the upstream's connection is closed, and hung_up reported once."""
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    ended: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(line: Line) -> None:
        head = await request_head(line)
        if head.startswith("GET"):
            await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        else:
            arrived.put_nowait(await line.reader.readexactly(4))
        ended.put_nowait(await line.reader.read())

    async with scripted(script) as base, rigged(upstream=base) as rig:
        async with connected(rig.url) as line:
            await line.send(request("GET", "/v1/x", [KEY]))
            await line.head()
            assert await line.chunk() == b"first"
        async with asyncio.timeout(10):
            assert await ended.get() == b""
        outcome = await rig.outcome()
        assert (outcome.end, outcome.status) == (End.HUNG_UP, 200)
        async with connected(rig.url) as line:
            await line.send(request("POST", "/v1/x", [KEY, ("Content-Length", "9")]) + b"part")
            assert await arrived.get() == b"part"
        outcome = await rig.outcome()
        assert (outcome.end, outcome.status) == (End.HUNG_UP, 0)
        async with asyncio.timeout(10):
            assert await ended.get() == b""
        assert rig.outcomes.empty()


async def test_an_unknown_host_name_is_asked_for_nothing(rig: Rig) -> None:
    """The caller's Host is not the upstream's: it gets its own name."""
    await rig.ask("GET", "/v1/_echo/x", [("Host", "localhost:1234"), KEY])
    (seen,) = rig.sim.requests
    assert dict(seen.headers)["Host"] == f"127.0.0.1:{_port(rig)}"


async def test_behaviour_without_websockets_still_answers() -> None:
    """A host that refuses upgrades is served over HTTP, and the outcome names the reason."""
    async with rigged(Behaviour(websocket=False)) as rig:
        response = await rig.create(HELLO)
        assert (response.status, response.header("x-openline-reason")) == (200, "no_websocket")
        outcome = await rig.outcome()
        assert (outcome.route, outcome.sent_bytes) == (Route.HTTP, outcome.request_bytes)


@pytest.mark.parametrize("problem", list(Problem), ids=lambda problem: problem.name)
def test_refusals_are_documented(problem: Problem) -> None:
    """docs/headers.md names the status and code of each answer that Openline gives by itself."""
    status, code, _ = problem.value
    assert f"\n| {status} | `{code}` | " in HEADERS


def test_headers_are_documented() -> None:
    """docs/headers.md names the headers that Openline adds and reads, and each of their fixed values."""
    for name in ("x-openline-route", "x-openline-reason", "x-request-id", "x-openline-mode"):
        assert f"| `{name}` | " in HEADERS
    for value in (*(route.value for route in Route), *_MODES):
        assert f"`{value}`" in HEADERS
