"""A journal: the lines of a proxy that has no terminal of its own, in a file where there is one."""

from typing import BinaryIO

from proxy.cli.output import Output
from proxy.config import LogFormat
from proxy.telemetry.lines import lines
from proxy.turns.outcome import Outcome


class Journal:
    """Lines of turns, and of all that would be written on the command's terminal."""

    def __init__(self, file: BinaryIO | None, form: LogFormat) -> None:
        self._out = Output(file.fileno()) if file else None
        self._lines = lines(form, terminal=False)

    def turn(self, outcome: Outcome) -> None:
        """A turn has ended."""
        if self._out:
            self._out.line(self._lines.turn(outcome))

    def notice(self, text: str) -> None:
        """What else a person should know."""
        if self._out:
            self._out.line(self._lines.notice(text))

    def close(self) -> None:
        """Write what still waits."""
        if self._out:
            self._out.close()
