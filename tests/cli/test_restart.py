"""`openline restart`: callers never see it, what runs goes on to its end, and what cannot take over does not."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from proxy import __version__
from proxy.cli.client import Client
from proxy.cli.control import waiting_lines
from proxy.tasks import Tasks
from tests.cli.daemons import NOWHERE, Home, Serve, Upstream, free_port, get, home, runs, until
from tests.cli.process import started

# Every new connection leaves a port that cannot be used for a minute.
_PAUSE_SECONDS = 0.005
_TIMEOUT = aiohttp.ClientTimeout(total=20)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Home]:
    """The folder of the test's daemons."""
    async with home(tmp_path) as made:
        yield made


class Callers:
    """Some that call all the time: by a new connection each time, or by one that is kept."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._enough = False
        self.answers: Counter[str] = Counter()

    async def call(self, *, kept: bool) -> None:
        """One of them, until it is enough."""
        connector = aiohttp.TCPConnector(force_close=not kept)
        async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector) as session:
            while not self._enough:
                try:
                    async with session.get(self._url) as response:
                        self.answers[await response.text()] += 1
                except aiohttp.ClientError as error:
                    self.answers[repr(error)] += 1
                await asyncio.sleep(_PAUSE_SECONDS)

    def end(self) -> None:
        """It is enough."""
        self._enough = True


async def test_no_caller_sees_it(here: Home, aiohttp_server: Serve) -> None:
    """Under load, twice in a row: each call is answered; a stream that began before goes on to its end in the first."""
    upstream, tasks = Upstream(), Tasks()
    first = await here.start("--upstream", await upstream.serve(aiohttp_server))
    stream = tasks.start(get(f"{first.api}/slow"), "stream")
    await upstream.came.wait()
    callers = Callers(f"{first.api}/models")
    calling = [tasks.start(callers.call(kept=kept), "caller") for kept in (False, False, True)]
    pids = [first.pid]
    for _ in range(2):
        enough = callers.answers.total() + 50
        await until(lambda: callers.answers.total() > enough)  # noqa: B023 - it is waited for here
        status, out, err = await here.ran("restart", "--json")
        assert (status, err) == (0, "")
        told = msgspec.json.decode(out)
        assert told["before"] == {"pid": pids[-1], "version": __version__}
        pids.append(told["pid"])
    enough = callers.answers.total() + 50
    await until(lambda: callers.answers.total() > enough)
    callers.end()
    await asyncio.gather(*calling)
    assert list(callers.answers) == ["answered"]
    assert [one.pid for one in here.running] == [pids[2]]
    assert runs(pids[0])
    upstream.may_end.set()
    assert await stream == (200, "first half, second half")
    await until(lambda: not runs(pids[0]) and not runs(pids[1]))
    assert await get(f"{first.api}/models") == (200, "answered")


async def test_who_stops_it_stops_what_is_left_of_those_before(here: Home, aiohttp_server: Serve) -> None:
    """A turn that goes on in a process that has been taken over from ends with `stop`: at once, if it is to be."""
    upstream, tasks = Upstream(), Tasks()
    environ = {"OPENLINE_DRAIN_SECONDS": "3600"}
    first = await here.start("--upstream", await upstream.serve(aiohttp_server), environ=environ)
    stream = tasks.start(get(f"{first.api}/slow"), "stream")
    await upstream.came.wait()
    second = await here.restart(first)
    assert runs(first.pid)
    assert (await here.ran("stop", "--now"))[:2] == (0, f"stopped (pid {second.pid})\n")
    await until(lambda: not runs(first.pid))
    (failed,) = await asyncio.gather(stream, return_exceptions=True)
    assert isinstance(failed, aiohttp.ClientError)


async def test_a_stop_waits_for_those_before(here: Home, aiohttp_server: Serve) -> None:
    """Without --now their turns end as its own do."""
    upstream, tasks = Upstream(), Tasks()
    environ = {"OPENLINE_DRAIN_SECONDS": "60"}
    first = await here.start("--upstream", await upstream.serve(aiohttp_server), environ=environ)
    stream = tasks.start(get(f"{first.api}/slow"), "stream")
    await upstream.came.wait()
    await here.restart(first)
    stopping = tasks.start(here.ran("stop"), "stop")
    await until(lambda: "waiting for 1 running turn, at most 60 s" in here.log(first.port).read_text())
    await asyncio.wait({stopping}, timeout=0.7)
    assert not stopping.done()
    upstream.may_end.set()
    assert await stream == (200, "first half, second half")
    assert (await stopping)[0] == 0
    assert not runs(first.pid)


async def test_what_cannot_start_does_not_take_over(here: Home) -> None:
    """Settings that are wrong by now: the reason is said, the old process goes on and is found; put right, it works."""
    file = here.folder / "my.toml"
    file.write_text('mode = "off"\n')
    first = await here.start("--upstream", NOWHERE, "--config", str(file))
    file.write_text('mode = "fast"\n')
    status, out, err = await here.ran("restart")
    assert (status, out) == (1, "")
    assert err.startswith(f"openline: pid {first.pid} goes on, as no other could take over: mode: expected ")
    assert err.count("\n") == 1
    assert here.running == [first]
    assert msgspec.json.decode((await get(f"{first.admin}/status"))[1])["mode"] == "off"
    file.write_text('mode = "observe"\n')
    status, out, _ = await here.ran("restart")
    (second,) = here.running
    whole = f"pid {second.pid} (version {__version__}) serves {first.api} in place of pid {first.pid}"
    assert (status, out) == (0, f"restarted: {whole} (version {__version__})\n")
    assert msgspec.json.decode((await get(f"{second.admin}/status"))[1])["mode"] == "observe"
    assert (second.api, second.admin, second.control) == (first.api, first.admin, first.control)
    file.write_text(f'admin_listen = "127.0.0.1:{free_port()}"\n')
    told = await asyncio.to_thread(Client(second).post, "/reload", {}, dict[str, list[str]])
    assert list(waiting_lines(told["waiting"])) == ["after `openline stop`, from the next start on: admin_listen"]
    status, _, err = await here.ran("restart")
    assert (status, here.running) == (1, [second])
    assert err.endswith("no restart changes that: `openline stop`, then `openline start`\n")


async def test_an_admin_socket_in_a_file_goes_along(here: Home) -> None:
    """The file is the successor's: it outlives the first process, and ends with the last."""
    path = here.folder / "admin"
    first = await here.start("--upstream", NOWHERE, environ={"OPENLINE_ADMIN_LISTEN": f"unix:{path}"})
    second = await here.restart(first)
    await until(lambda: not runs(first.pid))
    assert second.admin == f"unix:{path}"
    assert await asyncio.to_thread(Client(second).get, "/status", dict[str, object])
    os.kill(second.pid, signal.SIGTERM)
    await until(lambda: not runs(second.pid))
    assert not path.exists()


async def test_what_is_stored_goes_along(here: Home) -> None:
    """A conversation whose responses the API stores goes on as a delta in the next process."""
    async with started("simulate", "--port", "0") as upstream:
        api = (await upstream.line()).removeprefix("export OPENAI_BASE_URL=")
        first = await here.start("--upstream", api, environ={"OPENLINE_UPSTREAM__VERIFIES_IDS": "yes"})
        said: list[object] = [{"role": "user", "content": "hello"}]
        routes = []
        connector, key = aiohttp.TCPConnector(force_close=True), {"Authorization": "Bearer key"}
        async with aiohttp.ClientSession(timeout=_TIMEOUT, connector=connector, headers=key) as session:
            for _ in range(2):
                body = {"model": "gpt-5.4", "input": said, "store": True}
                async with session.post(f"{first.api}/responses", json=body) as response:
                    routes.append(response.headers["x-openline-route"])
                    said += [*(await response.json())["output"], {"role": "user", "content": "and then?"}]
                if len(routes) == 1:
                    await here.restart(first)
                    await until(lambda: not runs(first.pid))
    assert routes == ["full", "delta"]


async def test_one_in_the_foreground_is_not_restarted(here: Home) -> None:
    """It is said, and it goes on; where none runs, that is said."""
    assert (await here.ran("restart"))[0] == 3
    environ = {**here.environ, "OPENLINE_LOG_FORMAT": "human"}
    async with started("run", "--port", "0", environ=environ) as command:
        base = await command.base()
        status, _, err = await here.ran("restart")
        assert (status, err.count("\n")) == (1, 1)
        assert "it runs in the foreground, or as a service: restart it there, or use `openline start`" in err
        assert (await get(f"{base.removesuffix('/v1')}/healthz"))[0] == 200
