"""An instance: what a running Openline leaves in a file for the command line, and takes away at its end."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

import msgspec
import platformdirs

_FOLDER = "running"


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One running proxy. Its file is for its owner alone: `control` opens the control pages of the admin listener."""

    pid: int
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

    def __repr__(self) -> str:
        return f"Instance(pid={self.pid}, api={self.api!r})"

    @property
    def port(self) -> int:
        """Where callers connect."""
        return urlsplit(self.api).port or 80

    @property
    def alive(self) -> bool:
        """Whether a process with its number runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's by now
            return False
        return True


class InstanceFile:
    """The file of the proxy that listens on one address, while it runs."""

    def __init__(self, instance: Instance, folder: Path | None = None) -> None:
        parts = urlsplit(instance.api)
        host = (parts.hostname or "").replace(":", "_")
        self._instance = instance
        self._path = (folder or running()) / f"{host}-{instance.port}.json"

    def write(self) -> None:
        """Replace what an earlier process left. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{token_hex(4)}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - a mode is needed
                file.write(msgspec.json.encode(self._instance))
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)

    def remove(self) -> None:
        """Take it away, unless a successor has put its own there."""
        if _read(self._path) == self._instance:
            self._path.unlink(missing_ok=True)


def running() -> Path:
    """The folder of the files."""
    return platformdirs.user_state_path("openline") / _FOLDER


def instances(folder: Path | None = None) -> Iterator[Instance]:
    """Those whose process runs, by port. What crashed ones left is taken away."""
    found: list[Instance] = []
    for path in (folder or running()).glob("*.json"):
        instance = _read(path)
        if instance is None:
            continue
        if instance.alive:
            found.append(instance)
        else:
            path.unlink(missing_ok=True)
    yield from sorted(found, key=lambda one: one.port)


def _read(path: Path) -> Instance | None:
    """What is in a file; None where it is gone, unreadable or of another shape."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=Instance)
    return None
