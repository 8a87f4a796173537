"""A handover: what systemd does at a start. Listening sockets become descriptors 3 and up, then the program runs."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping

from tests.cli.process import ROOT

_SECONDS = 20.0


@contextlib.asynccontextmanager
async def handed_to(
    program: tuple[str, ...], sockets: Mapping[str, socket.socket], environ: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start `python PROGRAM` with these sockets, by their names; killed at the end if it still runs."""
    given = [f"{name}={sock.fileno()}" for name, sock in sockets.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.server.handover", *given, "--", *program),
        pass_fds=[sock.fileno() for sock in sockets.values()],
        env={**os.environ, **(environ or {})},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.communicate(), _SECONDS)


def main() -> None:
    """Become the program. The process id stays, so the variables can name it."""
    at = sys.argv.index("--")
    given = [argument.partition("=") for argument in sys.argv[1:at]]
    # Above all that they go to, so that none is overwritten before it has moved.
    kept = [os.dup2(int(number), 100 + index) for index, (_, _, number) in enumerate(given)]
    for index, descriptor in enumerate(kept):
        os.dup2(descriptor, 3 + index)
        os.close(descriptor)
    names = ":".join(name for name, _, _ in given)
    hand = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": names}
    os.execve(sys.executable, [sys.executable, *sys.argv[at + 1 :]], {**os.environ, **hand})  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
