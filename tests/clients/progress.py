"""Progress: what a run says while it goes on: lines that stay, and on a terminal one that is written over."""

import shutil
import sys

import click


class Progress:
    """Of `total` scripts, how many are done, and what goes on now."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._going: list[str] = []
        self._shown = sys.stderr.isatty()

    def begin(self, what: str) -> None:
        """This goes on from now."""
        self._going.append(what)
        self._draw()

    def end(self, what: str, *, done: int = 0) -> None:
        """This has ended, and so many scripts with it."""
        self._going.remove(what)
        self._done += done
        self._draw()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        click.echo(text)
        self._draw()

    def close(self) -> None:
        """Nothing goes on any more."""
        self._clear()
        self._shown = False

    def _draw(self) -> None:
        if self._shown and self._going:
            self._clear()
            text = f"{self._done}/{self._total} {', '.join(self._going)}"
            click.echo(text[: shutil.get_terminal_size().columns - 1], nl=False, err=True)

    def _clear(self) -> None:
        if self._shown:
            click.echo("\r\033[K", nl=False, err=True)
