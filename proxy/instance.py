"""An instance: what a running Openline leaves in a file for the command line, and takes away at its end."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import platformdirs

from proxy import private
from proxy.lock import Held, Lock

_FOLDER = "running"
_LARGEST = 65_536
# A process that takes over has left its file a moment before it says that the lock is its own.
_LOOKS = 5
_PAUSE_SECONDS = 0.01


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One running proxy. Its file is for its owner alone: `control` opens the control pages of the admin listener."""

    pid: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    version: str
    api: str
    """The base URL for callers."""
    admin: str | None
    """Where the admin listener is, `http://…` or `unix:…`; None for nowhere."""
    control: str
    started_at: float
    """Seconds since 1970."""
    log: str | None = None
    """The file that its lines go to, where it runs in the background."""
    passing: bool = False
    """Whether it ends with the command of an `openline exec`: nobody else should rely on it."""

    def __post_init__(self) -> None:
        """Raise ValueError where callers, or the commands, could not connect."""
        for url in (self.api, *((self.admin,) if self.admin and not self.admin.startswith("unix:") else ())):
            if not urlsplit(url).hostname or urlsplit(url).port == 0:
                raise ValueError(f"{url!r} is no address")

    def __repr__(self) -> str:
        return f"Instance(pid={self.pid}, api={self.api!r})"

    @property
    def port(self) -> int:
        """Where callers connect."""
        return urlsplit(self.api).port or 80

    @property
    def name(self) -> str:
        """What the files of its place are called."""
        host = urlsplit(self.api).hostname or ""
        return f"{host.replace(':', '_')}-{self.port}"

    @property
    def alive(self) -> bool:
        """Whether a process with its number runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # a sandbox that forbids signals; whose it is, the lock says
            return True
        return True


class InstanceFile:
    """The file of the proxy that listens on one address, while it runs, and the lock beside it that proves it.

    A number may be another program's by now, and what listens at an address anybody's: the lock is its owner's alone.
    """

    def __init__(self, instance: Instance, folder: Path | None = None, lock: int | None = None) -> None:
        """The descriptor of the `lock` is given where another process has handed it over."""
        self._instance = instance
        self._path = (folder or running()) / f"{instance.name}.json"
        self.lock = None if lock is None else Lock(_lock(self._path), lock)

    def write(self) -> None:
        """Replace what an earlier process left. Raises OSError, and Held while another process has the place."""
        if self.lock is None:
            self.lock = Lock.take(_lock(self._path))
        draft = self._path.with_name(f".{self._path.name}.{token_hex(4)}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - a mode is needed
                file.write(msgspec.json.encode(self._instance))
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)
        self.lock.sign()

    def remove(self) -> None:
        """Take both away, unless a successor has put its own there. The lock is held until the process ends."""
        with contextlib.suppress(OSError):  # the folder may be gone, or read-only: nothing is proved without the lock
            if _read(self._path) == self._instance:
                self._path.unlink(missing_ok=True)
            if self.lock and self.lock.ours:
                self.lock.retire()


def running() -> Path:
    """The folder of the files."""
    return platformdirs.user_state_path("openline") / _FOLDER


def instances(folder: Path | None = None) -> Iterator[Instance]:
    """Those that run, by port: each has its lock. What crashed ones left is taken away, what is odd passed over."""
    found = (_standing(path) for path in (folder or running()).glob("*.json"))
    yield from sorted((one for one in found if one), key=lambda one: one.port)


def _standing(path: Path) -> Instance | None:
    """The one that left the file, if it runs."""
    for _ in range(_LOOKS):
        instance = _read(path)
        if instance is None:
            return None
        if Lock.holder(_lock(path)) == instance.pid and instance.alive:
            return instance
        if _cleared(path):
            return None
        time.sleep(_PAUSE_SECONDS)
    return None


def _cleared(path: Path) -> bool:
    """Take the file away, unless somebody has the place."""
    try:
        lock = Lock.take(_lock(path))
    except Held:
        return False
    except OSError:
        return True
    path.unlink(missing_ok=True)
    lock.release()
    return True


def _lock(path: Path) -> Path:
    return path.with_suffix(".lock")


def _read(path: Path) -> Instance | None:
    """What is in a file; None where it is gone, unreadable or of another shape."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(private.read(path, _LARGEST), type=Instance)
    return None
