"""`openline status`: how a running proxy is doing, once or over and over."""

import math
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from typing import TypeAlias

import click
import msgspec

from proxy.cli.client import NoAnswer, NotRunning, find
from proxy.cli.overview import Overview, as_json, lines, overview
from proxy.cli.patience import patience
from proxy.cli.port import Port
from proxy.cli.showing import until_enough

Look: TypeAlias = Overview | NotRunning | NoAnswer

_EVERY_SECONDS = 1.0
_GONE_SECONDS = 30.0
_WIDE = 100
_INDENT = 11
# Terminal: to the corner; the rest of the line, of the screen; the cursor away, and back.
_HOME, _END_OF_LINE, _END_OF_SCREEN, _HIDE, _SHOW = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[?25l", "\x1b[?25h"


@click.command()
@click.option("--port", type=Port(), help="The one whose callers use this port.")
@click.option("--watch", is_flag=True, help="Show it anew every second, until Ctrl-C.")
@click.option("--json", "in_json", is_flag=True, help="Tell it as JSON; with --watch an object a line.")
def status(*, port: int | None, watch: bool, in_json: bool) -> None:
    """Say how the proxy that runs is doing: its sockets, its turns since the start, and why some were no deltas.

    Where none runs, the exit status is 3; with --watch also where none has come back after half a minute.
    """
    if not watch:
        with patience():
            seen = overview(find(port))
        click.echo(as_json(seen) if in_json else "\n".join(_page(seen)))
        return
    with until_enough():
        if in_json or not sys.stdout.isatty():
            _repeat(looks(port), in_json=in_json)
        else:
            _repaint(looks(port))


def looks(port: int | None, patience_seconds: float = _GONE_SECONDS) -> Iterator[Look]:
    """What is seen each second, or why nothing is: it may be started again.

    Raises NotRunning where none runs at the first look, or has run for so long.
    """
    seen = -math.inf
    while True:
        try:
            instance = find(port)
            seen = time.monotonic()
            yield overview(instance)
        except NoAnswer as error:
            yield error
        except NotRunning as error:
            if time.monotonic() - seen >= patience_seconds:
                raise
            yield error
        time.sleep(_EVERY_SECONDS)


def _repeat(seen: Iterator[Look], *, in_json: bool) -> None:
    """For a pipe or a file: a block a second, and once why there is none."""
    missed = ""
    for look in seen:
        if isinstance(look, Overview):
            missed = ""
            click.echo(as_json(look) if in_json else "\n".join([*_page(look), ""]))
            continue
        why = look.format_message()
        if why != missed:
            click.echo(msgspec.json.encode({"error": why}) if in_json else why)
        missed = why


def _repaint(seen: Iterator[Look]) -> None:
    """For a terminal: the whole screen, as much of it as there is."""
    first = True
    try:
        for look in seen:
            rows = shutil.get_terminal_size().lines
            page = _page(look) if isinstance(look, Overview) else iter([look.format_message()])
            shown = [f"{line}{_END_OF_LINE}" for line in page][: rows - 1]
            begin = f"{_HIDE}{_HOME}{_END_OF_SCREEN}" if first else ""
            click.echo(begin + _HOME + "\n".join(shown) + "\n" + _END_OF_SCREEN, nl=False)
            first = False
    finally:
        click.echo("" if first else _SHOW, nl=False)


def _page(seen: Overview) -> Iterator[str]:
    """The lines of one look, as a terminal has room for them."""
    columns = shutil.get_terminal_size((_WIDE, 0)).columns
    for line in lines(seen, min(columns, _WIDE)):
        for text in fitted(line.text, columns) if sys.stdout.isatty() else (line.text,):
            yield _styled(text, line.tone)


def fitted(text: str, columns: int) -> list[str]:
    """The line, or the lines that it takes: without its indent first, and then broken where that is not enough."""
    if len(text) <= columns:
        return [text]
    return textwrap.wrap(text.lstrip(), columns, subsequent_indent=" " * _INDENT, break_on_hyphens=False)


def _styled(text: str, tone: str) -> str:
    match tone:
        case "good":
            return click.style(text, fg="green", bold=True)
        case "bad":
            return click.style(text, fg="red")
        case "heading":
            return click.style(text, bold=True)
        case "dim":
            return click.style(text, dim=True)
        case _:
            return text
