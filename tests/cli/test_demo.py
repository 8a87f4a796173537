"""`openline demo` in a process of its own, and the parts that a good run never shows: differences and failures."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import click
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.cli.demo import conclude
from proxy.demo.agent import Conversation, DemoError, converse
from proxy.demo.measurement import Run, differences
from proxy.demo.report import Comparison, Conditions, compare, table
from proxy.demo.task import task
from proxy.simulator import Link
from tests.cli.process import ROOT, ran, started

Serve = Callable[[web.Application], Awaitable[TestServer]]
SMALL = ("--rounds", "4", "--latency-ms", "5", "--output-kb", "2")
DEAD_PROXY = "http://127.0.0.1:9"
GOOD = Run(Conversation("[]", (0.1, 0.3, 0.2), 0.6, 1), (b"1", b"2", b"3"), 3_000, deltas=0, http_turns=3, upgrades=0)


def cells(out: str) -> dict[str, list[str]]:
    """The table's rows by name."""
    rows = [re.split(r" {2,}", line) for line in out.splitlines()]
    return {name: rest for name, *rest in rows if rest}


def compared(proxied: Run) -> Comparison:
    """GOOD beside another run."""
    return compare(GOOD, proxied, Conditions(Link(0.05, 2_500_000), 0.0), differences(GOOD, proxied))


async def test_the_table_shows_both_runs() -> None:
    """All turns but the first go as deltas over one socket, fewer bytes go up, and the answers are compared."""
    status, out, _ = await ran("demo", *SMALL)
    assert status == 0
    rows = cells(out)
    assert rows["turns sent as deltas"] == ["0 of 5", "4 of 5"]
    assert rows["connections"] == ["1 HTTP", "1 WebSocket"]
    assert rows["compared"] == ["5 prompts and the final answer: identical"]
    assert rows["bytes up"][2].endswith("times fewer")
    assert rows["time"][0].endswith("s")
    assert max(map(len, out.splitlines())) <= 100
    words = " ".join(out.split())  # it is wrapped to the terminal's width
    assert "Emulated: a model that answers at once and a link of 5 ms each way and 20 Mbit/s up" in words


async def test_progress_in_a_file_is_plain_lines() -> None:
    """Where nobody looks on, each run says in whole lines how far it is, with no control characters."""
    status, out, err = await ran("demo", *SMALL)
    assert status == 0
    assert "\x1b" not in out + err
    assert "\r" not in out + err
    lines = err.splitlines()
    assert sum(line.startswith("directly: turn ") for line in lines) == 5
    assert lines[-1].startswith("through Openline: turn 5 of 5, ")


async def test_the_figures_as_json() -> None:
    """`--json` prints nothing on stdout but the figures and the conditions they were measured under."""
    status, out, _ = await ran("demo", *SMALL, "--uplink-mbit", "8", "--model-ms", "1", "--json")
    figures = msgspec.json.decode(out, type=Comparison, strict=True)
    assert status == 0
    assert (figures.emulated, figures.identical, figures.differences) == (True, True, [])
    conditions = figures.latency_seconds, figures.uplink_bytes_per_second, figures.model_seconds
    assert conditions == (0.005, 1_000_000, 0.001)
    assert (figures.direct.turns, figures.proxied.turns, figures.proxied.deltas) == (5, 5, 4)
    assert (figures.direct.http_turns, figures.proxied.http_turns) == (5, 0)
    assert figures.direct.up_bytes > figures.proxied.up_bytes


async def test_the_link_is_crossed_by_both_runs() -> None:
    """No turn of either run has its first event before a round trip and the time its bytes take have passed."""
    status, out, _ = await ran("demo", *SMALL, "--latency-ms", "20", "--uplink-mbit", "8", "--json")
    figures = msgspec.json.decode(out, type=Comparison)
    assert status == 0
    for run in (figures.direct, figures.proxied):
        assert run.first_event_p50_seconds >= 0.040
        assert run.seconds >= run.turns * 0.040 + run.up_bytes / 1_000_000


async def test_a_proxy_in_the_environment_is_left_alone() -> None:
    """All of the demo is on this machine, so an HTTP proxy that the shell names is not asked."""
    environ = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), DEAD_PROXY)
    status, out, _ = await ran("demo", *SMALL, environ={**environ, "NO_PROXY": "", "no_proxy": ""})
    assert (status, cells(out)["turns sent as deltas"][1]) == (0, "4 of 5")


async def test_it_ends_on_ctrl_c() -> None:
    """SIGINT in the middle of a run ends it at once with status 130 and no traceback."""
    async with started("demo", "--latency-ms", "500", "--rounds", "1") as command:
        progress = await asyncio.wait_for(command._process.stderr.readline(), 20)  # type: ignore[union-attr] # a pipe
        assert progress.startswith(b"directly: turn 1 of 2")
        command.send(signal.SIGINT)
        status, out, err = await command.end()
    assert (status, out.strip(), err.strip()) == (130, "", "")


async def on_terminal(**environ: str) -> str:
    """What the demo writes where stdout and stderr are a terminal."""
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "LC_ALL"}}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "demo", *SMALL),
        env={**plain, "TERM": "xterm", "COLUMNS": "80", "PYTHONUTF8": "1", **environ},
        cwd=ROOT,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        async with asyncio.timeout(20):
            written = await asyncio.to_thread(read_all, ours)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return written.decode()


def read_all(descriptor: int) -> bytes:
    """All that comes until the other side is closed, which Linux tells by an error."""
    parts = []
    with open(descriptor, "rb", buffering=0) as terminal, contextlib.suppress(OSError):
        while part := terminal.read(4096):
            parts.append(part)
    return b"".join(parts)


async def test_a_terminal_sees_one_line_redrawn_for_each_run() -> None:
    """The bar of a run stays on its line, coloured, and no line is wider than the terminal."""
    lines = (await on_terminal()).split("\r\n")
    assert [line.count("\r") for line in lines[:2]] == [6, 6]
    assert "\x1b[32m" in lines[0]
    bare = [re.sub(r"\x1b\[\d*[mK]", "", line).rpartition("\r")[2] for line in lines]
    assert "━━━━ 5/5" in re.sub(" +", " ", bare[0])
    assert max(map(len, bare)) <= 80


async def test_colours_can_be_declined() -> None:
    """With NO_COLOR a terminal sees the redrawn line, but no colours; a dumb one sees plain lines."""
    declined = await on_terminal(NO_COLOR="1")
    assert re.findall(r"\x1b\[\d*m", declined) == []
    assert "\x1b[K" in declined
    assert "\x1b" not in await on_terminal(TERM="dumb")


async def test_the_bar_is_ascii_where_nothing_else_can_be_shown() -> None:
    """An encoding without box-drawing characters gets another bar, not an error."""
    assert "########################" in await on_terminal(PYTHONUTF8="0", PYTHONIOENCODING="ascii")


@pytest.mark.parametrize(
    ("proxied", "found"),
    [
        (GOOD, []),
        (replace(GOOD, prompts=(b"1", b"?", b"!")), ["the model was given another prompt on turn 2"]),
        (
            replace(GOOD, prompts=(b"1", b"2")),
            ["the model was asked 3 times directly and 2 times through the proxy"],
        ),
        (replace(GOOD, conversation=replace(GOOD.conversation, answer="[1]")), ["the final answers differ"]),
    ],
)
def test_a_difference_is_named(proxied: Run, found: list[str]) -> None:
    """Another prompt, another number of prompts or another final answer is found; the same run is not."""
    assert differences(GOOD, proxied) == found


@pytest.mark.parametrize("as_json", [True, False])
def test_a_difference_is_an_error(*, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """When the proxy changed a prompt, the figures are printed all the same, and the command exits with 1."""
    comparison = compared(replace(GOOD, prompts=(b"1", b"2", b"?")))
    with pytest.raises(click.ClickException, match="another prompt on turn 3") as raised:
        conclude(comparison, as_json=as_json)
    assert raised.value.exit_code == 1
    assert "another prompt on turn 3" in capsys.readouterr().out


def test_a_loss_is_said_as_plainly_as_a_gain() -> None:
    """Where the proxied run is slower, or sends more, or falls back to plain HTTP, the table says so."""
    worse = Conversation("[]", (0.2, 0.4, 0.3), 1.2, 1)
    rows = cells("\n".join(table(compared(replace(GOOD, conversation=worse, up_bytes=3_500, http_turns=2)))))
    assert rows["time"] == ["600 ms", "1.20 s", "2.00 times SLOWER"]
    assert rows["time per turn"] == ["200 ms", "400 ms", "200 ms MORE"]
    assert rows["time to first event, p50"][2] == "100 ms MORE"
    assert rows["bytes up"][2] == "500 B MORE"
    assert rows["turns sent as deltas"] == ["0 of 3", "0 of 3", "2 over plain HTTP"]


async def test_the_sentence_says_what_was_emulated() -> None:
    """A model that takes its time and an unlimited uplink are named as such."""
    sentence = Conditions(Link(0.01, 0), 0.2).sentence()
    assert "a model that answers after 200 ms and a link of 10 ms each way and no limit up" in sentence
    assert sentence.count(".") == 1


CALL = {"type": "function_call", "call_id": "c", "name": "search", "arguments": "{}"}
ENDLESS = b"event: response.completed\ndata: %b\n\n" % msgspec.json.encode({"response": {"output": [CALL]}})


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, b"broken", "turn 1: HTTP 500: broken"),
        (200, b"event: response.failed\ndata: {}\n\n", "turn 1: the stream ended with 'event: response.failed'"),
        (200, b"", "turn 1: the stream ended with 'nothing'"),
        (200, ENDLESS, "the model asked for more than 2 tool rounds"),
    ],
)
async def test_the_agent_stops_at_an_answer_it_cannot_use(
    aiohttp_server: Serve, status: int, body: bytes, message: str
) -> None:
    """An error status, a stream without its end or a model that never stops ends the demo with the reason."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    app = web.Application()
    app.router.add_post("/v1/responses", answer)
    server = await aiohttp_server(app)
    with pytest.raises(DemoError, match=re.escape(message)):
        await converse(f"http://127.0.0.1:{server.port}/v1", task(2, 100), silence=20)


async def test_the_agent_stops_where_nothing_listens() -> None:
    """A refused connection ends the demo with the turn and the fault."""
    with pytest.raises(DemoError, match=r"turn 1: ClientConnectorError"):
        await converse("http://127.0.0.1:9/v1", task(1, 100), silence=20)
