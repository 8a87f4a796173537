"""A daemon: a proxy that runs detached from any terminal. Where it listens names its lock and its log."""

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from proxy import private
from proxy.cli.flags import Flags
from proxy.instance import Instance, running
from proxy.lock import Lock, locked
from proxy.server.status import url
from proxy.settings_sources import FLAGS, leaves

_LARGE = 10_000_000
# Everybody on this machine sees arguments, and a path may be a secret.
_PRIVATE = "upstream.url"


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


class Watch:
    """Tells when a process has ended."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._descriptor: int | None = None
        path = Place.of(instance.api).lock
        if Lock.holder(path) == instance.pid:
            with contextlib.suppress(OSError):
                self._descriptor = private.opened(path)

    @property
    def over(self) -> bool:
        """Whether it has: by its lock, as its number may be there until somebody asks how it ended, or be another's."""
        return self._descriptor is None or not self._instance.alive or locked(self._descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        """Watch no more."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def logs() -> Path:
    """The folder of the logs."""
    return platformdirs.user_log_path("openline")


def opened(log: Path) -> int:
    """A descriptor that appends to the log; one that is large is put aside first. Raises OSError."""
    private.folder(log.parent)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LARGE:
            log.replace(log.with_name(f"{log.name}.1"))
    return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def renew(log: Path, descriptors: Sequence[int]) -> None:
    """Have those that lead to the log lead to a new one, once it is large. Raises OSError.

    Of two processes that write there, one puts it aside, and the other one follows.
    """
    large = [each for each in descriptors if os.fstat(each).st_size > _LARGE]
    if large:
        new = opened(log)
        for each in large:
            os.dup2(new, each, inheritable=True)
        os.close(new)


def command(said: Flags, log: Path) -> Sequence[str]:
    """What runs as a daemon, in `environment`. Its folder stays this one: paths in settings may begin here."""
    words: list[str] = []
    for key, value in said.given.items():
        if key == _PRIVATE:
            continue
        words += [FLAGS[key]] if value is True else [FLAGS[key], str(value)]
    config = ["--config", str(said.config)] if said.config else []
    # -P: in its folder something of the user's own may be called as a module of ours.
    return (sys.executable, "-P", "-m", "proxy", "run", *words, *config, "--log-file", str(log))


def environment(said: Flags) -> Mapping[str, str]:
    """What it is told there, instead of by a flag."""
    variables = {leaf.key: leaf.variable for leaf in leaves()}
    return {variables[_PRIVATE]: str(said.given[_PRIVATE])} if _PRIVATE in said.given else {}
