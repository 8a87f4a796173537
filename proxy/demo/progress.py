"""Progress: one line redrawn for each run on a terminal, plain lines elsewhere."""

import os
import shutil
import time
from typing import Self, TextIO

import click

from proxy.telemetry.logs import size

_LONGEST_BAR = 24
_BESIDE_BAR = 47  # columns of the line that are not the bar
_PLAIN_STEPS = 4


class Progress:
    """Shows how far one run is, while it is entered. Written after each turn, never by a timer."""

    def __init__(self, out: TextIO, name: str, turns: int) -> None:
        self._out = out
        self._name = name
        self._turns = turns
        self._began = time.perf_counter()
        self._redraws = out.isatty() and os.environ.get("TERM") != "dumb"
        self._coloured = use_colour(out)
        self._full, self._empty = _marks(out)

    def __enter__(self) -> Self:
        """Draw the empty bar."""
        if self._redraws:
            self._draw(0, 0)
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave the bar as it stands and go to the next line."""
        if self._redraws:
            click.echo(file=self._out)

    def __call__(self, turn: int, up_bytes: int) -> None:
        """`turn` turns are done, and so many bytes went up."""
        if self._redraws:
            self._draw(turn, up_bytes)
        elif turn == self._turns or turn % max(1, self._turns // _PLAIN_STEPS) == 0:
            text = f"{self._name}: turn {turn} of {self._turns}, {size(up_bytes)} up, {self._seconds:.1f} s"
            click.echo(text, file=self._out)

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _draw(self, turn: int, up_bytes: int) -> None:
        length = max(0, min(_LONGEST_BAR, shutil.get_terminal_size().columns - _BESIDE_BAR))
        filled = min(turn * length // self._turns, length)
        done = self._full * filled
        bar = (click.style(done, fg="green") if self._coloured else done) + self._empty * (length - filled)
        line = f"{self._name:<17}{bar} {turn:>3}/{self._turns}  {size(up_bytes):>8} up  {self._seconds:5.1f} s"
        click.echo(f"\r{line}\x1b[K", file=self._out, nl=False, color=True)  # keep the control code


def use_colour(out: TextIO) -> bool:
    """Whether `out` is a terminal whose user did not say NO_COLOR (no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _marks(out: TextIO) -> tuple[str, str]:
    """Characters of the bar that `out` can show."""
    marks = ("━", "─")
    try:
        "".join(marks).encode(out.encoding or "ascii")
    except UnicodeEncodeError:
        return "#", "."
    return marks
