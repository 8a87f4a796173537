"""Driver: a client in a process of its own, spoken to over stdin and stdout."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec

from tests.clients.environment import ROOT

_REPLY_SECONDS = 120.0
_END_SECONDS = 20.0
_LONGEST_LINE = 16 * 1024 * 1024
_PREFIX = b"=> "
# What a developer's shell may hold and no client under test should see.
_FOREIGN = (
    "OPENAI_",
    "OPENLINE_",
    "LITELLM_",
    "ANTHROPIC_",
    "XDG_",
    "PYTHON",
    "NODE_",
    "NPM_CONFIG_",
    "HTTP",
    "ALL_PROXY",
)


class DriverError(Exception):
    """A driver ended or hung; the message ends with what it wrote to stderr."""


class Reply(msgspec.Struct, frozen=True):
    """What came of one prompt: the text, or the error as the client raised it."""

    text: str | None = None
    error: str | None = None
    status: int | None = None
    message: str = ""

    def __str__(self) -> str:
        """For a reader, on one line."""
        if self.error is None:
            return f"answered {(self.text or '')[:60]!r}"
        return f"raised {self.error}{f' {self.status}' if self.status else ''}: {self.message[:200]!r}"


class Driver:
    """One running driver."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._process = process
        self._errors = errors

    async def say(self, prompts: Sequence[str]) -> list[Reply]:
        """One prompt for each conversation, all at once; gives what came of each. DriverError."""
        await self.begin(prompts)
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                return await self._replies()
        except TimeoutError:
            raise DriverError(f"no reply after {_REPLY_SECONDS:g} s\n{self._said()}") from None

    async def begin(self, prompts: Sequence[str]) -> None:
        """Say it, and do not wait for what comes of it."""
        if self._process.stdin is None:
            raise TypeError("stdin is a pipe here")
        self._process.stdin.write(msgspec.json.encode(prompts) + b"\n")
        await self._process.stdin.drain()

    async def end(self) -> None:
        """Let it end by itself. DriverError when it fails to."""
        if self._process.stdin is None:
            raise TypeError("stdin is a pipe here")
        self._process.stdin.close()
        try:
            status = await asyncio.wait_for(self._process.wait(), _END_SECONDS)
        except TimeoutError:
            raise DriverError(f"still there {_END_SECONDS:g} s after its stdin was closed\n{self._said()}") from None
        if status:
            raise DriverError(f"exit status {status}\n{self._said()}")

    async def kill(self) -> None:
        """End it at once, as `kill -9` does, and whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        await self._process.wait()

    async def _replies(self) -> list[Reply]:
        if self._process.stdout is None:
            raise TypeError("stdout is a pipe here")
        while line := await self._process.stdout.readline():
            if line.startswith(_PREFIX):  # the rest is what the client itself prints
                return msgspec.json.decode(line.removeprefix(_PREFIX), type=list[Reply])
        raise DriverError(f"ended without a reply\n{self._said()}")

    def _said(self) -> str:
        return self._errors.read_text("utf-8", "replace")[-3000:]


@contextlib.asynccontextmanager
async def driver(command: Sequence[str], task: Mapping[str, str], environ: Mapping[str, str]) -> AsyncIterator[Driver]:
    """Start a driver with its task; killed at the end if it still runs. `task["folder"]` is its home too."""
    folder = Path(task["folder"])
    errors = folder / "stderr.txt"
    with errors.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            msgspec.json.encode(task).decode(),
            cwd=ROOT,
            env={**surroundings(folder), **environ},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
    running = Driver(process, errors)
    try:
        yield running
    finally:
        await running.kill()


def surroundings(folder: Path) -> dict[str, str]:
    """The environment: none of the developer's own settings, and no way to any address but loopback."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_FOREIGN)}
    nowhere = "http://127.0.0.1:9"
    return {
        **kept,
        "HOME": str(folder),
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONUTF8": "1",
    }
