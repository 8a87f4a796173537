"""`openline run` in a process of its own: greeting, refusals, and how it ends."""

import asyncio
import errno
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy import __version__
from proxy.cli.flags import BadSettings
from proxy.cli.run import run
from proxy.cli.serving import refusal
from proxy.tasks import Tasks
from tests.cli.process import ROOT, Command, ran, started

Serve = Callable[[web.Application], Awaitable[TestServer]]
NOWHERE = "http://127.0.0.1:9/v1"


class SlowUpstream:
    """An upstream that answers a request once the test lets it."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        """Wait for the test, then answer."""
        await request.read()
        self.came.set()
        async with asyncio.timeout(30):
            await self.may_answer.wait()
        return web.Response(text="answered")


async def upstream_url(aiohttp_server: Serve, handler: SlowUpstream) -> str:
    """Where `handler` answers everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler.answer)
    server = await aiohttp_server(app)
    return f"http://127.0.0.1:{server.port}/v1"


async def get(url: str) -> tuple[int, str]:
    """One GET: status and text."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
        return response.status, await response.text()


@pytest.fixture
async def callers() -> AsyncIterator[Tasks]:
    """Requests in the background; ended with the test."""
    tasks = Tasks()
    yield tasks
    await tasks.close()


async def held(command: Command, upstream: SlowUpstream, callers: Tasks) -> "asyncio.Task[tuple[int, str]]":
    """A request through the proxy that has reached the upstream, which does not answer yet."""
    request = callers.start(get(f"{await command.base()}/models"), "caller")
    async with asyncio.timeout(20):
        await upstream.came.wait()
    return request


async def test_the_greeting_is_the_line_to_paste_and_who_it_is() -> None:
    """The first line exports the base URL; then come version, upstream and mode, and where to ask how it is doing."""
    async with started("run", "--port", "0", "--upstream", NOWHERE, "--mode", "observe") as command:
        export, who, admin = [await command.line() for _ in range(3)]
        assert export.startswith("export OPENAI_BASE_URL=http://127.0.0.1:")
        assert export.endswith("/v1")
        assert who == f"openline {__version__}: upstream {NOWHERE}, mode observe"
        base = export.partition("=")[2]
        status, text = await get(f"{base.removesuffix('/v1')}/healthz")
        known = {"name": "openline", "version": __version__, "pid": command.pid, "api": base}
        address = json.loads(text)["admin"]
        assert (status, json.loads(text)) == (200, {**known, "admin": address})
        assert admin == f"admin: {address} (how it is doing: /status)"
        assert (await get(f"{address}/status"))[0] == 200


async def test_every_turn_is_a_line(aiohttp_server: Serve) -> None:
    """What passes through is said in one line, as soon as it has ended."""
    upstream = SlowUpstream()
    upstream.may_answer.set()
    url = await upstream_url(aiohttp_server, upstream)
    async with started("run", "--port", "0", "--upstream", url) as command:
        assert await get(f"{await command.base()}/models") == (200, "answered")
        line = await command.line()
        assert line.startswith("pass")
        assert "GET /v1/models" in line


async def test_a_breaker_that_opens_is_a_line() -> None:
    """When WebSockets come to nothing, one line says so and what happens now, once, beside the turn's own."""
    async with started(
        "run", "--port", "0", "--upstream", NOWHERE, environ={"OPENLINE_POOL__BREAKER_FAILURES": "2"}
    ) as command:
        base = await command.base()
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for _ in range(2):
                async with session.post(f"{base}/responses", json={"model": "m", "input": "hello"}) as response:
                    assert response.status == 502
        command.send(signal.SIGTERM)
        _, out, err = await command.end()
    notices = [line for line in out.splitlines() if line.startswith("openline: WebSockets")]
    assert len(notices) == 1
    assert notices[0].startswith("openline: WebSockets to 127.0.0.1:9 came to nothing 2 times in a row: ")
    assert err == ""


async def test_verbose_says_what_is_set_and_where(tmp_path: Path) -> None:
    """With -v each setting that is not a default is named with its source, but not its value."""
    file = tmp_path / "my.toml"
    file.write_text('match = "strict"\n')
    arguments = ("run", "-v", "--port", "0", "--config", str(file))
    async with started(*arguments, environ={"OPENLINE_POOL__WAIT_SECONDS": "2"}) as command:
        await command.base()
        assert [await command.line() for _ in range(5)] == [
            f"set: match (file {file})",
            "set: listen (flag --listen)",
            "set: verbose (flag --verbose)",
            "set: log_format (environment variable OPENLINE_LOG_FORMAT)",
            "set: pool.wait_seconds (environment variable OPENLINE_POOL__WAIT_SECONDS)",
        ]
        command.send(signal.SIGTERM)
        assert (await command.end())[0] == 0


async def test_it_runs_without_uvloop(tmp_path: Path) -> None:
    """Where uvloop cannot be imported, the standard loop serves."""
    (tmp_path / "uvloop.py").write_text("raise ImportError\n")
    environ = {"PYTHONPATH": str(tmp_path)}
    async with started("run", "--port", "0", "--upstream", NOWHERE, environ=environ) as command:
        status, _ = await get(f"{(await command.base()).removesuffix('/v1')}/healthz")
        command.send(signal.SIGTERM)
        ended, _, err = await command.end()
    assert (status, ended, err) == (200, 0, "")


async def test_ctrl_c_before_it_listens_is_no_traceback(tmp_path: Path) -> None:
    """A signal while the settings are still being read ends it quietly with 130."""
    fifo = tmp_path / "slow.toml"
    os.mkfifo(fifo)
    async with started("run", "--config", str(fifo)) as command:
        async with asyncio.timeout(20):
            writer = await asyncio.to_thread(os.open, fifo, os.O_WRONLY)  # returns once it reads the file
        command.send(signal.SIGINT)
        status, out, err = await command.end()
        os.close(writer)
    assert (status, out, err.strip()) == (130, "", "")


@pytest.mark.parametrize(
    ("arguments", "environ", "line"),
    [
        (("--listen", "0.0.0.0:6736"), {}, "listen: '0.0.0.0' is not a loopback address"),
        (("--upstream", "ftp://a"), {}, "upstream.url: must begin with http:// or https:// (flag --upstream)"),
        ((), {"OPENLINE_DRAIN_SECONDS": "-1"}, "drain_seconds: expected a number from 0 to 31536000, got '-1'"),
        (("--config", "no-such.toml"), {}, "no-such.toml: no such settings file"),
        ((), {"OPENLINE_CONFIG": str(ROOT / "pyproject.toml")}, "build-system: there is no such setting (file"),
    ],
)
def test_bad_settings_stop_the_start(
    arguments: tuple[str, ...], environ: dict[str, str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that cannot be used give one line and exit status 2."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings) as bad:
        run.main(arguments, standalone_mode=False)
    assert str(bad.value).startswith(line)
    assert ("\n" in str(bad.value), bad.value.exit_code) == (False, 2)


async def test_what_stops_the_start_is_a_line_on_stderr() -> None:
    """Of all that cannot be used, without a traceback; and the exit status is that of the fault."""
    status, out, err = await ran("run", "--config", "no-such.toml")
    assert (status, out) == (2, "")
    assert err.startswith("openline: no-such.toml: no such settings file")
    assert err.count("\n") == 1


async def test_a_port_taken_by_another_program_is_said() -> None:
    """The line names the port and what to do; exit status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, out, err = await ran("run", "--port", str(port))
    assert (status, out) == (1, "")
    assert err.startswith(f"openline: port {port} on 127.0.0.1 is taken: another program is listening there")
    assert err.endswith("; choose another port with --port (0: any free one)\n")
    assert err.count("\n") == 1


async def test_a_port_taken_by_another_openline_is_said() -> None:
    """The line says that it is already running, with pid, version and address; exit status 1."""
    async with started("run", "--port", "0", "--upstream", NOWHERE) as first:
        base = await first.base()
        port = base.removesuffix("/v1").rpartition(":")[2]
        status, out, err = await ran("run", "--port", port)
    assert (status, out) == (1, "")
    assert err == (
        f"openline: port {port} on 127.0.0.1 is taken: openline is already running (pid {first.pid}, version"
        f" {__version__}) at {base}; choose another port with --port (0: any free one)\n"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "not yours"), "not yours"),
        (OSError("getaddrinfo failed"), "getaddrinfo failed"),
    ],
)
async def test_any_other_reason_not_to_listen_is_said(error: OSError, reason: str) -> None:
    """What is no taken port is said in the system's words, or in the error's own where it has no number."""
    assert await refusal(("::1", 80), error) == (
        f"port 80 on ::1 cannot be listened on: {reason}; choose another with --port or --listen"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_idle_proxy_ends_at_once(number: signal.Signals) -> None:
    """With nothing running one signal ends it: exit status 0, no traceback."""
    async with started("run", "--port", "0", "--upstream", NOWHERE) as command:
        await command.base()
        command.send(number)
        assert await command.end() == (0, "openline: ended\n", "")


async def test_a_running_turn_may_end(aiohttp_server: Serve, callers: Tasks) -> None:
    """After the first signal it says what it waits for, refuses new turns, and lets the running one be answered."""
    upstream = SlowUpstream()
    url = await upstream_url(aiohttp_server, upstream)
    async with started("run", "--port", "0", "--upstream", url) as command:
        request = await held(command, upstream, callers)
        command.send(signal.SIGINT)
        assert await command.line() == (
            "openline: waiting for 1 running turn, at most 8 s; press Ctrl-C again to end at once"
        )
        upstream.may_answer.set()
        assert await request == (200, "answered")
        status, out, err = await command.end()
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "openline: ended"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_second_signal_ends_at_once(
    aiohttp_server: Serve, callers: Tasks, number: signal.Signals, status: int
) -> None:
    """The second signal cuts the running turn off: the status says by which signal, no traceback."""
    upstream = SlowUpstream()
    url = await upstream_url(aiohttp_server, upstream)
    environ = {"OPENLINE_DRAIN_SECONDS": "3600"}
    async with started("run", "--port", "0", "--upstream", url, environ=environ) as command:
        request = await held(command, upstream, callers)
        command.send(number)
        assert "waiting for 1 running turn, at most 3600 s" in await command.line()
        command.send(number)
        ended, out, err = await command.end()
        with pytest.raises(aiohttp.ClientError):
            await request
    assert (ended, err) == (status, "")
    assert "openline: ended with 1 unfinished" in out.splitlines()


async def test_a_turn_that_does_not_end_is_cut_off(aiohttp_server: Serve, callers: Tasks) -> None:
    """When the drain's limit is over, the process ends as by the signal and says how many it cut."""
    upstream = SlowUpstream()
    url = await upstream_url(aiohttp_server, upstream)
    environ = {"OPENLINE_DRAIN_SECONDS": "0.1"}
    async with started("run", "--port", "0", "--upstream", url, environ=environ) as command:
        request = await held(command, upstream, callers)
        command.send(signal.SIGTERM)
        ended, out, err = await command.end()
        with pytest.raises(aiohttp.ClientError):
            await request
    assert (ended, err) == (143, "")
    assert "openline: ended with 1 unfinished" in out.splitlines()


async def test_a_reader_that_goes_away_stops_nothing(aiohttp_server: Serve) -> None:
    """With stdout closed, as by `| head -2`, turns are still served and the end is clean."""
    upstream = SlowUpstream()
    upstream.may_answer.set()
    url = await upstream_url(aiohttp_server, upstream)
    async with started("run", "--port", "0", "--upstream", url) as command:
        base = await command.base()
        command.stop_reading()
        for _ in range(3):
            assert await get(f"{base}/models") == (200, "answered")
        command.send(signal.SIGTERM)
        status, _, err = await command.end()
    assert (status, err) == (0, "")
