"""The composition root: listening, the loop marker, and what the log may say."""

import asyncio
import logging
import socket
from pathlib import Path

import msgspec
import pytest

from proxy.config import Heads, Settings, Upstream
from proxy.core.heads import StoredHead
from proxy.server import app as module
from proxy.server.app import Openline
from proxy.simulator import Fault, Simulator
from proxy.state import State, state_file
from proxy.turns.outcome import End, Outcome
from tests.server.wire import KEY, ask, connected, request, rigged

FORGETFUL = Heads(survive_restarts=False)


async def test_start_tells_where_it_listens() -> None:
    """Port 0 gives a free port, which the base URL names."""
    async with rigged() as rig:
        assert rig.url.startswith("http://127.0.0.1:")
        assert rig.url.endswith("/v1")
        assert (await rig.ask("GET", "/v1/models")).status == 200


async def test_ipv6_addresses_stand_in_brackets() -> None:
    """A base URL on ::1 can be used as it is."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return  # this machine has no IPv6
    async with rigged(listen="[::1]:0") as rig:
        assert rig.url.startswith("http://[::1]:")
        assert (await rig.ask("GET", "/healthz")).status == 200


async def test_a_socket_can_be_handed_in() -> None:
    """A socket that the caller has bound is listened on, whatever the settings say."""
    outcomes: list[Outcome] = []
    app = Openline(Settings(listen="127.0.0.1:0"), outcomes.append)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        try:
            assert await app.start(sockets=[sock]) == f"http://127.0.0.1:{port}/v1"
            assert (await ask(f"http://127.0.0.1:{port}", "GET", "/healthz")).status == 200
            assert (await ask(f"http://127.0.0.1:{port}", "GET", "http://no.path/")).status == 400
        finally:
            await app.close()
    assert [outcome.status for outcome in outcomes] == [400]


async def test_a_taken_port_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the port is taken, start raises OSError, has closed what it opened, and the other's state is untouched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(listen=f"127.0.0.1:{taken.getsockname()[1]}", heads=Heads(max_count=1))
        file = state_file(settings)
        assert file is not None
        theirs = State(
            heads=[StoredHead(f"resp_{n}", b"k", (bytes([n]) * 16,), 10, 10, 1.0) for n in range(3)], items=[]
        )
        file.save(theirs)
        app = Openline(settings, lambda _: None)
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            await app.start()
    await app.close()
    assert [head._replace(age=1.0) for head in file.load().heads] == theirs.heads


async def test_before_the_start_there_is_nothing_to_end() -> None:
    """Drain and close may be called at any time; nothing runs."""
    app = Openline(Settings(heads=FORGETFUL), lambda _: None)
    await app.drain(1)
    await app.close()
    assert app.running == 0


async def test_closing_cuts_what_still_runs() -> None:
    """A turn that outlives the drain is cut, and reported so: it did not hang up by itself."""
    async with rigged() as rig, connected(rig.url) as line:
        rig.sim.faults.add(Fault("hang", "events"))
        body = b'{"model":"gpt-5.4","input":"hello","stream":true,"store":false}'
        await line.send(request("POST", "/v1/responses", [KEY], body))
        assert (await line.head()).status == 200
        await rig.sim.until(lambda: len(rig.sim.faults.struck) == 1)
        assert rig.app.running == 1
        await rig.app.close()
        outcome = await rig.outcome()
        assert (outcome.end, outcome.status) == (End.CUT, 200)
        await rig.sim.until(lambda: rig.sim.connections == 0)
        assert (rig.outcomes.empty(), rig.app.running) == (True, 0)


@pytest.mark.parametrize("target", ["/v1/models", "/v1/responses"])
async def test_a_proxy_whose_upstream_is_itself_answers(target: str) -> None:
    """A loop ends in one clear 508 at once, for turns and for what passes through, instead of going round for ever."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
        outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        app = Openline(Settings(listen="127.0.0.1:0", upstream=Upstream(url=url)), outcomes.put_nowait)
        try:
            await app.start(sockets=[sock])
            response = await ask(url, "POST", target, [KEY], b'{"model":"m","input":"hello"}')
        finally:
            await app.close()
        assert (response.status, response.error()["code"]) == (508, "openline_loop")
        assert "check upstream.url" in str(response.error()["message"])
        assert outcomes.qsize() <= 3


async def test_two_proxies_in_a_row_are_no_loop() -> None:
    """An Openline may stand before another; in a ring of two the first one notices."""
    async with rigged() as second, rigged(upstream=second.url) as first:
        assert (await first.ask("GET", "/v1/models")).status == 200
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [sock.getsockname()[1] for sock in (one, other)]
        apps = [
            Openline(
                Settings(listen="127.0.0.1:0", upstream=Upstream(url=f"http://127.0.0.1:{port}/v1")), lambda _: None
            )
            for port in reversed(ports)
        ]
        try:
            await apps[0].start(sockets=[one])
            await apps[1].start(sockets=[other])
            assert (
                await ask(f"http://127.0.0.1:{ports[0]}", "GET", "/v1/models", [KEY, ("via", "1.1 x")])
            ).status == 508
        finally:
            for app in apps:
                await app.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-secret\x01\r\n\r\n",
        b"\x16\x03\x01sk-secret",
        b"GET /v1/models?sk-secret HTTP/1.1\r\nHost: localhost\r\nno colon sk-secret\r\n\r\n",
    ],
)
async def test_malformed_requests_are_not_logged(raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The library would log a malformed request with its text, credentials included: nothing of it may be logged."""
    caplog.set_level(logging.DEBUG, "openline")
    async with rigged() as rig, connected(rig.url) as line:
        await line.send(raw)
        response = await line.response()
        assert response.status == 400
    assert "sk-secret" not in caplog.text


async def test_faults_of_our_own_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody expected is logged, answered with 500, and recorded as an error."""
    sim = Simulator()
    base = await sim.start()
    outcomes: list[Outcome] = []
    app = Openline(Settings(listen="127.0.0.1:0", upstream=Upstream(url=base)), outcomes.append)
    try:
        url = await app.start()
        assert app._engine is not None
        await app._engine.http.close()  # so that using it is a bug
        response = await ask(url, "GET", "/v1/models")
        assert (response.status, response.header("server"), response.header("connection")) == (500, None, "close")
        assert (response.error()["code"], response.error()["type"]) == ("openline_fault", "server_error")
    finally:
        await app.close()
        await sim.close()
    assert "Session is closed" in caplog.text
    assert [(outcome.status, outcome.end) for outcome in outcomes] == [(500, End.ERROR)]


async def test_headers_up_to_64_kb_are_taken() -> None:
    """Clients with large metadata headers are served: the limit is the upstream's, not the library's 8 kB."""
    value = "x" * 60_000

    async with rigged() as rig:
        response = await rig.ask("GET", "/healthz", [("X-Codex-Turn-Metadata", value)])
        assert response.status == 200


def keeping(sock: socket.socket, upstream: str) -> Settings:
    """Settings of a proxy with a port of its own, so that it keeps its state."""
    return Settings(listen=f"127.0.0.1:{sock.getsockname()[1]}", upstream=Upstream(url=upstream, verifies_ids="yes"))


async def test_stored_heads_survive_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversation whose response the host stored goes on as a delta after the proxy was started anew."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    routes: list[str | None] = []
    items: list[object] = [{"role": "user", "content": "hello [[rounds=1 calls=0]]"}]
    async with rigged() as rig:
        port = 0
        for _ in range(2):
            with socket.create_server(("127.0.0.1", port)) as sock:
                port = sock.getsockname()[1]
                app = Openline(keeping(sock, rig.app._settings.upstream.url), lambda _: None)
                try:
                    url = await app.start(sockets=[sock])
                    body = msgspec.json.encode({"model": "gpt-5.4", "input": items, "store": True})
                    response = await ask(url, "POST", "/v1/responses", [KEY], body)
                finally:
                    await app.close()
            routes.append(response.header("x-openline-route"))
            items += [*msgspec.convert(response.json()["output"], list[object]), {"role": "user", "content": "more"}]
    assert routes == ["full", "delta"]


class Heard(logging.Handler):
    """Says when something was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - what was said is in caplog
        """Note it."""
        self.came.set()


async def test_a_state_file_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Now and then the state is saved; where that fails, turns go on and the log names the file."""
    (tmp_path / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "taken"))
    monkeypatch.setattr(module, "_SAVE_SECONDS", 0.01)
    heard = Heard()
    logging.getLogger("openline.server").addHandler(heard)
    try:
        async with rigged() as rig:
            with socket.create_server(("127.0.0.1", 0)) as sock:
                app = Openline(keeping(sock, rig.app._settings.upstream.url), lambda _: None)
                url = await app.start(sockets=[sock])
                try:
                    body = b'{"model":"gpt-5.4","input":"hello","store":true}'
                    assert (await ask(url, "POST", "/v1/responses", [KEY], body)).status == 200
                    async with asyncio.timeout(10):
                        await heard.came.wait()
                    assert (await ask(url, "GET", "/v1/models")).status == 200
                finally:
                    await app.close()
    finally:
        logging.getLogger("openline.server").removeHandler(heard)
    assert f"the state file {tmp_path}" in caplog.text
