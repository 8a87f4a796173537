"""A child: the command of `openline exec` has the terminal and the signals, as if it ran by itself."""

import asyncio
import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from proxy.cli.execution.child import Child, not_started
from tests.cli.agent import BARE, python
from tests.cli.process import ROOT, started
from tests.cli.terminal import CTRL_BACKSLASH, CTRL_C, CTRL_Z, terminal

NOWHERE = ("--upstream", "http://127.0.0.1:9/v1")
OPENLINE = (sys.executable, "-m", "proxy", "exec", *NOWHERE, "--")
# Says what comes, and ends when it is told to on its input.
LISTENER = """
import os, signal, sys

def came(number, _):
    print("came", signal.Signals(number).name, flush=True)

for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), came)
print("ready", os.isatty(0), os.isatty(1), os.isatty(2), os.getpgrp() == os.tcgetpgrp(0), flush=True)
sys.exit(int(sys.stdin.readline()))
"""


def typed(*words: str) -> str:
    """A command as it is typed into a shell."""
    return " ".join(f"'{word}'" for word in words)


async def test_it_is_in_the_foreground_of_the_terminal(tmp_path: Path) -> None:
    """All three streams are the terminal, it may read from it, and Ctrl-C and Ctrl-backslash are for it to decide."""
    async with terminal(tmp_path, *OPENLINE, *python(LISTENER, "SIGINT", "SIGQUIT")) as screen:
        await screen.until("ready True True True True")
        screen.type(CTRL_C)
        await screen.until("came SIGINT")
        screen.type(CTRL_BACKSLASH)
        await screen.until("came SIGQUIT")
        screen.type("7\n")
        await screen.until("openline: 0 turns")
        assert await screen.ended() == 7


async def test_a_command_that_ctrl_c_ends_ends_us(tmp_path: Path) -> None:
    """By the same signal, so that a shell's loop stops, too; the line is said before."""
    async with terminal(tmp_path, *OPENLINE, "sh", "-c", "echo ready; exec sleep 60") as screen:
        await screen.until("ready")
        screen.type(CTRL_C)
        await screen.until("openline: 0 turns")
        assert await screen.ended() == -signal.SIGINT


async def test_the_job_stops_and_goes_on(tmp_path: Path) -> None:
    """In a shell Ctrl-Z stops both, `fg` wakes both, any number of times, and the shell has the status in the end."""
    async with terminal(tmp_path, "sh", "-i") as screen:
        await screen.until("prompt> ")
        screen.type(f"{typed(*OPENLINE, *python(LISTENER, 'SIGCONT'))}\n")
        await screen.until("ready True True True True")
        for _ in range(3):
            screen.type(CTRL_Z)
            await screen.until("Stopped")
            await screen.until("prompt> ")
            screen.type("fg\n")
            await screen.until("came SIGCONT")
        screen.type("5\n")
        await screen.until("openline: 0 turns")
        await screen.until("prompt> ")
        screen.type("echo status=$?\n")
        await screen.until("status=5")


async def test_a_command_that_stops_itself_stops_us(tmp_path: Path) -> None:
    """Programs that have the terminal to themselves stop none but themselves: the shell must notice all the same."""
    async with terminal(tmp_path, "sh", "-i") as screen:
        await screen.until("prompt> ")
        screen.type(f"{typed(*OPENLINE, 'sh', '-c', 'kill -STOP $$; echo went on')}\n")
        await screen.until("Stopped")
        await screen.until("prompt> ")
        screen.type("fg\n")
        await screen.until("went on")
        await screen.until("prompt> ")


async def test_a_command_in_the_background_waits_for_the_terminal(tmp_path: Path) -> None:
    """One that reads from it there is stopped, the shell sees it, and `fg` gives it what is typed."""
    async with terminal(tmp_path, "sh", "-i") as screen:
        await screen.until("prompt> ")
        screen.type(f"{typed(*OPENLINE, 'sh', '-c', 'read line; echo read $line')} & wait; jobs\n")
        await screen.until("Stopped")
        await screen.until("prompt> ")
        screen.type("fg\n")
        screen.type("hello\n")
        await screen.until("read hello")


async def test_a_command_that_takes_no_stop_is_not_stopped(tmp_path: Path) -> None:
    """Whoever catches Ctrl-Z goes on, and keeps the terminal: so do we."""
    async with terminal(tmp_path, "sh", "-i") as screen:
        await screen.until("prompt> ")
        screen.type(f"{typed(*OPENLINE, *python(LISTENER, 'SIGTSTP'))}\n")
        await screen.until("ready True")
        screen.type(CTRL_Z)
        await screen.until("came SIGTSTP")
        screen.type("0\n")
        assert "Stopped" not in await screen.until("openline: 0 turns")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
async def test_a_signal_to_us_alone_is_passed_on(name: str, tmp_path: Path) -> None:
    """What a supervisor sends reaches the command, which decides."""
    async with terminal(tmp_path, *OPENLINE, *python(LISTENER, name)) as screen:
        await screen.until("ready")
        os.kill(screen.process.pid, getattr(signal, name))
        await screen.until(f"came {name}")
        screen.type("3\n")
        assert await screen.ended() == 3


async def test_an_interrupt_to_us_alone_is_none(tmp_path: Path) -> None:
    """Whether it ends is for the command to decide, and it was not asked."""
    async with terminal(tmp_path, *OPENLINE, *python(LISTENER, "SIGTERM")) as screen:
        await screen.until("ready")
        os.kill(screen.process.pid, signal.SIGINT)
        os.kill(screen.process.pid, signal.SIGTERM)  # comes behind it
        await screen.until("came SIGTERM")
        screen.type("3\n")
        assert await screen.ended() == 3


async def test_what_was_ignored_stays_so() -> None:
    """As under `nohup`, or for what a script starts in the background; all else is the system's way again."""
    show = (
        "import signal; names = ('SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGUSR1');"
        "print(*(name for name in names if signal.getsignal(getattr(signal, name)) is signal.SIG_IGN))"
    )
    shell = 'trap "" HUP INT; exec "$@"'
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", shell, "sh", *OPENLINE, *python(show)),
        cwd=ROOT,
        env={**os.environ, **BARE},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert out.decode().split() == ["SIGHUP", "SIGINT"]


async def test_an_exit_status_that_nobody_waits_for() -> None:
    """Whoever starts us may ignore the ends of his children: that of the command is seen all the same."""
    start = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    process = await asyncio.create_subprocess_exec(
        *python(start, *OPENLINE, "sh", "-c", "exit 7"),
        cwd=ROOT,
        env={**os.environ, **BARE},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, err.count(b"\n")) == (7, 1), err


async def test_a_signal_may_come_when_the_command_has_ended() -> None:
    """Before the news of that has come: the signal is for nobody, and is no fault."""
    child = Child(("true",), dict(os.environ))
    assert child._pid
    await asyncio.to_thread(os.waitpid, child._pid, 0)
    child._came(signal.SIGTERM)
    child.abandon()


async def test_a_pipe_that_closes_ends_the_command() -> None:
    """Python ignores SIGPIPE for itself; the command must not, or `| head` would never end it."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", '"$@" yes | head -n 1', "sh", *OPENLINE),
        cwd=ROOT,
        env={**os.environ, **BARE},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert out == b"y\n"
    assert b"Broken pipe" not in err


async def test_a_command_without_a_proxy_is_ended(tmp_path: Path) -> None:
    """Where the proxy does not come up after all, the command is asked to end: it would find nobody."""
    (tmp_path / "aiohttp.py").write_text("raise ImportError('broken')\n")
    words = ("sh", "-c", 'trap "echo ended; exit" TERM; echo ready; while :; do sleep 0.1; done')
    environ = {**BARE, "PYTHONPATH": str(tmp_path)}
    async with started("exec", *NOWHERE, "--", *words, environ=environ) as command:
        assert [await command.line(), await command.line()] == ["ready", "ended"]
        status, _, err = await command.end()
    assert status == 1
    assert "broken" in err


def test_a_script_that_says_not_by_what_it_is_run() -> None:
    """Some systems run it by the shell, and the others say what it lacks."""
    error = not_started("script", OSError(errno.ENOEXEC, "Exec format error"))
    assert error.exit_code == 126
    assert error.format_message() == (
        "script: it cannot be run: Exec format error (a script needs a first line such as #!/bin/sh)"
    )
