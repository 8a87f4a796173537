"""Patience: a person is told that an answer is waited for, and a program is not."""

import asyncio
import os
import pty
import socket
import sys
import threading
from pathlib import Path

from proxy.cli.patience import patience
from proxy.instance import Instance, InstanceFile
from tests.cli.process import ROOT


async def test_a_person_is_told(tmp_path: Path) -> None:
    """`status` of one that says nothing has a line on the terminal, before it gives up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = f"http://127.0.0.1:{silent.getsockname()[1]}"
        held = Instance(pid=os.getpid(), version="1", api=f"{at}/v1", admin=at, control="c", started_at=0.0)
        InstanceFile(held, tmp_path / "openline" / "running").write()
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "status"),
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        try:
            said = await asyncio.wait_for(asyncio.to_thread(os.read, ours, 1_000), 20)
            assert said.startswith(b"openline: it has not answered yet")
            silent.accept()[0].close()
            assert await asyncio.wait_for(process.wait(), 20) == 4
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(ours)


def test_a_program_is_not_told() -> None:
    """Its stderr is no terminal."""
    with patience():
        assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate())
