"""Table: what a run ends with on the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from tests.clients.record import Measured
from tests.clients.run import Pair

_MARKS: Mapping[str, str] = {
    "same": "same",
    "healed": "healed",
    "wrong": "WRONG",
    "": "-",
}


def table(found: Mapping[str, Measured], scripts: Sequence[str]) -> str:
    """One line for each client and mode, one column for each script."""
    rows = [("client", "deltas", *scripts), *_rows(found, scripts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)


def told(pair: Pair) -> str:
    """Both sides of one script, turn by turn."""
    lines = [f"{pair.client.name}/{pair.mode}: {pair.script.title}"]
    for name, side in (("directly", pair.direct), ("proxied", pair.proxied)):
        for number, turn in enumerate(side.turns):
            went = (f"{call.path.removeprefix('/v1')} {call.status} {call.route} {call.reason}" for call in turn.calls)
            cut = " cut" if turn.calls and turn.calls[-1].cut else ""
            lines.append(f"  {name} {number + 1}: {', '.join(each.strip() for each in went)}{cut}")
            lines += [f"    {reply}" for reply in turn.replies]
    return "\n".join(lines)


def _rows(found: Mapping[str, Measured], scripts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for name, measured in found.items():
        for mode, went in measured.modes.items():
            marks = (_MARKS[went.scripts.get(script, "")] for script in scripts)
            yield (f"{name}/{mode}", went.share, *marks)
