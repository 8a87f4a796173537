"""The client of a running Openline: which one is meant, and what it says when there is no answer."""

import os
import socket
from pathlib import Path

import pytest

from proxy.cli.client import Client, NoAnswer, NotRunning, Several, find
from proxy.instance import Instance, InstanceFile, instances
from tests.cli.process import started


def instance(port: int = 6736, admin: str | None = "http://127.0.0.1:9", control: str = "marker") -> Instance:
    """One that this process stands for."""
    return Instance(
        pid=os.getpid(),
        version="0.0.1",
        api=f"http://127.0.0.1:{port}/v1",
        admin=admin,
        control=control,
        started_at=0.0,
    )


def test_which_one_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only one, or the one at the port; else one line that says what to do."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(NotRunning, match="`openline start` starts one"):
        find(None)
    InstanceFile(instance(7000)).write()
    assert find(None) == find(7000) == instance(7000)
    InstanceFile(instance(7001)).write()
    with pytest.raises(Several, match=r"choose one with --port \(7000, 7001\)"):
        find(None)
    with pytest.raises(NotRunning, match="at port 1; there are some at 7000, 7001"):
        find(1)
    assert find(7001) == instance(7001)


@pytest.mark.parametrize(
    ("admin", "said"),
    [
        (None, 'admin_listen = "off"'),
        ("unix:/nowhere/at/all", "FileNotFoundError: is it stopped, or busy"),
        ("http://127.0.0.1:9", "ConnectionRefusedError: is it stopped, or busy"),
    ],
)
def test_there_is_no_answer(admin: str | None, said: str) -> None:
    """Nobody at the address, or no address: one line, without the secret."""
    with pytest.raises(NoAnswer) as caught:
        Client(instance(admin=admin)).text("/status")
    assert said in str(caught.value)
    assert "marker" not in str(caught.value)


def test_an_answer_of_something_else() -> None:
    """What is no HTTP is no answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = Client(instance(admin=f"http://127.0.0.1:{server.getsockname()[1]}"))
        with socket.create_connection(server.getsockname()) as waker:
            server.accept()[0].close()
            waker.close()
        server.close()
        with pytest.raises(NoAnswer):
            one.text("/status")


async def test_it_asks_over_both_kinds_of_socket(tmp_path: Path) -> None:
    """A port and a socket file are the same to it; what is refused is said in the proxy's own words."""
    for kind in ("auto", f"unix:{tmp_path}/admin"):
        environ = {"XDG_STATE_HOME": str(tmp_path), "OPENLINE_ADMIN_LISTEN": kind}
        async with started("run", "--port", "0", "--upstream", "http://127.0.0.1:9/v1", environ=environ) as command:
            base = await command.base()
            (found,) = instances(tmp_path / "openline" / "running")
            client = Client(found)
            assert found.api == base
            assert client.get("/turns", dict[str, list[object]], count="1") == {"turns": []}
            assert client.post("/mode", {"mode": "off"}, dict[str, str]) == {"mode": "off"}
            with pytest.raises(NoAnswer, match="a mode is one of on, observe, off") as refused:
                client.post("/mode", {"mode": "x"}, dict)
            assert refused.value.code == "openline_bad_request"
            with pytest.raises(NoAnswer, match="restart it if that differs"):
                client.get("/status", list)
