"""`openline stop`: the end of the one that is meant, when its turns have ended, and of no other process."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner

from proxy.cli import stop as stopping
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


async def test_of_turns_it_speaks_where_there_are_some(here: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an idle one takes to end, nothing is said of turns."""
    found = await here.start()
    monkeypatch.setenv("XDG_STATE_HOME", str(here.folder))
    monkeypatch.setattr(stopping, "_SILENT_SECONDS", -1.0)
    told = await asyncio.to_thread(CliRunner().invoke, stopping.stop)
    assert (told.exit_code, told.output) == (0, f"stopped (pid {found.pid})\n")


async def test_running_turns_may_end(here: Home, aiohttp_server: Serve) -> None:
    """It says what it waits for, and the caller has his whole answer."""
    upstream, tasks = Upstream(), Tasks()
    environ = {"OPENLINE_DRAIN_SECONDS": "60"}
    found = await here.start("--upstream", await upstream.serve(aiohttp_server), environ=environ)
    request = tasks.start(get(f"{found.api}/slow"), "caller")
    await upstream.came.wait()
    async with started("stop", environ=here.environ) as command:
        error = command._process.stderr
        assert error
        line = await asyncio.wait_for(error.readline(), 20)
        assert line == b"openline: waiting for 1 running turn, at most 60 s; --now cuts them off\n"
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


class Impostor(BaseHTTPRequestHandler):
    """What another user has put where a crashed Openline listened: it answers as that would."""

    pid = 0
    asked: list[str]

    def do_GET(self) -> None:
        """Say that it is the one."""
        self.asked.append(f"{self.path} {self.headers}")
        body = f'{{"name": "openline", "pid": {self.pid}, "version": "1", "running": 0}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def test_what_a_crash_left_is_trusted_by_nobody(here: Home) -> None:
    """Neither the process that has its number by now nor who listens at its port: that is not asked, this not ended."""
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    Impostor.pid, Impostor.asked = other.pid, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Impostor)
    thread = Thread(target=server.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        for command in ("stop", "status", "restart"):
            file = InstanceFile(
                Instance(
                    pid=other.pid,
                    version="1",
                    api=f"{base}/v1",
                    admin=base,
                    control="marker",
                    started_at=time.time(),
                ),
                here.folder / "openline" / "running",
            )
            file.write()
            assert file.lock
            file.lock.leave()
            status, out, err = await here.ran(command)
            assert (status, out) == (3, "")
            assert err == "openline: no Openline of yours is running: `openline start` starts one\n"
        assert runs(other.pid)
        assert Impostor.asked == []
        assert here.running == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        other.kill()
        await other.communicate()


async def test_one_in_the_foreground_is_stopped_too(here: Home) -> None:
    """Also where it tells nothing of itself: it has the lock."""
    environ = {**here.environ, "OPENLINE_LOG_FORMAT": "human", "OPENLINE_ADMIN_LISTEN": "off"}
    async with started("run", "--port", "0", environ=environ) as command:
        await command.base()
        assert await here.ran("stop") == (0, f"stopped (pid {command.pid})\n", "")
        assert (await command.end())[0] == 0
