"""A socket file: a Unix socket that its owner alone can reach. What a crash left is replaced, what is alive is not."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path


class SocketFile:
    """The file at `path`, from `bind` to `remove`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bound: tuple[int, int] | None = None

    def bind(self) -> socket.socket:
        """A socket that listens there. Raises OSError; EADDRINUSE where somebody listens, or begins to just now."""
        with _alone(self._path):
            self._clear()
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.bind(str(self._path))
                # Nobody can connect before it listens, so that there is no time in which others can.
                self._path.chmod(0o600)
                found = self._path.lstat()
                # Now: another start would take one that does not answer for what a crash left.
                sock.listen()
            except OSError:
                sock.close()
                raise
        self._bound = (found.st_dev, found.st_ino)
        return sock

    def adopt(self) -> None:
        """Answer for the file of a socket that another process has bound, and has left to this one."""
        with contextlib.suppress(FileNotFoundError):
            found = self._path.lstat()
            self._bound = (found.st_dev, found.st_ino)

    def leave(self) -> None:
        """Leave it to another process."""
        self._bound = None

    def remove(self) -> None:
        """Take the file away, unless it is another's by now. While its socket listens, nobody puts his own there."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return
        if self._bound == (found.st_dev, found.st_ino):
            self._path.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Make room: a socket file at which nobody listens goes, all else stays."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is no socket is there")
        if self._answers():
            raise _taken()
        self._path.unlink(missing_ok=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0)
            try:
                probe.connect(str(self._path))
            except BlockingIOError:  # somebody who is slow
                return True
            except (ConnectionRefusedError, FileNotFoundError):
                return False
            return True


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Of starts at once one goes on: between a look and what is done about it, another would do the same.

    Raises OSError, EADDRINUSE for all but one. The lock is the system's, so that no crash leaves it held.
    """
    lock = path.with_name(f"{path.name}.lock")
    held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            others = not os.path.samestat(os.fstat(held), lock.lstat())
        except (BlockingIOError, FileNotFoundError):
            others = True
        if others:
            raise _taken()
        try:
            yield
        finally:
            lock.unlink()
    finally:
        os.close(held)


def _taken() -> OSError:
    return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
