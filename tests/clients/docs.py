"""Docs: the measured part of docs/clients.md, between its two marks; the rest of that page is written by hand."""

import re
from collections.abc import Iterator, Mapping

from tests.clients import catalogue, record
from tests.clients.environment import ROOT
from tests.clients.record import Measured, Mode
from tests.clients.verdict import FOOLED

PAGE = ROOT / "docs" / "clients.md"
_BEGIN = "<!-- measured: written by `python -m tests.clients --write-docs` -->"
_HOW = ("direct", "cut", "failed")
_END = "<!-- end of what was measured -->"


def write() -> None:
    """Write the page anew from the record."""
    PAGE.write_text(page(PAGE.read_text("utf-8"), record.read()), "utf-8")


def page(text: str, found: Mapping[str, Measured]) -> str:
    """`text` with its measured part made of `found`. ValueError where it lacks the marks."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name}: {_BEGIN} and {_END} must stand in it")
    known = {client.name: found[client.name] for client in catalogue.CLIENTS if client.name in found}
    return "\n".join((f"{before}{begin}", "", *_measured(known), "", f"{end}{after}"))


def _measured(found: Mapping[str, Measured]) -> Iterator[str]:
    yield "| Client | Version, day | Set-up | Continuations sent as deltas | Scripts as promised | Limits |"
    yield "|---|---|---|---|---|---|"
    for name, measured in found.items():
        yield _row(name, measured)
    yield ""
    yield "What each does when the line is cut in mid-answer:"
    yield ""
    yield '| Client | Plain HTTP | `after_loss = "cut"` | `after_loss = "failed"` |'
    yield "|---|---|---|---|"
    for name, measured in found.items():
        told = {mode: _cut(went) for mode, went in measured.modes.items() if len(went.cut) == len(_HOW)}
        for did, modes in _alike(told).items():
            yield f"| {catalogue.BY_NAME[name].title} ({', '.join(modes)}) | {did} |"
    yield ""
    yield from _conclusion(found)


def _conclusion(found: Mapping[str, Measured]) -> Iterator[str]:
    """What the table of cuts says about the default of `after_loss`."""
    went = [
        (f"{catalogue.BY_NAME[name].title} ({mode})", each.cut)
        for name, one in found.items()
        for mode, each in one.modes.items()
    ]
    cuts = [(name, cut) for name, cut in went if len(cut) == len(_HOW)]
    for how in ("cut", "failed"):
        fooled = [name for name, cut in cuts if FOOLED in cut[how] and FOOLED not in cut["direct"]]
        like = sum(cut[how] == cut["direct"] for _, cut in cuts)
        spared = sum(cut[how] == "answered" != cut["direct"] for _, cut in cuts)
        told = f"{like} of {len(cuts)} did as over plain HTTP, {spared} never saw the fault"
        tricked = (
            f"took a part for the whole answer: {', '.join(fooled)}" if fooled else "none took a part for the whole"
        )
        yield f'- `after_loss = "{how}"`: {told}; {tricked}.'


def _row(name: str, measured: Measured) -> str:
    client = catalogue.BY_NAME[name]
    setup = "<br>".join(f"`{line}`" if not line.startswith("(") else line for line in client.setup)
    versions = ", ".join(f"{package} {version}" for package, version in measured.versions.items())
    shares = [f"{', '.join(modes)}: {share}" for share, modes in _alike(_shares(measured)).items()]
    went = [_went(mode, each) for mode, each in measured.modes.items()]
    total = sum(len(each.scripts) for each in measured.modes.values())
    fine = sum(state != "wrong" for each in measured.modes.values() for state in each.scripts.values())
    promised = f"{fine} of {total}" + "".join(f"<br>{each}" for each in went if each)
    cells = (
        client.title,
        f"{versions}, {measured.day}",
        setup,
        "<br>".join(shares),
        promised,
        client.limits or "none known",
    )
    return f"| {' | '.join(cells)} |"


def _shares(measured: Measured) -> dict[str, str]:
    return {mode: went.share + _reasons(went) for mode, went in measured.modes.items()}


def _reasons(went: Mode) -> str:
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(went.reasons.items()))
    return f" ({told})" if told else ""


def _went(mode: str, went: Mode) -> str:
    wrong = [script for script, state in went.scripts.items() if state == "wrong"]
    return f"not in {mode}: {', '.join(wrong)}" if wrong else ""


def _cut(went: Mode) -> str:
    return " | ".join(re.sub(r"\|", "/", went.cut[how]) for how in _HOW)


def _alike(said: Mapping[str, str]) -> dict[str, list[str]]:
    """The modes of which the same is to be said, together."""
    together: dict[str, list[str]] = {}
    for mode, text in said.items():
        together.setdefault(text, []).append(mode)
    return together
