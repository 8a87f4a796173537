"""A terminal: a pseudo-terminal with a program in it, as a person sees and types it."""

import asyncio
import contextlib
import fcntl
import os
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

from tests.cli.process import ROOT

CTRL_C, CTRL_Z, CTRL_BACKSLASH = "\x03", "\x1a", "\x1c"
_SECONDS = 20.0
# The program gets a session of its own, and the terminal for it.
_IN_SESSION = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """What is on the screen, and the keyboard."""

    def __init__(self, master: int, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._master = master
        self._seen = ""
        self._closed = False
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    async def until(self, text: str) -> str:
        """Wait until `text` is shown; gives what was shown before it. What is behind it is left for the next time."""
        async with asyncio.timeout(_SECONDS):
            while text not in self._seen:
                self._more.clear()
                await self._more.wait()
        before, _, self._seen = self._seen.partition(text)
        return before

    async def ended(self) -> int:
        """Wait until the program ends: its exit status, or the signal's number, negative."""
        return await asyncio.wait_for(self.process.wait(), _SECONDS)

    def close(self) -> None:
        """Hang up, unless that is done."""
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)

    def _read(self) -> None:
        try:
            self._seen += os.read(self._master, 65_536).decode(errors="replace")
        except OSError:  # everybody on the other side has gone
            asyncio.get_running_loop().remove_reader(self._master)
        self._more.set()


@contextlib.asynccontextmanager
async def terminal(folder: Path, *command: str, **environ: str) -> AsyncIterator[Terminal]:
    """Run `command` in a terminal of its own; its whole session is killed at the end."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, b"\x18\x00\xc8\x00\x00\x00\x00\x00")  # wide, so that no line is broken
    own = {"XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(folder), "TERM": "dumb", "PS1": "prompt> "}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OPENLINE_", "OPENAI_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _IN_SESSION, *command),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=ROOT,
        env={**inherited, **own, **environ},
    )
    os.close(slave)
    screen = Terminal(master, process)
    try:
        yield screen
    finally:
        screen.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
