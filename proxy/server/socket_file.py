"""A socket file: a Unix socket that its owner alone can reach. What a crash left is replaced, what is alive is not."""

import errno
import os
import socket
import stat
from pathlib import Path


class SocketFile:
    """The file at `path`, from `bind` to `remove`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bound: tuple[int, int] | None = None

    def bind(self) -> socket.socket:
        """A socket bound there, which does not listen yet. Raises OSError; EADDRINUSE where somebody listens."""
        self._clear()
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.bind(str(self._path))
            # Nobody can connect before it listens, so that there is no time in which others can.
            self._path.chmod(0o600)
            found = self._path.lstat()
        except OSError:
            sock.close()
            raise
        self._bound = (found.st_dev, found.st_ino)
        return sock

    def remove(self) -> None:
        """Take the file away, unless it is another's by now."""
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
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
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
