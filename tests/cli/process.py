"""A command: the real `openline` in a process of its own, its lines read with a time limit."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_LINE_SECONDS = 20.0
_END_SECONDS = 20.0


class Command:
    """One running `openline …`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def line(self) -> str:
        """The next line on stdout; empty when there are no more."""
        if self._process.stdout is None:
            raise TypeError("stdout is a pipe here")
        line = await asyncio.wait_for(self._process.stdout.readline(), _LINE_SECONDS)
        return line.decode().removesuffix("\n")

    async def base(self) -> str:
        """The base URL, from the greeting, which is read to its end but for what `-v` adds; no token is in it."""
        host = re.match(r"export OPENAI_BASE_URL=(http://[^/]+)/", await self.line())
        if host is None:
            raise ValueError("the first line of the greeting has no URL")
        while not (await self.line()).startswith("admin: "):
            pass
        return f"{host[1]}/v1"

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process."""
        self._process.send_signal(number)

    def stop_reading(self) -> None:
        """Close our end of its stdout, as `| head` does."""
        transport = self._process._transport.get_pipe_transport(1)  # type: ignore[attr-defined] # no public way
        transport.close()

    async def end(self) -> tuple[int, str, str]:
        """Wait until it ends: exit status, the rest of stdout, stderr."""
        out, err = await asyncio.wait_for(self._process.communicate(), _END_SECONDS)
        if self._process.returncode is None:
            raise TypeError("an ended process has a status")
        return self._process.returncode, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def started(
    *arguments: str, environ: dict[str, str] | None = None, python: tuple[str, ...] = ()
) -> AsyncIterator[Command]:
    """Start `openline ARGUMENTS` without the developer's own settings; killed at the end if it still runs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINE_")}
    own = {"XDG_CONFIG_HOME": str(ROOT / "tests" / "no-such-folder"), "OPENLINE_LOG_FORMAT": "human"}
    with tempfile.TemporaryDirectory() as state:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *python, "-m", "proxy", *arguments),
            env={**inherited, **own, "XDG_STATE_HOME": state, **(environ or {})},
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,  # a developer's terminal would be one of the command's
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield Command(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def ran(
    *arguments: str, environ: dict[str, str] | None = None, python: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    """Run `openline ARGUMENTS` to its end: exit status, stdout, stderr."""
    async with started(*arguments, environ=environ, python=python) as command:
        return await command.end()
