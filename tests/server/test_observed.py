"""Mode observe on the wire: both ways, what passes is what mode off passes, byte for byte and as soon."""

import asyncio
import gzip
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import brotli
import msgspec
import pytest
from backports import zstd

from proxy.config import Mode
from proxy.core.events import sniff, sse
from proxy.core.reasons import Plain, Route, Whole
from proxy.turns.outcome import End, Outcome, Would
from tests.server.wire import KEY, Line, connected, request, rigged, scripted
from tests.upstream.peer import completed, failure, said

HELLO = msgspec.json.encode({"model": "m", "store": False, "input": [{"role": "user", "content": "hi"}]})
STREAM = b"".join(sse(sniff(frame)) for frame in said())
BODY = bytes(msgspec.json.decode(completed(), type=dict[str, msgspec.Raw])["response"])
SSE = b"Content-Type: text/event-stream\r\n"
JSON = b"Content-Type: application/json\r\n"
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def chunked(body: bytes, size: int = 100) -> bytes:
    """A body in chunks."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def answer(head: bytes, body: bytes, *, in_chunks: bool = False) -> bytes:
    """A whole answer with the status 200."""
    framing = b"Transfer-Encoding: chunked\r\n" if in_chunks else b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 200 OK\r\n" + head + framing + b"\r\n" + (chunked(body) if in_chunks else body)


async def whole_request(line: Line) -> bytes:
    """The next request on an upstream's line, as it came, with its body."""
    async with asyncio.timeout(10):
        head = await line.reader.readuntil(b"\r\n\r\n")
        sized = re.search(rb"(?i)content-length: (\d+)", head)
        if sized:
            return head + await line.reader.readexactly(int(sized[1]))
        return head + (await line.reader.readuntil(b"0\r\n\r\n") if b"chunked" in head.lower() else b"")


class Passed(NamedTuple):
    """What one exchange was, on both sides."""

    up: bytes
    down: bytes
    outcome: Outcome


async def passed(mode: Mode, asked: bytes, told: bytes) -> Passed:
    """One request, answered with these bytes, after which the upstream hangs up."""
    came: list[bytes] = []

    async def script(line: Line) -> None:
        came.append(await whole_request(line))
        await line.send(told)

    async with scripted(script) as upstream, rigged(upstream=upstream, mode=mode) as rig:
        async with connected(rig.url) as line:
            await line.send(asked)
            async with asyncio.timeout(10):
                down = await line.reader.read()
        (up,) = came
        outcome = await rig.outcome()
        port = re.escape(upstream.split(":")[2].split("/")[0].encode())
        return Passed(re.sub(rb"openline-\w+|127.0.0.1:" + port, b"HERE", _joined(up)), _bare(down), outcome)


def _joined(up: bytes) -> bytes:
    """A request whose body is one chunk, if it came in chunks: how many there are is each hop's own affair."""
    head, end, body = up.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return up
    joined = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        joined, body = joined + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return head + end + joined


def _bare(down: bytes) -> bytes:
    """Without the headers by which the two modes differ, and the id that is Openline's own."""
    return re.sub(rb"x-openline-\w+: \w+\r\n|(?<=x-request-id: ol_)\w+", b"", down)


async def both(asked: bytes, told: bytes) -> Outcome:
    """The exchange is the same in both modes; gives the outcome of the one that was observed."""
    off, observed = await passed("off", asked, told), await passed("observe", asked, told)
    assert observed.up == off.up
    assert observed.down == off.down
    assert (observed.outcome.status, observed.outcome.end) == (off.outcome.status, off.outcome.end)
    assert observed.outcome.sent_bytes == off.outcome.sent_bytes
    assert off.outcome.would is None
    return observed.outcome


def asking(body: bytes, *headers: tuple[str, str]) -> bytes:
    """A create, on a connection that closes behind the answer."""
    return request("POST", "/v1/responses", [KEY, ("Connection", "close"), *headers], body)


REQUESTS: dict[str, bytes] = {
    "plain": asking(HELLO),
    "oddly spelt": asking(b'{ "input":[{"content":"\\u0068i","role":"user"}],\r\n "model" : "m","store":false}\n'),
    "in chunks": asking(chunked(HELLO, 7), ("Transfer-Encoding", "chunked")),
    "coded": asking(gzip.compress(HELLO, mtime=0), ("Content-Encoding", "gzip")),
    "large": asking(HELLO.replace(b"hi", b"hi" * 500_000)),
    "large, in chunks": asking(chunked(HELLO.replace(b"hi", b"hi" * 500_000), 9_999), ("Transfer-Encoding", "chunked")),
}
NOT_PLAIN: dict[str, bytes] = {
    "state of its own": asking(HELLO.replace(b'"store":false', b'"previous_response_id":"resp_1"')),
    "no JSON": asking(b"{"),
    "nothing": asking(b""),
    "no body": request("POST", "/v1/responses", [KEY, ("Connection", "close")]),
    "nothing, in chunks": asking(chunked(b""), ("Transfer-Encoding", "chunked")),
    "no JSON, in chunks": asking(chunked(b"[1,2"), ("Transfer-Encoding", "chunked")),
    "broken coding": asking(b"x", ("Content-Encoding", "gzip")),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_goes_on_as_in_mode_off(name: str) -> None:
    """Head, framing and body arrive as without Openline's reading them; the record says what would have been."""
    outcome = await both(REQUESTS[name], answer(SSE, STREAM, in_chunks=True))
    assert (outcome.route, outcome.reason) == (Route.HTTP, Plain.OBSERVED)
    assert outcome.would
    assert (outcome.would.route, outcome.would.reason) == (Route.FULL, Whole.FIRST)
    assert outcome.request_bytes == outcome.sent_bytes


@pytest.mark.parametrize("name", NOT_PLAIN)
async def test_what_is_no_plain_create_passes_as_in_mode_on(name: str) -> None:
    """There is nothing to observe of it: the record says why it passed."""
    outcome = await both(NOT_PLAIN[name], answer(JSON, b"{}"))
    assert (outcome.route, outcome.would) == (Route.PASSTHROUGH, None)


@pytest.mark.parametrize("name", ["no body", "nothing, in chunks", "no JSON, in chunks"])
async def test_what_passes_in_mode_on_has_a_length(name: str) -> None:
    """It was read whole: some hosts take no chunks."""
    exchange = await passed("on", NOT_PLAIN[name], answer(JSON, b"{}"))
    body = b"[1,2" if name.startswith("no JSON") else b""
    assert b"\r\nContent-Length: %d\r\n" % len(body) in exchange.up
    assert b"transfer-encoding" not in exchange.up.lower()
    assert exchange.up.endswith(b"\r\n\r\n" + body)


ANSWERS: dict[str, bytes] = {
    "stream": answer(SSE, STREAM, in_chunks=True),
    "stream with a length": answer(SSE, STREAM),
    "stream to the end of the line": b"HTTP/1.1 200 OK\r\n" + SSE + b"\r\n" + STREAM,
    "stream of old": b"HTTP/1.0 200 OK\r\n" + SSE + b"\r\n" + STREAM,
    "JSON": answer(JSON, BODY),
    "JSON in chunks": answer(JSON, BODY, in_chunks=True),
    **{
        f"{kind}, {name}": answer(head + b"Content-Encoding: %b\r\n" % name.encode(), encode(body), in_chunks=in_chunks)
        for name, encode in CODINGS.items()
        for kind, head, body, in_chunks in (("stream", SSE, STREAM, True), ("JSON", JSON, BODY, False))
    },
}
BROKEN: dict[str, bytes] = {
    "error": b"HTTP/1.1 429 Slow Down\r\nRetry-After: 1\r\nContent-Length: 2\r\n" + JSON + b"\r\n{}",
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "elsewhere": b"HTTP/1.1 307 There\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    "no type": answer(b"", STREAM),
    "no events": answer(SSE, b"data: nothing\n\n" * 20, in_chunks=True),
    "events that do not end": answer(SSE, STREAM[:-2]),
    "no response": answer(JSON, b"[]"),
    "unknown coding": answer(SSE + b"Content-Encoding: rot13\r\n", STREAM),
    "broken coding": answer(SSE + b"Content-Encoding: gzip\r\n", STREAM),
    "bomb": answer(SSE + b"Content-Encoding: br\r\n", brotli.compress(bytes(20_000_000))),
}
CUT: dict[str, bytes] = {
    "stream": answer(SSE, STREAM, in_chunks=True)[:-400],
    "stream with a length": answer(SSE, STREAM)[:-100],
    "JSON": answer(JSON, BODY)[:-1],
    "coded": answer(SSE + b"Content-Encoding: gzip\r\n", gzip.compress(STREAM))[:-30],
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_passes_and_is_read(name: str) -> None:
    """Its head, framing and body are the upstream's; what it says is known."""
    outcome = await both(REQUESTS["plain"], ANSWERS[name])
    assert (outcome.end, outcome.faults) == (End.PASSED, [])
    assert (outcome.input_tokens, outcome.output_tokens) == (10, 7)


@pytest.mark.parametrize("name", BROKEN)
async def test_an_odd_answer_passes(name: str) -> None:
    """Whatever it is, for the caller it is what it was."""
    outcome = await both(REQUESTS["plain"], BROKEN[name])
    assert (outcome.end, outcome.input_tokens) == (End.PASSED, 0)
    assert all(fault.startswith("not observed: ") for fault in outcome.faults)


@pytest.mark.parametrize("name", CUT)
async def test_a_cut_answer_is_cut(name: str) -> None:
    """In the same place."""
    outcome = await both(REQUESTS["plain"], CUT[name])
    assert (outcome.end, outcome.input_tokens) == (End.CUT, 0)


async def test_a_huge_answer_passes_to_its_end() -> None:
    """Long after the observer has given it up."""
    line, count = b": " + b"x" * 999_997 + b"\n", 20

    async def script(upstream: Line) -> None:
        await whole_request(upstream)
        await upstream.send(b"HTTP/1.1 200 OK\r\n" + SSE + b"Content-Length: %d\r\n\r\n" % (count * len(line)))
        for _ in range(count):
            await upstream.send(line)

    async with scripted(script) as upstream, rigged(upstream=upstream, mode="observe") as rig:
        async with connected(rig.url) as caller:
            await caller.send(REQUESTS["plain"])
            assert (await caller.head()).status == 200
            for _ in range(count):
                async with asyncio.timeout(10):
                    assert await caller.reader.readexactly(len(line)) == line
        outcome = await rig.outcome()
        assert outcome.faults == ["not observed: it is larger than 16 MiB"]
        assert outcome.end is End.PASSED


REFUSALS = [b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 500 Odd\r\nContent-Length: 0\r\n\r\n"]


@pytest.mark.parametrize(
    "last",
    [
        answer(JSON, BODY.replace(b"completed", b"incomplete").replace(b'"output":[', b'"x":[')),
        answer(SSE, sse(sniff(completed()))),
        answer(SSE, sse(sniff(failure("server_error")))),
        answer(b"Content-Type: text/plain\r\n", b"hello"),
        answer(SSE, b""),
    ],
    ids=["JSON without items", "end at once", "error", "neither", "nothing"],
)
@pytest.mark.parametrize("refusals", [1, 2])
async def test_an_answer_behind_a_refusal_passes(last: bytes, refusals: int) -> None:
    """Whatever it begins with: over HTTP nothing more belongs to what was refused."""
    answers = iter([*REFUSALS[:refusals], last])

    async def script(line: Line) -> None:
        await whole_request(line)
        await line.send(next(answers))

    async with scripted(script) as upstream, rigged(upstream=upstream, mode="observe") as rig:
        downs: list[bytes] = []
        for _ in range(refusals + 1):
            async with connected(rig.url) as line:
                await line.send(asking(HELLO))
                async with asyncio.timeout(10):
                    downs.append(await line.reader.read())
            outcome = await rig.outcome()
            assert outcome.end is End.PASSED
        assert downs[-1].partition(b"\r\n\r\n")[2] == last.partition(b"\r\n\r\n")[2]


async def test_each_piece_passes_at_once() -> None:
    """An event is with the caller before the upstream sends the next; half of one, and half of a coded one, too."""
    packing = brotli.Compressor()
    pieces = [packing.process(STREAM[:50]) + packing.flush(), packing.process(STREAM[50:300]) + packing.flush()]
    got = asyncio.Event()

    async def script(upstream: Line) -> None:
        await whole_request(upstream)
        await upstream.send(
            b"HTTP/1.1 200 OK\r\n" + SSE + b"Content-Encoding: br\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for piece in pieces:
            got.clear()
            await upstream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await got.wait()
        await upstream.send(b"0\r\n\r\n")

    async with (
        scripted(script) as upstream,
        rigged(upstream=upstream, mode="observe") as rig,
        connected(rig.url) as caller,
    ):
        await caller.send(REQUESTS["plain"])
        await caller.head()
        for piece in pieces:
            assert await caller.chunk() == piece
            got.set()
        assert await caller.chunk() == b""


@pytest.mark.parametrize(
    ("header", "would"),
    [
        (("Cookie", "a=b"), Would(Route.HTTP, Plain.SEMANTIC_HEADER, len(HELLO))),
        (("X-Api-Key", "k"), Would(Route.HTTP, Plain.SEMANTIC_HEADER, len(HELLO))),
        (("X-Other", "x"), None),
    ],
)
async def test_what_no_socket_carries_would_go_over_http(header: tuple[str, str], would: Would | None) -> None:
    """With its size."""
    outcome = await both(asking(HELLO, header), answer(SSE, STREAM))
    assert (outcome.route, outcome.reason) == (Route.HTTP, Plain.OBSERVED)
    assert outcome.would
    assert outcome.would == would or (would is None and outcome.would.route is Route.FULL)


async def test_an_upstream_that_cannot_be_reached_is_told_as_ever() -> None:
    """The record says what would have been, and what was."""
    async with rigged(upstream="http://127.0.0.1:1/v1", mode="observe") as rig:
        response = await rig.ask("POST", "/v1/responses", [KEY], HELLO)
        outcome = await rig.outcome()
    assert (response.status, outcome.status, outcome.end) == (502, 502, End.ERROR)
    assert outcome.would
    assert outcome.would.route is Route.FULL


async def test_a_caller_that_hangs_up_leaves_nothing_behind() -> None:
    """Its turn is over, for the observer too: the same one again would be a first one again."""
    begun = asyncio.Event()

    async def script(upstream: Line) -> None:
        await whole_request(upstream)
        await upstream.send(b"HTTP/1.1 200 OK\r\n" + SSE + b"Transfer-Encoding: chunked\r\n\r\n")
        await upstream.send(chunked(STREAM[:200], 200)[:-5])
        begun.set()
        await asyncio.Event().wait()

    async with scripted(script) as upstream, rigged(upstream=upstream, mode="observe") as rig:
        async with connected(rig.url) as caller:
            await caller.send(REQUESTS["plain"])
            await begun.wait()
            await caller.head()
        outcome = await rig.outcome()
        assert outcome.end is End.HUNG_UP
        assert outcome.would
        assert rig.app._engine
        assert len(rig.app._engine.observer._pool) == 0


def _next(body: bytes, *items: object) -> bytes:
    """The same history with more behind it."""
    whole = msgspec.json.decode(body, type=dict[str, object])
    given = msgspec.convert(whole["input"], list[object])
    return msgspec.json.encode({**whole, "input": [*given, *items]})


@pytest.mark.parametrize(
    ("modes", "routes"),
    [
        (("observe", "on", "on"), ("full first", "full no_match", "delta")),
        (("on", "observe", "observe"), ("full first", "full no_match", "delta")),
        (("on", "observe", "on"), ("full first", "full no_match", "delta")),
        (("observe", "off", "observe"), ("full first", "None", "delta")),
        (("observe", "on", "observe"), ("full first", "full no_match", "delta")),
    ],
)
async def test_modes_that_change_meanwhile_mix_nothing(modes: Sequence[Mode], routes: Sequence[str]) -> None:
    """Each knows what it saw itself, and goes on from there; what the other one did is in the history alone."""
    async with rigged() as rig:
        body = msgspec.json.encode(
            {"model": "gpt-5.4", "store": False, "input": [{"role": "user", "content": "[[rounds=0]]"}]}
        )
        found: list[str] = []
        for mode in modes:
            rig.app.mode = mode
            response = await rig.ask("POST", "/v1/responses", [KEY], body)
            outcome = await rig.outcome()
            told = outcome.would if mode in {"observe", "off"} else outcome
            assert (outcome.would is not None) == (mode == "observe")
            found.append(f"{told.route} {told.reason or ''}".strip() if told else "None")
            body = _next(
                body, *msgspec.convert(response.json()["output"], list[object]), {"role": "user", "content": "and?"}
            )
        assert found == list(routes)
