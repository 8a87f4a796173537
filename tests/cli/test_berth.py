"""A berth: two ports of loopback on which callers may wait for a proxy, and the file by which it is found."""

import contextlib
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy.cli.execution.berth import Berth
from proxy.instance import instances


def test_it_is_found_while_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there within the block alone, and says that it is a passing one; who connects is not refused."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Berth() as berth:
        (found,) = instances()
        assert found == berth.instance
        assert (found.pid, found.passing) == (os.getpid(), True)
        assert found.admin
        for url in (found.api, found.admin):
            parts = urlsplit(url)
            assert parts.hostname == "127.0.0.1"
            with socket.create_connection((parts.hostname, parts.port), timeout=5):
                pass
    assert list(instances()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", berth.instance.port), timeout=5)


def test_the_ports_are_nobody_elses_and_not_inherited() -> None:
    """The command gets no descriptor of them: it could keep the port when we have gone."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(Berth()).sockets for _ in range(2)]
        ports = {sock.getsockname()[1] for each in sockets for sock in (each.api, each.admin)}
        assert len(ports) == 4
        assert not any(sock.get_inheritable() for each in sockets for sock in (each.api, each.admin))


def test_it_does_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none can be written, what runs within the command will not find it, and that is told."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with Berth() as berth:
        assert "it will not find this process" in berth.trouble
