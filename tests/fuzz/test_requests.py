"""Requests as raw bytes, mutated in every part that HTTP has: answered cleanly or closed, and never two for one."""

import asyncio
import base64
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Upstream
from proxy.server.app import Openline
from proxy.turns.outcome import Outcome
from tests.conftest import DEEP
from tests.fuzz.requests import BODY, broken, requests
from tests.fuzz.strict import Strict
from tests.fuzz.world import Watched, is_clean, opened, quick, thrown, watched

EXAMPLES = 2_000 if DEEP else 50
SECONDS = 10.0
_HEAD = re.compile(
    rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [^\r\n]*\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\x00]*\r\n)*)\r\n"
)
_serial = itertools.count(1)


@dataclass(frozen=True)
class Said:
    """One response as it came."""

    status: int
    body: bytes
    headers: bytes


def responses(data: bytes) -> list[Said]:
    """The responses on a connection that was closed in the end. AssertionError: something in it is no response."""
    found: list[Said] = []
    while data:
        head = _HEAD.match(data)
        assert head is not None, data[:300]
        status, fields, rest = int(head[1]), head[2].lower(), data[head.end() :]
        if status == 100 or (length := re.search(rb"^content-length: *([0-9]+)\r$", fields, re.MULTILINE)) is None:
            assert status == 100 or b"transfer-encoding: chunked" in fields, (status, fields)
            body, data = (b"", rest) if status == 100 else _unchunked(rest)
        else:
            # What answers HEAD has a length and no body: then another response, or nothing, follows at once.
            size = 0 if rest.startswith(b"HTTP/1.") or not rest else int(length[1])
            body, data = rest[:size], rest[size:]
        if status != 100:
            found.append(Said(status, body, fields))
    return found


def _unchunked(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if not size or (count := int(size, 16)) == 0:
            return body, data.partition(b"\r\n")[2]
        body, data = body + data[:count], data[count + 2 :]


class World:
    """A proxy in front of the strict upstream."""

    def __init__(self, seen: Watched, strict: Strict, app: Openline, base: str) -> None:
        self.seen = seen
        self.strict = strict
        self.app = app
        self.base = base
        self.port = int(base.removesuffix("/v1").rpartition(":")[2])

    async def sent(self, data: bytes, *, half_close: bool = False) -> bytes:
        """All that comes back for these bytes until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(SECONDS):
                writer.write(data)
                if half_close:
                    writer.write_eof()
                return await _all(reader)
        finally:
            writer.close()

    async def batch(self, given: Sequence[bytes], *, half_close: bool = False) -> None:
        """All at once, each on a connection of its own; then the proxy still works."""
        marked = [(number, data) for number, data in zip(_serial, given, strict=False)]
        last = b"GET /v1/_echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        heard = await asyncio.gather(
            *(self.sent(data.replace(b"MARK", b"%d" % number) + last, half_close=half_close) for number, data in marked)
        )
        for (number, data), back in zip(marked, heard, strict=True):
            said = responses(back)
            for one in said:
                assert one.status != 500, (data, back)
                assert is_clean(one.body + one.headers), (data, back)
                assert b"server:" not in one.headers
                if one.status >= 400:
                    assert is_error(one.body), (data, back)
            answered = sum(f'"x-mark","{number}"'.encode() in one.body for one in said)
            # What answers HEAD has no body to be counted by; what was on a line that broke off was asked unheard.
            most = max(1, answered + data.count(b"HEAD "))
            assert self.strict.asked.count(str(number)) <= most, (data, back)
        assert self.strict.violations == []
        self.strict.asked.clear()
        await self.works()

    async def works(self) -> None:
        """A normal request is answered."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.base}/_echo", data=BODY, headers={"Authorization": "Bearer k"}) as response,
        ):
            assert response.status == 200
            echoed = msgspec.json.decode(await response.read(), type=dict[str, object])
            assert base64.b64decode(str(echoed["body"])) == BODY


async def _all(reader: asyncio.StreamReader) -> bytes:
    chunks: list[bytes] = []
    try:
        while chunk := await reader.read(65_536):
            chunks.append(chunk)
    except ConnectionError:
        pass  # a reset says the same as a close
    return b"".join(chunks)


def is_error(body: bytes) -> bool:
    """Whether it is the API's error object, or nothing (an answer to HEAD, or one that was cut)."""
    if not body:
        return True
    try:
        error = msgspec.json.decode(body, type=dict[str, dict[str, object]])["error"]
    except (msgspec.MsgspecError, KeyError):
        return False
    return isinstance(error.get("message"), str) and isinstance(error.get("code"), str)


@pytest.fixture
def world() -> Iterator[World]:
    """A proxy in front of the strict upstream, which gives up stalled callers soon."""
    strict = Strict()
    with watched() as seen, opened(seen, strict.serving()) as upstream:
        app = Openline(quick(listen="127.0.0.1:0", upstream=Upstream(url=upstream, verifies_ids="yes")), _reported)
        yield World(seen, strict, app, seen.run(app.start()))
        seen.run(app.close())


def _reported(_outcome: Outcome) -> None:
    """Outcomes are not looked at here."""


def test_any_request_is_answered_or_closed(world: World) -> None:
    """Mutated requests get a clean answer in the API's shape, or none; nothing that is no HTTP goes upstream."""

    @thrown(EXAMPLES)
    @given(st.lists(broken(), min_size=1, max_size=8))
    def prove(given: list[bytes]) -> None:
        world.seen.run(world.batch(given))

    prove()


def test_pipelined_requests_are_answered_in_order_or_closed(world: World) -> None:
    """Several requests on one connection are not mixed up, whatever one of them is."""

    @thrown(EXAMPLES)
    @given(st.lists(st.lists(requests(), min_size=2, max_size=4).map(b"".join), min_size=1, max_size=4))
    def prove(given: list[bytes]) -> None:
        world.seen.run(world.batch(given))

    prove()


def test_callers_that_half_close_are_answered_or_closed(world: World) -> None:
    """A caller that shuts its side down right after, or in the middle of, a request holds nothing up."""

    @thrown(EXAMPLES)
    @given(st.lists(broken(), min_size=1, max_size=8))
    def prove(given: list[bytes]) -> None:
        world.seen.run(world.batch(given, half_close=True))

    prove()
