"""The socket file: for its owner alone from the first moment on; a dead one makes room, a live one does not."""

import contextlib
import errno
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.server.socket_file import SocketFile


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A short path, under the most open umask there is."""
    before = os.umask(0)
    yield tmp_path_factory.mktemp("s") / "s"
    os.umask(before)


def connects(path: Path) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX) as line:
        return line.connect_ex(str(path)) == 0


def test_nobody_else_can_connect(path: Path) -> None:
    """The file is 0600 when it listens, whatever the umask."""
    with SocketFile(path).bind():
        assert connects(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_of_starts_at_once_one_has_it(path: Path) -> None:
    """Of several that find what a crash left, one gets the path, and can be reached there."""
    for _ in range(100):
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as crashed:
            crashed.bind(str(path))
        won: list[socket.socket] = []
        at_once = threading.Barrier(3)

        def start(won: list[socket.socket] = won, at_once: threading.Barrier = at_once) -> None:
            at_once.wait(10)
            with contextlib.suppress(OSError):
                won.append(SocketFile(path).bind())

        starts = [threading.Thread(target=start) for _ in range(3)]
        for thread in starts:
            thread.start()
        for thread in starts:
            thread.join(10)
        assert len(won) == 1
        for sock in won:
            sock.settimeout(0)
            assert connects(path)
            sock.accept()[0].close()
            sock.close()
        assert {file.name for file in path.parent.iterdir()} <= {path.name}


def test_what_a_crash_left_is_replaced(path: Path) -> None:
    """A socket file at which nobody listens is in nobody's way."""
    with SocketFile(path).bind() as crashed:
        crashed.listen()
    assert path.is_socket()
    with SocketFile(path).bind() as sock:
        sock.listen()
        assert connects(path)


@pytest.mark.parametrize("backlog", [0, 8])
def test_what_is_alive_stays(path: Path, backlog: int) -> None:
    """Where somebody listens, one who is too busy to answer too, it is an address in use, and his file stays."""
    with SocketFile(path).bind() as alive:
        alive.listen(backlog)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for line in waiting:
            line.settimeout(0)
            line.connect_ex(str(path))
        before = path.stat().st_ino
        with pytest.raises(OSError, match="in use") as refused:
            SocketFile(path).bind()
        assert refused.value.errno == errno.EADDRINUSE
        assert path.stat().st_ino == before
        for line in waiting:
            line.close()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_stays(path: Path, kind: str) -> None:
    """A slip in the setting costs nobody a file."""
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("elsewhere")
    with pytest.raises(FileExistsError, match="no socket"):
        SocketFile(path).bind()
    assert path.is_symlink() or path.exists()


def test_a_folder_that_is_not_there_is_said(path: Path) -> None:
    """No folder is made: its mode would be ours to guess."""
    with pytest.raises(FileNotFoundError):
        SocketFile(path / "deeper").bind()


def test_the_file_goes_with_its_owner(path: Path) -> None:
    """Removed at the end, and it may be gone by then."""
    file = SocketFile(path)
    with file.bind():
        file.remove()
        assert not path.exists()
        file.remove()


def test_another_ones_file_stays(path: Path) -> None:
    """Who was replaced, or never got the path, does not take the other's file along."""
    first, second, never = SocketFile(path), SocketFile(path), SocketFile(path)
    with first.bind():
        path.unlink()
        with second.bind():
            first.remove()
            never.remove()
            assert connects(path)
