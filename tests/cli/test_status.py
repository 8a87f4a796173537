"""`openline status`: once, over and over, for people and for programs."""

import asyncio
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from proxy import __version__
from proxy.cli.client import NoAnswer, NotRunning
from proxy.cli.overview import Overview, _turns
from proxy.cli.status import _repeat, fitted, looks
from proxy.core.reasons import Route
from proxy.telemetry.summary import Summary, Way
from tests.cli.daemons import Home, home
from tests.cli.process import ROOT, ran, started

# What a terminal does at these: to the corner, all away, the cursor again.
HOME, CLEAR, SHOW = "\x1b[H", "\x1b[J", "\x1b[?25h"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Home]:
    """The folder of the test's daemons."""
    async with home(tmp_path) as made:
        yield made


async def test_it_is_told_once(here: Home) -> None:
    """For a person, without colours where nobody sees them, and as one object; where none runs the status is 3."""
    assert (await here.ran("status"))[0] == 3
    found = await here.start()
    status, out, err = await here.ran("status")
    assert (status, err) == (0, "")
    assert out.startswith(f"openline {__version__}, ready  (pid {found.pid}, up ")
    assert f"\ncallers    {found.api}\n" in out
    status, out, _ = await here.ran("status", "--port", str(found.port), "--json")
    assert (status, msgspec.json.decode(out)["pid"], out.count("\n")) == (0, found.pid, 1)


async def test_it_is_watched_by_a_program(here: Home) -> None:
    """An object a line; a restart and an end do not end it, Ctrl-C does, and is no error."""
    found = await here.start()
    async with started("status", "--watch", "--json", environ=here.environ) as command:
        assert msgspec.json.decode(await command.line())["pid"] == found.pid
        await here.ran("restart")
        while (pid := msgspec.json.decode(await command.line())["pid"]) == found.pid:
            pass
        assert [one.pid for one in here.running] == [pid]
        await here.ran("stop")
        while "error" not in (told := msgspec.json.decode(await command.line())):
            pass
        assert told == {"error": "no Openline of yours is running: `openline start` starts one"}
        command.send(signal.SIGINT)
        status, _, err = await command.end()
    assert (status, err) == (0, "")


async def test_a_watch_of_nothing_ends_at_once(tmp_path: Path) -> None:
    """Where none runs at the first look, on a terminal or not: exit status 3, and one line."""
    for more in ([], ["--json"]):
        status, out, err = await ran("status", "--watch", *more, environ={"XDG_STATE_HOME": str(tmp_path)})
        assert (status, out) == (3, "")
        assert err == "openline: no Openline of yours is running: `openline start` starts one\n"


async def test_a_watch_ends_where_it_does_not_come_back(here: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is away that is seen at each look; after so long it is an error, with exit status 3."""
    monkeypatch.setenv("XDG_STATE_HOME", here.environ["XDG_STATE_HOME"])
    monkeypatch.setattr("proxy.cli.status._EVERY_SECONDS", 0.0)
    await here.start()
    seen, impatient = looks(None, 3_600.0), looks(None, 0.0)
    assert isinstance(await asyncio.to_thread(next, seen), Overview)
    assert isinstance(await asyncio.to_thread(next, impatient), Overview)
    await here.ran("stop")
    for _ in range(2):
        assert isinstance(await asyncio.to_thread(next, seen), NotRunning)
    with pytest.raises(NotRunning) as ended:
        await asyncio.to_thread(next, impatient)
    assert ended.value.exit_code == 3


def test_what_is_missed_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe there is a line where something changes, and none each second."""
    none, silent = NotRunning("none runs"), NoAnswer("it does not answer")
    _repeat(iter([none, none, silent, none]), in_json=False)
    assert capsys.readouterr().out.splitlines() == ["none runs", "it does not answer", "none runs"]
    _repeat(iter([none, none]), in_json=True)
    assert capsys.readouterr().out == '{"error":"none runs"}\n'


def test_what_is_too_long_is_not_cut() -> None:
    """A table loses its indent first, each of its lines alike; the rest goes on under its text."""
    summary = Summary(turns=1, ways={Route.DELTA: Way(turns=1)})
    rows = [line.text for line in _turns(summary) if line.tone == "dim" or line.text.startswith(" ")]
    assert max(map(len, rows)) > 60
    assert [fitted(row, 60) for row in rows] == [[row.strip()] for row in rows]
    assert fitted("upstream   http://a/v1, mode on", 25) == ["upstream   http://a/v1,", " " * 11 + "mode on"]
    assert fitted("short", 5) == ["short"]


async def test_without_a_terminal_it_is_a_block_each_time(here: Home) -> None:
    """Nothing that only a terminal understands is in it."""
    await here.start()
    async with started("status", "--watch", environ=here.environ) as command:
        for _ in range(2):
            lines = [await command.line()]
            while not lines[-1].startswith("turns "):
                lines.append(await command.line())
            assert lines[0].startswith("openline ")
            assert "\x1b" not in "".join(lines)
            assert await command.line() == ""
        command.send(signal.SIGINT)
        assert (await command.end())[0] == 0


async def test_a_terminal_is_painted_anew_each_time(here: Home) -> None:
    """From its corner, as far as there is room; the cursor comes back at the end."""
    found = await here.start()
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "status", "--watch"),
        env={**os.environ, **here.environ, "COLUMNS": "60", "LINES": "5"},
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        text = ""
        while text.count(HOME) < 3:
            text += await read(ours)
        process.send_signal(signal.SIGINT)
        while SHOW not in text:
            text += await read(ours)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
    first, *frames = text.split(HOME)[1:-1]
    assert (first, len(frames)) == (CLEAR, text.count(HOME) - 2)
    for frame in frames:
        lines = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", frame).splitlines()
        assert lines[1] == f"callers    {found.api}"
        assert len(lines) == 4
        assert max(map(len, lines)) <= 60


async def read(descriptor: int) -> str:
    """What comes next on a terminal."""
    return (await asyncio.wait_for(asyncio.to_thread(os.read, descriptor, 65_536), 20)).decode()
