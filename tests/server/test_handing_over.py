"""Handing over: a process stops accepting, others go on by its sockets, and those that are here have their answers."""

import asyncio
import socket
from pathlib import Path

import pytest

from proxy.config import Heads, Settings
from proxy.errors import StartFault
from proxy.server.app import Openline
from proxy.server.listener import Listener
from proxy.simulator import Fault
from proxy.state import State, state_file
from proxy.tasks import Tasks
from tests.server.wire import KEY, Rig, ask, connected, request, rigged

MODELS = request("GET", "/v1/models", [KEY])
CREATE: dict[str, object] = {"model": "gpt-5.4", "input": "marker-prompt", "store": True}


def listener(rig: Rig) -> Listener:
    """The one for callers."""
    assert rig.app._listener
    return rig.app._listener


async def left(rig: Rig) -> None:
    """Wait until it is empty."""
    async with asyncio.timeout(10):
        await rig.app.left()


async def test_the_sockets_are_another_processs_then() -> None:
    """Who holds them as well accepts who comes from then on; both listeners' are handed, and closed here alone."""
    async with rigged() as rig:
        handed = rig.app.handed
        assert handed.admin
        there = [sock.dup() for sock in (*handed.api, handed.admin)]
        rig.app.hand_over()
        await left(rig)
        for sock, url in zip(there, (rig.url, rig.app.admin or ""), strict=True):
            async with connected(url):
                sock.settimeout(10)
                line, _ = sock.accept()
                line.close()
            sock.close()
        with pytest.raises(ConnectionRefusedError):
            await ask(rig.url, "GET", "/healthz")


async def test_a_connection_that_is_kept_is_served_once_more() -> None:
    """What comes by it is a turn like any other, whose answer says that it is the last; so it is for a new one."""
    async with rigged() as rig, connected(rig.url) as kept, connected(rig.url) as fresh:
        await kept.send(MODELS)
        assert (await kept.response()).header("connection") is None
        rig.app.hand_over()
        for line in (kept, fresh):
            await line.send(MODELS)
            response = await line.response()
            assert (response.status, response.header("connection")) == (200, "close")
            assert await line.at_end()
        await left(rig)


async def test_a_turn_goes_on_to_its_end() -> None:
    """However long it takes; as long as it runs, the process is not left."""
    tasks = Tasks()
    async with rigged() as rig:
        rig.sim.faults.add(Fault("hang", "start"))
        answer = tasks.start(rig.create(CREATE), "caller")
        await rig.sim.until(lambda: len(rig.sim.faults.struck) == 1)
        rig.app.hand_over()
        leaving = tasks.start(rig.app.left(), "left")
        await asyncio.wait({leaving}, timeout=0.5)
        assert not leaving.done()
        rig.sim.faults.release()
        response = await answer
        assert (response.status, response.header("connection")) == (200, "close")
        async with asyncio.timeout(10):
            await leaving


async def test_what_is_idle_for_long_is_closed() -> None:
    """A caller that asks nothing more for a while holds up nothing: its connection is closed then, and not before."""
    async with rigged() as rig, connected(rig.url) as line:
        await line.send(MODELS)
        await line.response()
        listener(rig)._spare_seconds = 0.3
        rig.app.hand_over()
        await left(rig)
        assert await line.at_end()


async def test_the_admin_listener_goes_on_where_it_was(tmp_path: Path) -> None:
    """On a handed socket it tells that it is there; its file goes along, and ends with the last process."""
    path = tmp_path / "admin"
    first = Openline(Settings(listen="127.0.0.1:0", admin_listen=f"unix:{path}"), lambda _: None)
    second = Openline(Settings(listen="127.0.0.1:0", admin_listen=f"unix:{path}"), lambda _: None)
    try:
        await first.start()
        handed = first.handed
        assert handed.admin
        base = await second.start(sockets=[sock.dup() for sock in handed.api], admin=handed.admin.dup(), ours=True)
        assert (base, second.admin) == (f"http://127.0.0.1:{handed.api[0].getsockname()[1]}/v1", f"unix:{path}")
        first.hand_over()
        await first.close()
        assert path.exists()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request("GET", "/healthz"))
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
    finally:
        await first.close()
        await second.close()
    assert not path.exists()


async def test_a_socket_file_of_another_stays(tmp_path: Path) -> None:
    """What systemd has bound is its own: the file is not taken away."""
    path = tmp_path / "admin"
    app = Openline(Settings(listen="127.0.0.1:0"), lambda _: None)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        await app.start(admin=sock.dup())
        assert app.admin == f"unix:{path}"
        await app.close()
    assert path.exists()


async def test_a_handed_port_has_its_own_host_guarded() -> None:
    """Names of this machine reach it there, others do not."""
    app = Openline(Settings(listen="127.0.0.1:0", admin_listen="off"), lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        try:
            await app.start(admin=sock.dup())
            assert app.admin == f"http://127.0.0.1:{sock.getsockname()[1]}"
            assert (await ask(app.admin, "GET", "/healthz")).status == 200
            assert (await ask(app.admin, "GET", "/healthz", [("Host", "evil.example")])).status == 403
        finally:
            await app.close()


async def test_the_state_file_is_written_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved when it is laid down, and not written after; if nobody takes over, it is again."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with rigged(heads=Heads()) as rig:
        file = rig.app._file = state_file(Settings())
        assert file
        await rig.create(CREATE)
        await rig.app.lay_down()
        assert len(file.load().heads) == 1
        file.save(State())
        await rig.create(CREATE)
        await rig.app._save()
        assert len(file.load().heads) == 0
        rig.app.take_up()
        await rig.app._save()
        assert len(file.load().heads) == 2


async def test_the_secret_can_be_that_of_the_one_before() -> None:
    """While both accept, either may be asked by who knows it."""
    app = Openline(Settings(listen="127.0.0.1:0"), lambda _: None, control="known")
    try:
        await app.start()
        assert (await ask(app.admin or "", "GET", "/turns", [("x-openline-control", "known")])).status == 200
    finally:
        await app.close()


async def test_a_restart_is_asked_for_by_the_owner() -> None:
    """The page gives the successor's pid, or why there is none; in the foreground it says that it is none of its."""
    async with rigged() as rig:

        async def restart(secret: str) -> tuple[int, dict[str, object]]:
            response = await ask(rig.app.admin or "", "POST", "/restart", [("x-openline-control", secret)], b"{}")
            return response.status, response.json()

        async def succeed() -> int:
            return 77

        async def fail() -> int:
            raise StartFault("mode: no such mode")

        assert (await restart("wrong"))[0] == 403
        status, said = await restart(rig.app.control)
        assert (status, "it runs in the foreground, or as a service" in str(said)) == (500, True)
        rig.app.successor = succeed
        assert await restart(rig.app.control) == (200, {"pid": 77})
        rig.app.successor = fail
        status, said = await restart(rig.app.control)
        assert status == 500
        assert "and this one goes on. (mode: no such mode)" in str(said)
