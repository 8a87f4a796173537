"""A process: one real command, its lines as they come, ended by its own pid on every way out."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from proxy.tasks import Tasks

ROOT = Path(__file__).parent.parent
_LINE_SECONDS = 30.0
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.02


class BenchError(Exception):
    """A benchmark cannot go on; the message says why."""


class Process:
    """A child that runs; what it says after the greeting goes to `hear`."""

    def __init__(self, child: asyncio.subprocess.Process, complaints: Path) -> None:
        self.pid = child.pid
        self.hear: Callable[[str], None] = lambda _line: None
        self._child = child
        self._complaints = complaints

    async def line(self) -> str:
        """The next line of its stdout. Raises BenchError where there is none."""
        if self._child.stdout is None:
            raise TypeError("stdout is a pipe here")
        line = await asyncio.wait_for(self._child.stdout.readline(), _LINE_SECONDS)
        if not line:
            raise BenchError(f"the process {self.pid} ended at once: {self._said()}")
        return line.decode().rstrip("\n")

    def _said(self) -> str:
        return self._complaints.read_text("utf-8", "replace").strip() or "it said nothing"

    async def listen(self) -> None:
        """Read on to the end: a full pipe would hold the child up."""
        if self._child.stdout is None:
            raise TypeError("stdout is a pipe here")
        async for line in self._child.stdout:
            self.hear(line.decode("utf-8", "replace").rstrip("\n"))

    async def ended(self) -> int:
        """Wait for its end; its status."""
        return await asyncio.wait_for(self._child.wait(), _LINE_SECONDS)

    async def listening(self, port: int) -> int:
        """Wait until it accepts connections on the port, which it does not tell. Raises BenchError where it ends."""
        async with asyncio.timeout(_LINE_SECONDS):
            while self._child.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionError:
                    await asyncio.sleep(_LOOK_SECONDS)
                    continue
                writer.close()
                return port
        raise BenchError(f"the process {self.pid} ended at once: {self._said()}")

    async def end(self) -> None:
        """End it: kindly, and after a while not."""
        if self._child.returncode is not None:
            return
        self._child.terminate()
        try:
            await asyncio.wait_for(self._child.wait(), _END_SECONDS)
        except TimeoutError:
            self._child.kill()
            await self._child.wait()


def started(
    home: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> contextlib.AbstractAsyncContextManager[Process]:
    """Run `openline ARGUMENTS`."""
    return launched(home, (sys.executable, "-m", "proxy", *arguments), environ)


@contextlib.asynccontextmanager
async def launched(
    home: Path, command: Sequence[str], environ: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run a command. Whatever it keeps is kept in `home`; no setting of the user's counts."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINE_")}
    homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"), str(home))
    complaints = home / f"{'-'.join(map(os.path.basename, command))[:80]}.err"
    with complaints.open("wb") as errors:
        child = await asyncio.create_subprocess_exec(
            *command,
            env={**inherited, **homes, "OPENLINE_LOG_FORMAT": "human", **(environ or {})},
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the benchmark, which ends them in their order
        )
    process, tasks = Process(child, complaints), Tasks()
    try:
        yield process
    finally:
        await process.end()
        await tasks.close()
