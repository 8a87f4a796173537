"""Patience: what a command says to a person while an answer takes long."""

import contextlib
import sys
import threading
from collections.abc import Iterator

import click

_SECONDS = 1.0


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Say after a second, on a terminal alone, that an answer is waited for."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: it was closed at the start
        yield
        return
    word = "openline: it has not answered yet, and is given some seconds"
    timer = threading.Timer(_SECONDS, click.echo, (word,), {"err": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
