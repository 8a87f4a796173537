"""The benchmarks of the machine's limit: at their smallest sizes, real processes beside rivals that do the same."""

import asyncio
import contextlib
import http.client
import re
from pathlib import Path

import msgspec
import pytest

from bench.plan import Plan
from bench.prepared import answer, refusal, sse, websocket
from bench.relay import relay
from bench.rivals import compiled, floor, has_nginx, hose, nginx, openline
from bench.shown import nowhere
from bench.taker import END_OF_FRAMES, created, opened, upgraded
from bench.turns import turns
from proxy.core.events import sniff
from proxy.core.events import sse as framed
from proxy.upstream.frames import cut

SMALL = Plan(relay_pieces=40, relay_paced=20, relay_pace=2_000.0, relay_repeats=1, turns=3, turn_bytes=(20_000,))
BODY = b'{"model":"m","store":false,"stream":true,"input":[{"role":"user","content":"hi"}]}'


async def test_relay_measures_every_condition() -> None:
    """Openline under each, with figures of its own; nothing failed."""
    result = await relay(SMALL, nowhere)
    assert result.sound
    assert [row[0] for row in result.cells if row[1] == "openline"] == [
        *("in clumps", "in clumps, over TLS", "in clumps, compressed"),
        *(f"paced, {streams} at once" for streams in (1, 4, 8, 16)),
    ]
    assert "0.00 µs" not in {cell for row in result.cells for cell in row}


async def test_turns_go_as_they_are_said_to() -> None:
    """One conversation's are deltas but for the first, strangers' go in full; what needs no proxy is beside them."""
    result = await turns(SMALL, nowhere)
    assert result.sound
    rows = {row[0]: row for row in result.cells[1:]}
    assert (rows["openline, delta"][5], rows["openline, full"][5]) == ("1 full, 2 delta", "3 full")
    assert {"plain HTTP, directly", "WebSocket, directly"} <= set(rows)


@pytest.mark.parametrize("name", ["floor", "nginx", "openline"])
async def test_rivals_pass_the_same_on(tmp_path: Path, name: str) -> None:
    """What a caller reads by each is what plain HTTP says: the same events, all of them, to the end."""
    rival = {"floor": floor, "nginx": nginx, "openline": openline({"UPSTREAM__COMPRESSION": "false"})}[name]
    there = {"floor": await compiled(tmp_path), "nginx": has_nginx(), "openline": True}[name]
    async with hose(tmp_path, "--pieces", "30") as upstream:
        direct = await asyncio.to_thread(_events, upstream.port)
        assert len(direct) == 38
        if there:  # what is not is named in the table
            async with rival(tmp_path, upstream.port) as one:
                assert await asyncio.to_thread(_events, one.port) == direct
                assert one.cpu() > 0


async def test_the_hose_speaks_both_transports(tmp_path: Path) -> None:
    """A line that was upgraded gets a whole answer to each create."""
    async with hose(tmp_path, "--pieces", "3") as upstream:
        text = await asyncio.to_thread(_on_a_socket, upstream.port)
    assert text.count(b"response.completed") == 2
    assert text.count(b"response.output_text.delta") == 6


@pytest.mark.parametrize("lane", [None, "l1"])
def test_prepared_events_are_what_they_are_framed_as(lane: str | None) -> None:
    """Over a socket and as a stream they say the same, and in the order of their numbers."""
    events = list(answer("resp_1", 5, lane))
    assert [msgspec.json.decode(one)["sequence_number"] for one in events] == list(range(13))
    assert cut(b"".join(map(websocket, events)))[0] == events
    assert [sse(one) for one in events] == [framed(sniff(one)) for one in events]
    assert all((b'"stream_id":"l1"}' in one) == (lane is not None) for one in (*events, refusal("resp_x", lane)))


def _events(port: int) -> list[str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as line:
        line.request("POST", "/v1/responses", BODY, {"Authorization": "Bearer k", "Content-Type": "application/json"})
        return re.findall(r"^event: (\S+)$", line.getresponse().read().decode(), re.MULTILINE)


def _on_a_socket(port: int) -> bytes:
    with opened(port) as line:
        upgraded(line, port)
        text = b""
        for number in (1, 2):
            line.sendall(created(BODY))
            while not text.endswith(END_OF_FRAMES) or text.count(b"response.completed") < number:
                text += line.recv(65_536)
    return text
