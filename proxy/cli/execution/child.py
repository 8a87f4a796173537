"""A child: the command that `openline exec` runs in the foreground, its signals and its end."""

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import signal
from collections.abc import Mapping, Sequence

import click

# From a terminal these reach the child, too: what they mean is for it to decide.
_ITS_OWN = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
# These are sent to us alone, mostly.
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# Python ignores them, and a child would go on doing so.
_USUAL = tuple(getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name))


class NotFound(click.ClickException):
    """There is no such command; the exit status is a shell's."""

    exit_code = 127


class NotExecutable(click.ClickException):
    """There is one, and it cannot be run; the exit status is a shell's."""

    exit_code = 126


class Child:
    """A command that has our standard streams, our terminal, our process group and whatever else is inherited."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start it. Raises NotFound, NotExecutable."""
        self._loop = asyncio.get_running_loop()
        self._pid: int | None = None
        # Ahead of the start: no signal may end us while it runs. What we were started with ignoring stays so, for both.
        self._handled = [one for one in (*_ITS_OWN, *_FORWARDED) if signal.getsignal(one) is not signal.SIG_IGN]
        for number in self._handled:
            self._handle(number)
        # Where it is ignored, the system forgets the exit status.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            # Handlers are the system's again in the child; subprocess would close what the shell opened for it.
            self._pid = os.posix_spawnp(words[0], list(words), environ, setsigdef=_USUAL)
        except OSError as error:
            self._release()
            raise not_started(words[0], error) from None

    async def ended(self) -> int:
        """Wait for its end: its exit status, or the number of the signal that ended it, negative.

        Where it is stopped (Ctrl-Z), so are we: the shell waits for us, and wakes both. Signals stay without effect on
        us until the loop closes, as something is left to say.
        """
        while True:
            _, status = await asyncio.to_thread(os.waitpid, self._pid or 0, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                self._pid = None
                return os.waitstatus_to_exitcode(status)
            self._stop(signal.Signals(os.WSTOPSIG(status)))

    def abandon(self) -> None:
        """If it still runs, ask it to end: there is no proxy for it any more."""
        if self._pid is not None:
            self._send(self._pid, signal.SIGTERM)

    def _handle(self, number: signal.Signals) -> None:
        self._loop.add_signal_handler(number, self._came, number)

    def _came(self, number: signal.Signals) -> None:
        if number in _FORWARDED and self._pid is not None:
            self._send(self._pid, number)

    def _send(self, pid: int, number: signal.Signals) -> None:
        # It may have ended, and been waited for, and the news not come here yet.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def _stop(self, number: signal.Signals) -> None:
        # SIGSTOP would stop us also where no shell is there to wake us again.
        number = number if number in _ITS_OWN else signal.SIGTSTP
        if number not in self._handled:
            return
        self._loop.remove_signal_handler(number)
        signal.raise_signal(number)
        self._handle(number)

    def _release(self) -> None:
        for number in self._handled:
            self._loop.remove_signal_handler(number)


def not_started(name: str, error: OSError) -> click.ClickException:
    """Why a command cannot be run, with the exit status of a shell for it."""
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        there = shutil.which(name) is not None
        return NotFound(
            f"{name}: {'what its first line (#!) names is not there' if there else 'there is no such command'}"
        )
    hint = " (a script needs a first line such as #!/bin/sh)" if error.errno == errno.ENOEXEC else ""
    return NotExecutable(f"{name}: it cannot be run: {error.strerror}{hint}")


def end_like(status: int) -> int:
    """The exit status to end with; where a signal ended the child, it ends us, too, so that the shell sees which."""
    if status >= 0:
        return status
    number = -status
    # One core is enough.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number
