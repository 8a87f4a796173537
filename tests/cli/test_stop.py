"""`openline stop`: the end of the one that is meant, when its turns have ended, and of no other process."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.instance import Instance, InstanceFile
from proxy.tasks import Tasks
from tests.cli.daemons import Home, Serve, Upstream, get, home, runs
from tests.cli.process import started


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Home]:
    """The folder of the test's daemons."""
    async with home(tmp_path) as made:
        yield made


async def test_where_none_runs_there_is_nothing_to_stop(here: Home) -> None:
    """One line, and the exit status 3."""
    assert await here.ran("stop") == (
        3,
        "",
        "openline: no Openline of yours is running: `openline start` starts one\n",
    )


async def test_an_idle_one_ends_at_once_and_leaves_nothing(here: Home) -> None:
    """Its process has ended when the command does; of its files the log alone stays."""
    found = await here.start()
    assert await here.ran("stop") == (0, f"stopped (pid {found.pid})\n", "")
    assert not runs(found.pid)
    assert list((here.folder / "openline" / "running").iterdir()) == []
    assert here.log(found.port).read_text().endswith('"event":"notice","text":"ended"}\n')


async def test_running_turns_may_end(here: Home, aiohttp_server: Serve) -> None:
    """It says what it waits for, and the caller has his whole answer."""
    upstream, tasks = Upstream(), Tasks()
    found = await here.start("--upstream", await upstream.serve(aiohttp_server))
    request = tasks.start(get(f"{found.api}/slow"), "caller")
    await upstream.came.wait()
    async with started("stop", environ=here.environ) as command:
        error = command._process.stderr
        assert error
        line = await asyncio.wait_for(error.readline(), 20)
        assert line == b"openline: waiting for 1 running turn, at most 8 s; --now cuts them off\n"
        upstream.may_end.set()
        assert await request == (200, "first half, second half")
        assert await command.end() == (0, f"stopped (pid {found.pid})\n", "")


async def test_now_cuts_them_off(here: Home, aiohttp_server: Serve) -> None:
    """With --now nothing is waited for."""
    upstream, tasks = Upstream(), Tasks()
    environ = {"OPENLINE_DRAIN_SECONDS": "3600"}
    found = await here.start("--upstream", await upstream.serve(aiohttp_server), environ=environ)
    request = tasks.start(get(f"{found.api}/slow"), "caller")
    await upstream.came.wait()
    assert await here.ran("stop", "--now", "--json") == (0, f'{{"pids":[{found.pid}]}}\n', "")
    assert not runs(found.pid)
    (failed,) = await asyncio.gather(request, return_exceptions=True)
    assert isinstance(failed, Exception)


async def test_a_process_that_has_the_number_by_now_is_left_alone(here: Home) -> None:
    """The file that a crash left may name another program: that is not ended, and the file goes."""
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    try:
        crashed = Instance(
            pid=other.pid,
            version="0.1.0",
            api="http://127.0.0.1:1/v1",
            admin="http://127.0.0.1:1",
            control="",
            started_at=time.time(),
        )
        InstanceFile(crashed, here.folder / "openline" / "running").write()
        status, out, err = await here.ran("stop")
        assert (status, out) == (3, "")
        assert err.startswith(
            f"openline: no Openline of yours is running: pid {other.pid}, which the file of one names"
        )
        assert other.returncode is None
        assert runs(other.pid)
        assert here.running == []
    finally:
        other.kill()
        await other.communicate()


async def test_one_in_the_foreground_is_stopped_too(here: Home) -> None:
    """Also where it tells nothing of itself: it has the lock."""
    environ = {**here.environ, "OPENLINE_LOG_FORMAT": "human", "OPENLINE_ADMIN_LISTEN": "off"}
    async with started("run", "--port", "0", environ=environ) as command:
        await command.base()
        assert await here.ran("stop") == (0, f"stopped (pid {command.pid})\n", "")
        assert (await command.end())[0] == 0
