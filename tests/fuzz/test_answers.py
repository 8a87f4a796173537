"""Answers over plain HTTP that are nearly right: relayed as they are or refused cleanly, and never given to another."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Mode, Settings
from proxy.config import Upstream as Target
from proxy.server.app import Openline
from proxy.turns.outcome import Outcome
from tests.conftest import DEEP
from tests.fuzz.answers import answers
from tests.fuzz.streams import Script
from tests.fuzz.test_requests import responses
from tests.fuzz.upstream import Create, Upstream
from tests.fuzz.world import IMPATIENT, Watched, is_clean, thrown, watched

EXAMPLES = 2_000 if DEEP else 10
SECONDS = 10.0
# Statuses of a well-formed answer that Openline makes up where the upstream's cannot be had.
OURS = {502, 504}


async def told(port: int, mark: str, how: str) -> bytes:
    """All that comes back for one request, until the proxy closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"model":"m","input":"%b","stream":%b}' % (mark.encode(), b"true" if how == "stream" else b"false")
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(
                b"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            while chunk := await reader.read(65_536):
                chunks.append(chunk)
    except ConnectionError:
        return b"".join(chunks)
    finally:
        writer.close()
    return b"".join(chunks)


async def odd(given: Sequence[tuple[Script, str]], mode: Mode) -> None:
    """Some odd answers at once, on pooled connections; each request after them gets its own."""
    scripts = {f"mark-{number}": script for number, (script, _) in enumerate(given)}
    serial = itertools.count()

    def plain(create: Create) -> Script:
        mark = str(create.body.get("input"))
        right = msgspec.json.encode({"said": mark, "n": next(serial)})
        whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(right), right)
        return scripts.pop(mark, [whole])

    upstream = Upstream(lambda _create: [], plain)
    async with upstream.serving() as url:
        target = Target(url=url, verifies_ids="yes")
        app = Openline(Settings(listen="127.0.0.1:0", mode=mode, upstream=target, timeouts=IMPATIENT), _reported)
        port = int((await app.start()).removesuffix("/v1").rpartition(":")[2])
        try:
            heard = await asyncio.gather(*(told(port, f"mark-{number}", how) for number, (_, how) in enumerate(given)))
            for (script, _), back in zip(given, heard, strict=True):
                check(script, back)
            last = 0
            for number in range(len(given) + 1):
                (said,) = responses(await told(port, f"after-{number}", "json"))
                # A connection that went silent after an answer in order takes one more request with it.
                assert said.status in OURS or f"after-{number}".encode() in said.body, said
                last = said.status
            assert last == 200
        finally:
            await app.close()


def check(script: Script, back: bytes) -> None:
    """One well-formed answer, the upstream's own or one of ours; or it was cut."""
    if not back.startswith(b"HTTP/1.1 "):
        assert back == b"", (script, back)
        return
    status = int(back[9:12])
    wire = b"".join(step for step in script if isinstance(step, bytes))
    assert status in OURS or b" %d" % status in wire, (script, back)
    if status in OURS and b"openline_" in back:
        (said,) = responses(back)
        assert is_clean(said.body), (script, back)


def _reported(_outcome: Outcome) -> None:
    """Outcomes are not looked at here."""


@pytest.fixture
def seen() -> Iterator[Watched]:
    """A loop in which every fault is noticed."""
    with watched() as watching:
        yield watching


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_odd_answers_go_to_nobody_else(mode: Mode, seen: Watched) -> None:
    """Bad status lines, framing, lengths and ends: a clean answer or a cut one, and the next request gets its own."""

    @thrown(EXAMPLES)
    @given(st.lists(st.tuples(answers, st.sampled_from(["json", "stream"])), min_size=1, max_size=6))
    def prove(given: list[tuple[Script, str]]) -> None:
        seen.run(odd(given, mode))
        assert seen.faults == []

    prove()
