"""A succession: what an heir is handed, what it may say, and what its elder hears when it does not come to serve."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.cli.background.succession import Elder, Heir, NoHeir
from proxy.lock import Lock
from proxy.server.activation import Handed

# An heir: it has read its options, and does what the test says.
_HEAD = """
import os, sys, time, signal
from proxy.cli.background.succession import Elder
from proxy.server.activation import handed
lock, link = int(sys.argv[2]), int(sys.argv[4])
"""


class Starter:
    """Starts heirs that run a text."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.log = folder / "log"
        self.lock = Lock.take(folder / "lock")
        self.api = socket.create_server(("127.0.0.1", 0))
        self.admin = socket.create_server(("127.0.0.1", 0))
        self._stack = stack
        for sock in (self.api, self.admin):
            stack.enter_context(sock)
        stack.callback(self.lock.release)

    def start(self, text: str) -> Heir:
        """One of them."""
        heir = Heir((sys.executable, "-c", _HEAD + text), Handed((self.api,), self.admin), self.lock, self.log)
        self._stack.callback(heir._process.wait)
        self._stack.callback(heir.kill)
        return heir


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    """All that it started ends with the test."""
    with ExitStack() as stack:
        yield Starter(tmp_path, stack)


def test_an_heir_is_handed_everything(starter: Starter) -> None:
    """The sockets by name, the lock, the log as its output; it has a session of its own, and nothing to read."""
    heir = starter.start(
        """
sockets = handed(os.environ, os.getpid())
print([sock.getsockname()[1] for sock in sockets.api], sockets.admin.getsockname()[1], flush=True)
print(os.path.samestat(os.fstat(lock), os.stat("LOCK")), os.getsid(0) == os.getpid(), sys.stdin.read(), flush=True)
print("to be heard", file=sys.stderr, flush=True)
Elder(link).serves()
print("to be logged", file=sys.stderr, flush=True)
""".replace("LOCK", str(starter.lock._path))
    )
    assert heir.wait() == "to be heard\n"
    heir._process.wait(20)
    heir.let_go()
    assert starter.log.read_text().splitlines() == [
        f"[{starter.api.getsockname()[1]}] {starter.admin.getsockname()[1]}",
        "True True ",
        "to be logged",
    ]


@pytest.mark.parametrize(
    ("text", "status", "line"),
    [
        ("print('one\\nopenline: two: three', file=sys.stderr); sys.exit(2)", 2, "two: three"),
        ("raise KeyError('no such thing')", 1, "KeyError: 'no such thing'"),
        ("sys.exit(3)", 3, "it ended with status 3"),
        ("sys.exit(0)", 1, "it ended with status 0"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "it was ended by SIGTERM"),
    ],
)
def test_one_that_ends_says_why(starter: Starter, text: str, status: int, line: str) -> None:
    """The last line of what it wrote, else how it ended; a status that means success is none."""
    heir = starter.start(text)
    with pytest.raises(NoHeir) as failure:
        heir.wait()
    assert (failure.value.status, str(failure.value)) == (status, line)
    assert heir._process.returncode is not None


def test_one_that_does_neither_is_ended(starter: Starter) -> None:
    """After so long, even where it goes on talking."""
    heir = starter.start("while True: print('.', file=sys.stderr, flush=True)")
    with pytest.raises(NoHeir, match=r"it did not serve within 0\.3 s"):
        heir.wait(0.3)
    assert heir._process.returncode is not None


def test_a_program_that_is_not_there_is_one_that_ends(starter: Starter) -> None:
    """What cannot be run is said as what ended."""
    heir = Heir(("/no/such/program",), Handed((starter.api,), None), starter.lock, starter.log)
    with pytest.raises(NoHeir, match="No such file or directory"):
        heir.wait()


async def test_what_the_heir_is_told_it_passes_on(starter: Starter) -> None:
    """Stop, then now, then the end of it: the elder hears each."""
    heir = starter.start(
        """
elder = Elder(link)
elder.serves()
elder.stop(now=False)
elder.stop(now=True)
"""
    )
    heir.wait()
    assert [await heir.told() for _ in range(3)] == [False, True, None]
    heir.let_go()


async def test_the_end_of_the_elder_is_seen() -> None:
    """It has gone once it can say nothing more; what is said to it then is nobody's fault."""
    ours, theirs = socket.socketpair()
    elder = Elder(os.dup(theirs.fileno()))
    theirs.close()
    ours.close()
    await elder.gone()
    elder.stop(now=True)
    elder._link.close()
