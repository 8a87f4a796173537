"""A succession: a process starts another, which takes its place and what it listens on.

elder ── sockets, lock ──▶ heir    by descriptors; the sockets as systemd would hand them over (sd_listen_fds(3))
elder ◀── "serves" ─────── heir    by the link between them
elder ◀── "stop", "now" ── heir    only the heir is known from then on: it passes on what it is told
elder ──── end of file ──▶ heir    the elder's last turn has ended
"""

import asyncio
import contextlib
import fcntl
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from proxy.cli.background.daemon import opened
from proxy.lock import Lock
from proxy.server.activation import ADMIN, API, Handed

SERVE_SECONDS = 20.0
"""How long an heir may take until it serves."""
_END_SECONDS = 5.0
_SERVES, _STOP, _NOW = b"r", b"s", b"n"
# Above all that the sockets become, so that none is overwritten before it has moved.
_HIGH = 100
# The variables name the process that they are for, and a program knows its number only once it runs.
_TRAMPOLINE = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)
count = int(sys.argv[1])
for at, descriptor in enumerate(map(int, sys.argv[2 : 2 + count]), 3):
    os.dup2(descriptor, at)
    os.close(descriptor)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2 + count], sys.argv[2 + count :])
"""


class NoHeir(Exception):
    """The process ended before it served: with `status`, and what it said last."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status


class Heir:
    """The process that takes over, as its elder sees it."""

    def __init__(
        self, command: Sequence[str], handed: Handed, lock: Lock, log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        """Start `command`, which is told of the lock and the link by options.

        Its environment is this one's, with `environ` added. Raises OSError.
        """
        sockets = [(API, sock) for sock in handed.api] + ([(ADMIN, handed.admin)] if handed.admin else [])
        names = ":".join(name for name, _ in sockets)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self._link, link = socket.socketpair()
            ours.callback(self._link.close)
            theirs.callback(link.close)
            self._said, said = os.pipe()
            ours.callback(os.close, self._said)
            theirs.callback(os.close, said)
            output = opened(log)
            theirs.callback(os.close, output)
            high = []
            for descriptor in (*(sock.fileno() for _, sock in sockets), lock.descriptor, link.fileno()):
                high.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH))
                theirs.callback(os.close, high[-1])
            moved, kept = map(str, high[:-2]), ("--lock", str(high[-2]), "--link", str(high[-1]))
            self._process = subprocess.Popen(  # noqa: S603 - our own program, with the options that this one was given
                [sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(len(sockets)), *moved, *command, *kept],
                env={**os.environ, **(environ or {}), "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=said,
                start_new_session=True,
                pass_fds=high,
            )
            ours.pop_all()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def wait(self, seconds: float = SERVE_SECONDS) -> str:
        """Wait until it serves; gives what it had to say meanwhile. Raises NoHeir, and then it has ended."""
        until = time.monotonic() + seconds
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._link, selectors.EVENT_READ)
            selector.register(self._said, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(max(0.0, until - time.monotonic()))}
                if not ready or time.monotonic() >= until:
                    self.kill()
                    said += f"\nit did not serve within {seconds:g} s".encode()
                    break
                if self._said in ready:
                    said += (part := os.read(self._said, 65_536))
                    if not part:
                        selector.unregister(self._said)
                elif self._link in ready and self._link.recv(1) == _SERVES:
                    return said.decode(errors="replace")
                else:
                    break  # what it wrote was there before the end of its link
        raise self._ended(said.decode(errors="replace"))

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def told(self) -> bool | None:
        """What it passes on next: False to stop, True to do so now, None when it has ended."""
        self._link.settimeout(0)
        word = await _received(self._link)
        return word == _NOW if word else None

    def let_go(self) -> None:
        """Leave it to itself."""
        self._link.close()
        os.close(self._said)

    def _ended(self, said: str) -> NoHeir:
        """Why it does not serve."""
        try:
            status = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        self.let_go()
        lines = [line for line in said.splitlines() if line.strip()]
        how = f"it was ended by {signal.Signals(-status).name}" if status < 0 else f"it ended with status {status}"
        line = lines[-1].removeprefix("openline: ") if lines else how
        return NoHeir(128 - status if status < 0 else status or 1, line)


class Elder:
    """The process that this one takes over from, as its heir sees it. A command that starts a daemon is one, too."""

    def __init__(self, link: int) -> None:
        os.set_inheritable(link, False)  # noqa: FBT003 - takes no keyword
        self._link = socket.socket(fileno=link)
        self._link.settimeout(0)

    def serves(self) -> None:
        """Say that this process serves from now on. What went to the elder's ears now goes to the log."""
        os.dup2(1, 2)
        self._say(_SERVES)

    def stop(self, *, now: bool) -> None:
        """Have it end its turns soon, or at once."""
        self._say(_NOW if now else _STOP)

    async def gone(self) -> None:
        """Wait for its end."""
        while await _received(self._link):
            pass

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(OSError):  # it has gone
            self._link.send(word)


async def _received(link: socket.socket) -> bytes:
    """The next word; empty at the end."""
    try:
        return await asyncio.get_running_loop().sock_recv(link, 1)
    except ConnectionError:
        return b""
