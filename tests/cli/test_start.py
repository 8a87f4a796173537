"""`openline start`: a daemon that is there when the command ends, one at a place, and why there is none."""

import asyncio
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from proxy import __version__
from proxy.tasks import Tasks
from tests.cli.daemons import NOWHERE, Home, Serve, Upstream, free_port, get, home, runs, until
from tests.cli.process import started


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Home]:
    """The folder of the test's daemons."""
    async with home(tmp_path) as made:
        yield made


async def test_it_serves_when_the_command_ends(here: Home) -> None:
    """The line to paste comes first, then who it is, where its log is and how it ends; it has a session of its own.

    What of the upstream's path may be a secret is shown nowhere.
    """
    upstream = "http://127.0.0.1:9/marker/v1"
    status, out, err = await here.ran("start", "--port", "0", "--upstream", upstream, "--mode", "observe")
    (found,) = here.running
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"export OPENAI_BASE_URL={found.api}",
        f"openline {__version__}: upstream http://127.0.0.1:9/…, mode observe",
        f"admin: {found.admin} (how it is doing: /status)",
        f"log: {here.log(found.port)} (openline logs -f)",
        f"it runs in the background (pid {found.pid}); openline stop ends it",
    ]
    health = msgspec.json.decode((await get(f"{found.api.removesuffix('/v1')}/healthz"))[1])
    assert health["pid"] == found.pid
    assert os.getsid(found.pid) == found.pid
    assert stat.S_IMODE(here.log(found.port).stat().st_mode) == 0o600
    assert '"event":"listening"' in here.log(found.port).read_text()
    assert "marker" not in here.log(found.port).read_text()
    ps = await asyncio.create_subprocess_exec(
        "ps", "-ww", "-o", "args=", "-p", str(found.pid), stdout=asyncio.subprocess.PIPE
    )
    shown = (await asyncio.wait_for(ps.communicate(), 20))[0].decode()
    assert "--mode observe" in shown
    assert "marker" not in shown


async def test_one_that_runs_is_not_started_again(here: Home) -> None:
    """The line to paste comes again, and what is said does not count is said; so it is with one in the foreground."""
    found = await here.start()
    words = ("start", "--port", str(found.port), "--upstream", NOWHERE)
    status, out, err = await here.ran(*words, "--mode", "off")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"export OPENAI_BASE_URL={found.api}",
        f"openline is already running (pid {found.pid}, version {__version__}) at {found.api}",
        "it goes on with the settings that it was started with: to use those given here, openline stop it first",
    ]
    assert (await here.ran(*words))[1].splitlines()[1:] == [
        f"openline is already running (pid {found.pid}, version {__version__}) at {found.api}"
    ]
    status, out, _ = await here.ran("start", "--port", str(found.port), "--json")
    told = msgspec.json.decode(out)
    assert (status, told["already"], told["pid"], told["api"]) == (0, True, found.pid, found.api)
    environ = {**here.environ, "OPENLINE_LOG_FORMAT": "human"}
    async with started("run", "--port", "0", "--upstream", NOWHERE, environ=environ) as command:
        port = (await command.base()).removesuffix("/v1").rpartition(":")[2]
        _, out, _ = await here.ran("start", "--port", port)
        assert f"openline is already running (pid {command.pid}, " in out


async def test_another_version_that_runs_is_named(here: Home) -> None:
    """After an upgrade the old one goes on until a restart: who starts it hears of that."""
    found = await here.start()
    (file,) = (here.folder / "openline" / "running").glob("*.json")
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(found, version="0.0.1")))
    _, out, _ = await here.ran("start", "--port", str(found.port))
    assert f"(pid {found.pid}, version 0.0.1)" in out
    assert out.endswith(f"this command is version {__version__}: openline restart brings it there\n")


async def test_of_two_starts_at_once_one_starts_it(here: Home) -> None:
    """Both end well and name the same process."""
    words = ("start", "--port", str(free_port()), "--upstream", NOWHERE, "--json")
    ends = await asyncio.gather(*(here.ran(*words) for _ in range(2)))
    assert [status for status, _, _ in ends] == [0, 0]
    told = [msgspec.json.decode(out) for _, out, _ in ends]
    assert sorted(one["already"] for one in told) == [False, True]
    assert {one["pid"] for one in told} == {found.pid for found in here.running}


async def test_what_cannot_be_is_refused_before_anything_starts(here: Home) -> None:
    """Bad settings and a port that another program has: the line and the status of `run`, and no log."""
    status, out, err = await here.ran("start", "--upstream", "ftp://a")
    assert (status, out) == (2, "")
    assert err == "openline: upstream.url: must begin with http:// or https:// (flag --upstream)\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = await here.ran("start", "--port", str(port))
    assert (status, out) == (1, "")
    assert err.startswith(f"openline: port {port} on 127.0.0.1 is taken: another program is listening there")
    assert not (here.folder / "openline" / "log").exists()
    assert list((here.folder / "openline" / "running").iterdir()) == []


async def test_a_daemon_that_ends_says_why(here: Home) -> None:
    """Its own line and its own status are the command's, and nothing is left that a next start minds."""
    environ = {"OPENLINE_UPSTREAM__CA_FILE": str(here.folder / "none.pem")}
    port = str(free_port())
    status, out, err = await here.ran("start", "--port", port, environ=environ)
    assert (status, out) == (2, "")
    assert err.startswith("openline: upstream.ca_file: ")
    assert err.count("\n") == 1
    assert here.running == []
    assert list((here.folder / "openline" / "running").iterdir()) == []
    assert (await here.ran("start", "--port", port))[0] == 0


async def test_a_crash_does_not_block_the_next_start(here: Home) -> None:
    """After kill -9 the same command starts it again, at the same port."""
    first = await here.start()
    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: not runs(first.pid))
    status, _, err = await here.ran("start", "--port", str(first.port), "--upstream", NOWHERE)
    assert (status, err) == (0, "")
    (second,) = [one for one in here.running if one.pid != first.pid]
    assert second.api == first.api


async def test_it_waits_for_one_that_is_about_to_end(here: Home, aiohttp_server: Serve) -> None:
    """One that takes no more turns is not taken for one that runs: the next begins when it has ended."""
    upstream, tasks = Upstream(), Tasks()
    environ = {"OPENLINE_DRAIN_SECONDS": "60"}
    first = await here.start("--upstream", await upstream.serve(aiohttp_server), environ=environ)
    stream = tasks.start(get(f"{first.api}/slow"), "stream")
    await upstream.came.wait()
    os.kill(first.pid, signal.SIGTERM)
    await until(lambda: "waiting for 1 running turn" in here.log(first.port).read_text())
    starting = tasks.start(here.ran("start", "--port", str(first.port), "--json"), "start")
    await asyncio.wait({starting}, timeout=0.7)
    assert not starting.done()
    upstream.may_end.set()
    assert await stream == (200, "first half, second half")
    status, out, err = await starting
    assert (status, err) == (0, "")
    assert [msgspec.json.decode(out)["pid"]] == [one.pid for one in here.running] != [first.pid]


async def test_the_environment_is_the_daemons_too(here: Home) -> None:
    """What this shell says of settings counts for it; a log that has grown large is put aside, also while it grows."""
    port = free_port()
    log = here.log(port)
    log.parent.mkdir(parents=True)
    with log.open("wb") as file:
        file.truncate(10_000_001)
    words = ("start", "--port", str(port), "--upstream", NOWHERE)
    assert (await here.ran(*words, environ={"OPENLINE_MODE": "off"}))[0] == 0
    (found,) = here.running
    assert msgspec.json.decode((await get(f"{found.admin}/status"))[1])["mode"] == "off"
    assert log.stat().st_size < 10_000
    aside = log.with_name(f"{log.name}.1")
    assert aside.stat().st_size == 10_000_001
    os.truncate(log, 10_000_001)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        for _ in range(400):
            async with session.get(f"{found.api}/models") as response:
                assert response.status == 502
    await until(lambda: log.stat().st_size < 10_000_000)
    assert 10_000_001 < aside.stat().st_size < 10_100_000
