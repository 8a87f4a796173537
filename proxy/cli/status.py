"""`openline status`: how a running proxy is doing, once or over and over."""

import shutil
import sys
import time
from collections.abc import Iterator

import click
import msgspec

from proxy.cli.client import NoAnswer, NotRunning, find
from proxy.cli.overview import Line, as_json, lines, overview
from proxy.cli.showing import until_enough

_EVERY_SECONDS = 1.0
_WIDE = 100
# Terminal: to the corner; the rest of the line, of the screen; the cursor away, and back.
_HOME, _END_OF_LINE, _END_OF_SCREEN, _HIDE, _SHOW = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[?25l", "\x1b[?25h"


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), help="The one whose callers use this port.")
@click.option("--watch", is_flag=True, help="Show it anew every second, until Ctrl-C.")
@click.option("--json", "in_json", is_flag=True, help="Tell it as JSON; with --watch an object a line.")
def status(*, port: int | None, watch: bool, in_json: bool) -> None:
    """Say how the proxy that runs is doing: its sockets, its turns since the start, and why some were no deltas.

    Where none runs, the exit status is 3.
    """
    if not watch:
        click.echo(as_json(overview(find(port))) if in_json else "\n".join(_page(port)))
        return
    with until_enough():
        if in_json or not sys.stdout.isatty():
            _repeat(port, in_json=in_json)
        else:
            _repaint(port)


def _repeat(port: int | None, *, in_json: bool) -> None:
    """For a pipe or a file: a block a second."""
    while True:
        if in_json:
            click.echo(_object(port))
        else:
            click.echo("\n".join([*_some_page(port), ""]))
        time.sleep(_EVERY_SECONDS)


def _repaint(port: int | None) -> None:
    """For a terminal: the whole screen, as much of it as there is."""
    click.echo(f"{_HIDE}{_HOME}{_END_OF_SCREEN}", nl=False)
    try:
        while True:
            columns, rows = shutil.get_terminal_size()
            page = [f"{line}{_END_OF_LINE}" for line in _some_page(port, columns)][: rows - 1]
            click.echo(_HOME + "\n".join(page) + "\n" + _END_OF_SCREEN, nl=False)
            time.sleep(_EVERY_SECONDS)
    finally:
        click.echo(_SHOW, nl=False)


def _page(port: int | None, cut: int | None = None) -> Iterator[str]:
    """The lines of one look, each cut to so many columns. Raises NotRunning, NoAnswer."""
    width = min(shutil.get_terminal_size((_WIDE, 0)).columns, _WIDE)
    return (_styled(line, cut) for line in lines(overview(find(port)), width))


def _some_page(port: int | None, cut: int | None = None) -> Iterator[str]:
    """The same, while it is watched: it may be started again."""
    try:
        return _page(port, cut)
    except (NotRunning, NoAnswer) as error:
        return iter([error.format_message()])


def _object(port: int | None) -> bytes:
    try:
        return as_json(overview(find(port)))
    except (NotRunning, NoAnswer) as error:
        return msgspec.json.encode({"error": error.format_message()})


def _styled(line: Line, cut: int | None) -> str:
    text = line.text if cut is None or len(line.text) <= cut else f"{line.text[: cut - 1]}…"
    match line.tone:
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
