"""A lock: the right to a place, of whoever has its descriptor open, so that no crash leaves it held.

A process that another one starts may inherit it; the file names the one that answers for the place.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from proxy import private

_TRIES = 200
_PAUSE_SECONDS = 0.001
# Wider than any number of a process: what is written there replaces all of what was, at once.
_WIDTH = 20


class Held(Exception):
    """Another process has the lock."""


class Lock:
    """One that this process has, maybe with others."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self.descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> "Lock":
        """Raise Held where another process has it, OSError where no file can be there."""
        private.folder(path.parent)
        for _ in range(_TRIES):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
            if locked(descriptor, fcntl.LOCK_EX):
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(descriptor), path.lstat()):
                        os.ftruncate(descriptor, 0)
                        return cls(path, descriptor)
                looked_at = True  # whoever had it has taken the file away meanwhile
            else:
                looked_at = locked(descriptor, fcntl.LOCK_SH)  # others only look, for a moment
            os.close(descriptor)
            if not looked_at:
                break
            time.sleep(_PAUSE_SECONDS)
        raise Held

    @staticmethod
    def holder(path: Path) -> int | None:
        """The process that answers for the place; None where nobody has the lock, or has not said so yet."""
        try:
            descriptor = private.opened(path)
        except OSError:
            return None
        try:
            signed = _signed(descriptor)
            # That is asked last: to look at a lock is to have it for a moment.
            return None if signed is None or locked(descriptor, fcntl.LOCK_SH) else signed
        except OSError:  # a file system without locks: what cannot be proved is not believed
            return None
        finally:
            os.close(descriptor)

    @property
    def ours(self) -> bool:
        """Whether this process is the one that answers for the place."""
        return _signed(self.descriptor) == os.getpid()

    def sign(self) -> None:
        """Say that it is this process. Raises OSError."""
        os.pwrite(self.descriptor, f"{os.getpid():<{_WIDTH}}".encode(), 0)

    def leave(self) -> None:
        """Close it here; others that have it keep it."""
        os.close(self.descriptor)

    def retire(self) -> None:
        """Take the file away. The lock itself ends with the process, which tells those who wait for its end."""
        self._path.unlink(missing_ok=True)

    def release(self) -> None:
        """Give it up at once."""
        self.retire()
        self.leave()


def locked(descriptor: int, how: int) -> bool:
    """Lock the file, unless that would have to be waited for."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signed(descriptor: int) -> int | None:
    text = os.pread(descriptor, _WIDTH, 0).strip()
    return int(text) if text.isdigit() else None
