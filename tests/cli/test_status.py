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
from tests.cli.daemons import Home, home
from tests.cli.process import ROOT, started

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
        env={**os.environ, **here.environ, "COLUMNS": "40", "LINES": "5"},
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
        assert max(map(len, lines)) <= 40


async def read(descriptor: int) -> str:
    """What comes next on a terminal."""
    return (await asyncio.wait_for(asyncio.to_thread(os.read, descriptor, 65_536), 20)).decode()
