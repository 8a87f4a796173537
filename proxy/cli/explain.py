"""`openline explain`: why turns were no deltas, from what the running Openline remembers of them."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import click
import msgspec

from proxy.cli.client import Client, find
from proxy.cli.table import table
from proxy.cli.turns import MOST, Turn, Why, remembered
from proxy.telemetry.logs import duration, printable, size

_SHORT = 8
_WIDE = 200
_LAST = "last"


@click.command()
@click.argument("turn", required=False)
@click.option("--port", type=click.IntRange(1, 65_535), help="The one whose callers use this port.")
@click.option("-n", "count", default=10, show_default=True, type=click.IntRange(1, MOST), help="So many turns.")
@click.option("--run", metavar="ID", help="Of one run of `openline exec` only.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def explain(*, turn: str | None, port: int | None, count: int, run: str | None, as_json: bool) -> None:
    """Say why the latest turns were no deltas, or all that is known of one TURN.

    TURN is an id (x-request-id, where it begins with ol_), the end of one, or `last`. No text of a request is kept, so
    none is shown.
    """
    both = remembered(Client(find(port)), MOST, run)
    turns = [each for each, _ in both]
    if turn is not None:
        chosen = [_chosen(turns, turn)]
    else:
        chosen = [at for at, each in enumerate(turns) if each.is_create and not each.is_delta][-count:]
    if as_json:
        told = [{**both[at][1], "meaning": turns[at].meaning} for at in chosen]
        click.echo(msgspec.json.encode({"turns": told} if turn is None else told[0]))
    elif turn is not None:
        click.echo("\n".join(table([row for row in _rows(turns[chosen[0]]) if row[1]])))
    else:
        click.echo("\n".join(_overview(turns, [turns[at] for at in chosen])))


def _chosen(turns: Sequence[Turn], name: str) -> int:
    """Where the one is that is meant. Raises ClickException."""
    if name == _LAST:
        found = [at for at, turn in enumerate(turns) if turn.is_create][-1:]
    else:
        found = [at for at, turn in enumerate(turns) if turn.id.endswith(name.removeprefix("…"))]
    if len(found) == 1:
        return found[0]
    if found:
        raise click.ClickException(f"{len(found)} turns have an id that ends so: give more of it")
    raise click.ClickException(f"no such turn is among the {len(turns)} that it remembers")


def _overview(turns: Sequence[Turn], chosen: Sequence[Turn]) -> Iterator[str]:
    """A block for each turn, oldest first, and how many went as deltas."""
    creates = [turn for turn in turns if turn.is_create]
    deltas = sum(turn.is_delta for turn in creates)
    for turn in chosen:
        yield f"{_when(turn)}  {_short(turn.id)}  {turn.route}  {turn.reason}"
        yield from (f"    {line}" for line in _because(turn))
        yield ""
    if not creates:
        yield "no turns yet"
    elif deltas == len(creates):
        yield f"every turn went as a delta: {deltas} of {deltas} that it remembers"
    else:
        yield f"deltas: {deltas} of {len(creates)} turns that it remembers; more of one: openline explain ID"


def _because(turn: Turn) -> Iterator[str]:
    """Why it was no delta: in general, and in this case."""
    why = turn.why or Why()
    if turn.meaning:
        yield turn.meaning
    if why.text and why.text != turn.meaning:
        yield printable(why.text, _WIDE)
    if why.compared_with:
        yield f"Compared with {_short(why.compared_with)}."
    if turn.would:
        yield f"In mode `on`: {_imagined(turn)}."


def _rows(turn: Turn) -> Iterator[tuple[str, str]]:
    """Whatever is known of it; no text where nothing is."""
    why = turn.why or Why()
    kind = f" ({why.item_type})" if why.item_type else ""
    yield "id", turn.id
    yield "ended", _when(turn, day=True)
    yield "request", printable(f"{turn.method} {turn.path}", _WIDE)
    yield "answer", f"{turn.status or 'no status'}, {turn.end.replace('_', ' ')}"
    yield "route", turn.route
    yield "reason", turn.reason or ""
    yield "", turn.meaning
    yield "in this case", printable(why.text, _WIDE) if why.text != turn.meaning else ""
    yield "item", "" if why.item is None else f"input[{why.item}]{kind}"
    yield "differs in", ", ".join(why.paths)
    yield "settings", ", ".join(why.settings)
    yield "compared with", why.compared_with or ""
    yield "in mode `on`", _imagined(turn)
    yield "sent", f"{size(turn.sent_bytes)} of {size(turn.request_bytes)}" if turn.request_bytes else ""
    yield "first event", "" if turn.first_event_seconds is None else duration(turn.first_event_seconds)
    yield "total", duration(turn.total_seconds)
    if turn.input_tokens:
        yield "tokens in", f"{turn.input_tokens:,} ({turn.cached_tokens:,} cached)"
        yield "tokens out", f"{turn.output_tokens:,} ({turn.reasoning_tokens:,} reasoning)"
    yield "replays", str(turn.replays or "")
    yield from (("fault", printable(fault, _WIDE)) for fault in turn.faults)
    if turn.context_suspect:
        yield "suspect", "the host may have lost this conversation: no more deltas go to it"
    yield "run", turn.run or ""


def _imagined(turn: Turn) -> str:
    """How one that was only observed would have gone."""
    if turn.would is None:
        return ""
    return f"{turn.would.route}{f' {turn.would.reason}' if turn.would.reason else ''}, {size(turn.would.sent_bytes)}"


def _short(name: str) -> str:
    """The end of an id: enough to ask for it."""
    return f"…{name[-_SHORT:]}"


def _when(turn: Turn, *, day: bool = False) -> str:
    """The local time, with the day where that was not today."""
    moment, now = datetime.fromtimestamp(turn.ended_at).astimezone(), datetime.now().astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S" if day or moment.date() != now.date() else "%H:%M:%S")
