"""`openline logs`: the log of a daemon, for a person or as it is."""

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from proxy.cli.background.daemon import logs as folder
from proxy.cli.client import NotRunning, find
from proxy.cli.port import Port
from proxy.cli.showing import until_enough
from proxy.cli.turns import Turn
from proxy.core.reasons import MEANINGS, Route
from proxy.instance import instances
from proxy.telemetry.logs import printable, turn_line
from proxy.turns.outcome import End, Outcome, Would

_LOOK_SECONDS = 0.25
_LONGEST = 10_000
_REASONS = {reason.value: reason for reason in MEANINGS}


class NoLog(click.ClickException):
    """There is nothing to show."""

    exit_code = 3


class _Line(msgspec.Struct, frozen=True):
    """What every line says of itself."""

    at: datetime
    event: str


class Log:
    """A log that grows, and may be put aside for another of its name."""

    def __init__(self, path: Path) -> None:
        """Raise OSError where it cannot be read."""
        self._path = path
        # The one that was put aside, too: a process that has been taken over from writes there to its end.
        self._files: list[BinaryIO] = [path.open("rb")]
        self._begun: dict[BinaryIO, bytes] = {}

    def last(self, count: int) -> list[bytes]:
        """The last lines that are there."""
        return list(deque(self.new(), maxlen=count))

    def new(self) -> Iterator[bytes]:
        """The lines that have come since, as far as they are whole."""
        for file in self._files:
            yield from self._read(file)
        with contextlib.suppress(FileNotFoundError):  # between two
            if not os.path.samestat(self._path.stat(), os.fstat(self._files[-1].fileno())):
                self._files.append(self._path.open("rb"))
                yield from self._read(self._files[-1])
        for file in self._files[:-2]:
            file.close()
        del self._files[:-2]

    def close(self) -> None:
        """Read no more."""
        for file in self._files:
            file.close()

    def _read(self, file: BinaryIO) -> Iterator[bytes]:
        if os.fstat(file.fileno()).st_size < file.tell():  # somebody has emptied it
            file.seek(0)
        for line in file:
            whole = self._begun.pop(file, b"") + line
            if whole.endswith(b"\n"):
                yield whole[:-1]
            else:
                self._begun[file] = whole


@click.command()
@click.option("--port", type=Port(), help="Of the one whose callers use this port.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, also across a restart.")
@click.option("-n", "count", default=20, show_default=True, type=click.IntRange(0), help="So many lines.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they are.")
def logs(*, port: int | None, follow: bool, count: int, as_json: bool) -> None:
    """Show the log of the proxy in the background; where none runs, that of the one that ran last."""
    path = _path(port)
    try:
        log = Log(path)
    except OSError as error:
        raise NoLog(f"{path}: the log cannot be read: {error.strerror}") from None
    with contextlib.closing(log), until_enough():
        _show(log.last(count), as_json=as_json)
        while follow:
            time.sleep(_LOOK_SECONDS)
            _show(log.new(), as_json=as_json)


def human(line: bytes) -> str:
    """The line as a terminal would have had it, behind its time; what is no line of ours as it is."""
    try:
        known = msgspec.json.decode(line, type=_Line)
        fields = msgspec.json.decode(line, type=dict[str, object])
        text = _text(known.event, fields)
    except msgspec.MsgspecError:
        return printable(line.decode(errors="replace"), _LONGEST)
    moment, now = known.at.astimezone(), datetime.now().astimezone()
    form = "%H:%M:%S" if moment.date() == now.date() else "%Y-%m-%d %H:%M:%S"
    return f"{moment.strftime(form)}  {text}"


def _show(lines: Iterator[bytes] | list[bytes], *, as_json: bool) -> None:
    for line in lines:
        click.echo(line if as_json else human(line))


def _path(port: int | None) -> Path:
    """Where the log is. Raises NotRunning, NoLog."""
    try:
        instance = find(port)
    except NotRunning:
        found = sorted(folder().glob(f"*-{port}.log" if port else "*.log"), key=lambda path: path.stat().st_mtime)
        if not found or (port is None and any(not one.passing for one in instances())):
            raise
        return found[-1]
    if instance.log is None:
        raise NoLog(f"pid {instance.pid} runs in the foreground: its lines are where it was started, in no file")
    return Path(instance.log)


def _text(event: str, fields: dict[str, object]) -> str:
    if event == "turn":
        return turn_line(_outcome(msgspec.convert(fields, Turn)))
    if event == "notice":
        return printable(f"openline: {fields.get('text', '')}", _LONGEST)
    if event == "listening":
        what = {name: fields.get(name, "unknown") for name in ("version", "api", "upstream", "mode")}
        return printable(
            "openline {version} listens at {api}: upstream {upstream}, mode {mode}".format(**what), _LONGEST
        )
    told = " ".join(f"{name}={value}" for name, value in fields.items() if name not in {"at", "event"})
    return printable(f"openline: {event} {told}", _LONGEST)


def _outcome(turn: Turn) -> Outcome:
    """What was written, as far as this version knows of it. Raises ValidationError."""
    try:
        route, end = Route(turn.route), End(turn.end)
        would = turn.would and Would(
            Route(turn.would.route), _REASONS.get(turn.would.reason or ""), turn.would.sent_bytes
        )
    except ValueError as error:
        raise msgspec.ValidationError(str(error)) from None
    rest = msgspec.structs.asdict(turn)
    rest.update(route=route, end=end, reason=_REASONS.get(turn.reason or ""), would=would, why=None)
    return Outcome(**{**rest, "faults": list(turn.faults)})
