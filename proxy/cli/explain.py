"""`openline explain`: why turns were no deltas, from what the running Openline remembers of them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import click
import msgspec

from proxy.cli.advice import advice, consequence
from proxy.cli.client import Client, find
from proxy.cli.patience import patience
from proxy.cli.port import Port
from proxy.cli.table import table
from proxy.cli.turns import MOST, Turn, Why, remembered
from proxy.telemetry.logs import duration, printable, size
from proxy.turns.outcome import End

_SHORT = 8
_WIDE = 200
_LAST = "last"


@click.command()
@click.argument("turn", required=False)
@click.option("--port", type=Port(), help="The one whose callers use this port.")
@click.option("-n", "count", default=10, show_default=True, type=click.IntRange(1, MOST), help="So many turns.")
@click.option("--run", metavar="ID", help="Of one run of `openline exec` only.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def explain(*, turn: str | None, port: int | None, count: int, run: str | None, as_json: bool) -> None:
    """Say why the latest turns were no deltas or went wrong, or all that is known of one TURN.

    Turns that only begin a conversation are counted, and not listed.

    TURN is an id (x-request-id, where it begins with ol_), the end of one, or `last`. No text of a request is kept, so
    none is shown.
    """
    client = Client(find(port))
    with patience():
        both = _remembered(client, run)
    turns = [each for each, _ in both]
    chosen = [_chosen(turns, turn)] if turn is not None else _asking(turns)[-count:]
    if as_json:
        told = [{**both[at][1], "meaning": turns[at].meaning, "advice": advice(turns[at])} for at in chosen]
        click.echo(msgspec.json.encode({**_totals(turns), "turns": told} if turn is None else told[0]))
    elif turn is not None:
        click.echo("\n".join(table([row for row in _rows(turns[chosen[0]]) if row[1]])))
    elif not any(each.is_create or each.went_wrong for each in turns):
        click.echo(f"no turns yet since its start at {_moment(client.instance.started_at)}")
    else:
        click.echo("\n".join(_overview(turns, [turns[at] for at in chosen])))


def _remembered(client: Client, run: str | None) -> list[tuple[Turn, dict[str, object]]]:
    """All that there are, of the run. Raises ClickException where there are others alone."""
    found = remembered(client, MOST, run)
    if run and not found and (others := remembered(client, MOST)):
        name = printable(run, _WIDE)
        raise click.ClickException(f"no turn of run {name} is among the {len(others)} that it remembers")
    return found


def _asking(turns: Sequence[Turn]) -> list[int]:
    """Where those are of which there is something to say: no deltas, but for mere openings, and bad ends."""
    return [
        at
        for at, turn in enumerate(turns)
        if turn.went_wrong or (turn.is_create and not turn.is_delta and not turn.is_opening)
    ]


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
    """A block for each turn, oldest first, and what they come to."""
    for turn in chosen:
        ended = f"  {turn.end}" if turn.went_wrong else ""
        yield f"{_when(turn)}  {_short(turn.id)}  {turn.route}{f'  {turn.reason}' if turn.reason else ''}{ended}"
        yield from (f"    {line}" for line in _because(turn))
        yield ""
    yield "; ".join([*_sum(_totals(turns)), *(["more of one: openline explain ID"] if chosen else [])])


def _totals(turns: Sequence[Turn]) -> dict[str, int]:
    """What they come to."""
    creates = [turn for turn in turns if turn.is_create]
    return {
        "remembered": len(creates),
        "deltas": sum(turn.is_delta for turn in creates),
        "openings": sum(turn.is_opening for turn in creates),
        "cut": sum(turn.went_wrong and turn.end == End.CUT for turn in turns),
        "errors": sum(turn.went_wrong and turn.end == End.ERROR for turn in turns),
    }


def _sum(totals: Mapping[str, int]) -> Iterator[str]:
    """The same in words."""
    if totals["deltas"] == totals["remembered"]:
        yield f"every turn went as a delta: {totals['deltas']} of {totals['remembered']} that it remembers"
    else:
        yield f"deltas: {totals['deltas']} of {totals['remembered']} turns that it remembers"
    words = {"openings": "began a conversation (first)", "cut": "broke off", "errors": "ended with an error"}
    yield from (f"{totals[name]} {said}" for name, said in words.items() if totals[name])


def _because(turn: Turn) -> Iterator[str]:
    """Why it was no delta in this case, what went wrong with it, and what to do."""
    why = turn.why or Why()
    text = printable(why.text or turn.meaning, _WIDE)
    if why.compared_with:
        text = f"{text.removesuffix('.')} (compared with {_short(why.compared_with)})."
    if text and not turn.is_delta:
        yield text
    if turn.went_wrong:
        if turn.faults:
            yield f"What happened: {'; '.join(printable(fault, _WIDE) for fault in turn.faults)}."
        yield consequence(turn)
    if turn.would:
        yield f"In mode `on`: {_imagined(turn)}."
    if told := advice(turn):
        yield told


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
    repeated = why.text.startswith(turn.meaning.removesuffix("."))
    yield "", "" if repeated else turn.meaning
    yield ("" if repeated else "in this case"), printable(why.text, _WIDE)
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
    yield "means", consequence(turn)
    yield "to do", advice(turn)
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
    """When it ended."""
    return _moment(turn.ended_at, day=day)


def _moment(at: float, *, day: bool = False) -> str:
    """The local time, with the day where that was not today."""
    moment, now = datetime.fromtimestamp(at).astimezone(), datetime.now().astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S" if day or moment.date() != now.date() else "%H:%M:%S")
