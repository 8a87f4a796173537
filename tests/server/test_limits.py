"""Limits on what a body may be: beyond them a create goes up untouched, for the upstream to judge."""

import asyncio
import logging
import threading
import zlib

import msgspec
import pytest

from proxy.config import Limits
from proxy.turns.outcome import End
from tests.server.test_body import COMPRESSING, ENCODERS
from tests.server.wire import KEY, connected, request, rigged

HELLO: dict[str, object] = {"model": "gpt-5.4", "input": "hello", "store": False}
PLACES = {
    "input": b'{"model":"gpt-5.4","store":false,"input":%b}',
    "an item": b'{"model":"gpt-5.4","store":false,"input":[{"role":"user","content":%b}]}',
    "metadata": b'{"model":"gpt-5.4","store":false,"input":"hello","metadata":%b}',
    "tools": b'{"model":"gpt-5.4","store":false,"input":"hello","tools":%b}',
    "a field of the future": b'{"model":"gpt-5.4","store":false,"input":"hello","new":{"a":%b}}',
}
SHAPES = {
    "arrays": lambda levels: b"[" * levels + b"]" * levels,
    "objects": lambda levels: b'{"a":' * levels + b"1" + b"}" * levels,
    "no end": lambda levels: b"[" * levels,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("levels", [150, 990, 100_000])
async def test_what_is_too_deep_goes_up_untouched(place: str, shape: str, levels: int) -> None:
    """However deep a body is, and wherever, nobody recurses into it: the upstream's own answer comes back."""
    body = PLACES[place] % SHAPES[shape](levels)
    async with rigged() as rig:
        response = await rig.ask("POST", "/v1/responses", [KEY], body)
        assert response.header("x-openline-reason") == "odd_body"
        (entry,) = rig.sim.journal
        assert (entry.transport, entry.raw) == ("http", body)
        assert (await rig.create(HELLO)).header("x-openline-route") == "full"


@pytest.mark.parametrize(("levels", "reason"), [(3, "first"), (4, "odd_body")])
async def test_the_depth_is_a_setting(levels: int, reason: str) -> None:
    """As many levels as limits.depth are a turn, one more is not; the body itself is the first of them."""
    body = PLACES["metadata"].replace(b'"metadata"', b'"text"') % SHAPES["objects"](levels - 1)
    async with rigged(limits=Limits(depth=3)) as rig:
        response = await rig.ask("POST", "/v1/responses", [KEY], body)
        assert response.header("x-openline-reason") == reason


@pytest.mark.parametrize("place", PLACES)
async def test_what_is_too_full_goes_up_untouched(place: str) -> None:
    """Very many small values, wherever they stand, are not parsed: that would hold up all other turns."""
    body = PLACES[place] % (b"[" + b",".join([b"{}"] * 1_001) + b"]")
    async with rigged(limits=Limits(items=100)) as rig:
        response = await rig.ask("POST", "/v1/responses", [KEY], body)
        assert response.header("x-openline-reason") == "odd_body"
        (entry,) = rig.sim.journal
        assert (entry.transport, entry.raw) == ("http", body)
        assert (await rig.create(HELLO)).header("x-openline-route") == "full"


@pytest.mark.parametrize("outer", [*COMPRESSING, "identity"])
@pytest.mark.parametrize("inner", ["gzip", "br", "zstd"])
async def test_bombs_go_up_packed(inner: str, outer: str) -> None:
    """A body that unpacks to more than the limit, at whatever layer, is passed on as it came."""
    (first, pack), (second, again) = ENCODERS[inner], ENCODERS[outer]
    bomb = again(pack(msgspec.json.encode({**HELLO, "input": "x" * 3_000_000})))
    async with rigged(limits=Limits(body_bytes=100_000)) as rig:
        response = await rig.ask("POST", "/v1/responses", [KEY, ("Content-Encoding", f"{first}, {second}")], bomb)
        assert response.header("x-openline-reason") == "odd_body"
        assert [entry.raw for entry in rig.sim.journal] == [bomb]
        assert (await rig.create(HELLO)).status == 200


async def test_callers_that_hang_up_make_no_room_for_more_bombs() -> None:
    """What is being unpacked goes on when its caller has gone; so long its thread does nothing else."""
    bomb = zlib.compress(bytes(60_000_000))
    sent = request("POST", "/v1/responses", [KEY, ("Content-Encoding", "deflate")], bomb)
    before = set(threading.enumerate())
    async with rigged() as rig:
        for _ in range(5):
            async with connected(rig.url) as line:
                await line.send(sent)
            assert (await rig.outcome()).end is End.HUNG_UP
        assert len(set(threading.enumerate()) - before) <= 2


async def test_who_is_gone_before_he_is_told_to_continue_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """Callers that ask for `100 Continue` and hang up at once leave nothing in the log, and nothing running."""
    caplog.set_level(logging.INFO)
    asks = request("POST", "/v1/_echo/x", [KEY, ("Expect", "100-continue"), ("Content-Length", "4")])
    async with rigged() as rig:
        for _ in range(10):
            async with connected(rig.url) as line:
                line.writer.write(asks)
                line.writer.write_eof()
        async with asyncio.timeout(10):
            while rig.app.status().connections or rig.app.running:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
    assert caplog.text == ""
