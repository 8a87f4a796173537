"""A daemon: a proxy that runs detached from any terminal. Where it listens names its lock and its log."""

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from proxy.cli.client import Client, NoAnswer
from proxy.cli.flags import Flags
from proxy.instance import Instance, running
from proxy.server.status import Identity, url
from proxy.settings_sources import FLAGS

_LARGE = 10_000_000
_TRIES = 10


class Held(Exception):
    """Another process has the lock."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address that callers use, as this machine reaches it."""

    host: str
    port: int

    @classmethod
    def of(cls, base: str) -> "Place":
        """That of a base URL."""
        parts = urlsplit(base)
        return cls(parts.hostname or "", parts.port or 80)

    @classmethod
    def listening(cls, host: str, port: int) -> "Place":
        """That of what will listen on `host`. Raises OSError where it has no address."""
        first = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][4]
        return cls.of(url(str(first[0]), port))

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.host.replace(':', '_')}-{self.port}"

    @property
    def lock(self) -> Path:
        """The file of its lock."""
        return running() / f"{self.name}.lock"

    @property
    def log(self) -> Path:
        """The log of a daemon that listens there."""
        return logs() / f"{self.name}.log"


class Lock:
    """The right to listen at a place: of whoever has the descriptor open, so that no crash leaves it held.

    A process that another one starts may inherit it; the file names the one that answers for the place.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self.descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> "Lock":
        """Raise Held where another process has it, OSError where no file can be there."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for _ in range(_TRIES):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if not _flock(descriptor, fcntl.LOCK_EX):
                os.close(descriptor)
                break
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.lstat()):
                    os.ftruncate(descriptor, 0)
                    return cls(path, descriptor)
            os.close(descriptor)  # whoever had it has taken the file away meanwhile
        raise Held

    @staticmethod
    def holder(path: Path) -> int | None:
        """The process that answers for the place; None where nobody has the lock, or has not said so yet."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            if _flock(descriptor, fcntl.LOCK_SH):
                return None
            text = os.pread(descriptor, 20, 0)
        finally:
            os.close(descriptor)
        return int(text) if text.isdigit() else None

    def sign(self) -> None:
        """Say that it is this process. Raises OSError."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, str(os.getpid()).encode(), 0)

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


class Watch:
    """Tells when a process has ended."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._descriptor: int | None = None
        path = Place.of(instance.api).lock
        if Lock.holder(path) == instance.pid:
            with contextlib.suppress(FileNotFoundError):
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    @property
    def over(self) -> bool:
        """Whether it has: by its lock, as its number may be there until somebody asks how it ended."""
        if not self._instance.alive:
            return True
        return self._descriptor is not None and _flock(self._descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        """Watch no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def confirmed(instance: Instance) -> bool:
    """Whether the process of that number is the one that left the file: numbers are used again."""
    if Lock.holder(Place.of(instance.api).lock) == instance.pid:
        return True
    try:
        return Client(instance).get("/healthz", Identity).pid == instance.pid
    except NoAnswer:
        return False


def logs() -> Path:
    """The folder of the logs."""
    return platformdirs.user_log_path("openline")


def opened(log: Path) -> int:
    """A descriptor that appends to the log; one that is large is put aside first. Raises OSError."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LARGE:
            log.replace(log.with_name(f"{log.name}.1"))
    return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def command(said: Flags, log: Path) -> Sequence[str]:
    """What runs as a daemon. Its folder stays this one: paths in settings may begin here."""
    words: list[str] = []
    for key, value in said.given.items():
        words += [FLAGS[key]] if value is True else [FLAGS[key], str(value)]
    config = ["--config", str(said.config)] if said.config else []
    # -P: in its folder something of the user's own may be called as a module of ours.
    return (sys.executable, "-P", "-m", "proxy", "run", *words, *config, "--log-file", str(log))


def _flock(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
