"""What is shown of a run while it goes on: the demo's bar, or nothing."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from bench.upstream import Tick
from proxy.demo.progress import Progress

Show = Callable[[str, int], AbstractContextManager[Tick]]
"""Given a run's name and how many turns it has, a place to tell of each."""


def on_stderr(name: str, turns: int) -> AbstractContextManager[Tick]:
    """A bar where stderr is a terminal, a few lines elsewhere."""
    return Progress(sys.stderr, name, turns)


def nowhere(_name: str, _turns: int) -> AbstractContextManager[Tick]:
    """Nothing."""
    return nullcontext(lambda _turn, _up_bytes: None)
