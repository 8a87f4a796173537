"""Docs: the measured part of docs/clients.md, between its two marks; the rest of that page is written by hand."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from tests.clients import catalogue, record
from tests.clients.client import Client
from tests.clients.environment import ROOT
from tests.clients.record import Measured, Mode
from tests.clients.verdict import FOOLED

PAGE = ROOT / "docs" / "clients.md"
_BEGIN = "<!-- measured: written by `python -m tests.clients --write-docs` -->"
_HOW = ("direct", "cut", "failed")
_TOLD = {"relaxed": 'with `match = "relaxed"`', "openai": "at api.openai.com"}
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
    known = [(client, found[client.name]) for client in catalogue.CLIENTS if client.name in found]
    return "\n".join((f"{before}{begin}", "", *_measured(known), "", f"{end}{after}"))


def _measured(found: Sequence[tuple[Client, Measured]]) -> Iterator[str]:
    yield from _table(found)
    for client, measured in found:
        yield from ("", *_section(client, measured))
    yield from ("", "### The line cut in mid-answer", "")
    yield '| Client | Plain HTTP | `after_loss = "cut"` | `after_loss = "failed"` |'
    yield "|---|---|---|---|"
    for client, measured in found:
        told = {mode: _cut(went) for mode, went in measured.modes.items() if len(went.cut) == len(_HOW)}
        for did, modes in _alike(told).items():
            yield f"| {client.title} ({', '.join(modes)}) | {did} |"
    yield ""
    yield from _conclusion(found)


def _table(found: Sequence[tuple[Client, Measured]]) -> Iterator[str]:
    """One short line for each client."""
    yield "| Client | Version | Sent as deltas | Scripts as promised |"
    yield "|---|---|---|---|"
    for client, measured in found:
        version = measured.versions[client.packages.wanted[0]]
        plain = (went for mode, went in measured.modes.items() if "+" not in mode)
        percents = " or ".join(dict.fromkeys(went.percent for went in plain))
        there = next((went.percent for mode, went in measured.modes.items() if mode.endswith("+openai")), "")
        percents += f" ({there} at api.openai.com)" if there else ""
        states = [state for went in measured.modes.values() for state in went.scripts.values()]
        fine = f"{len(states) - states.count('wrong')} of {len(states)}"
        yield f"| [{client.title}](#{_anchor(client.title)}) | {version} | {percents} | {fine} |"


def _section(client: Client, measured: Measured) -> Iterator[str]:
    """How one client is set up, and what was measured of it."""
    yield from (f"### {client.title}", "")
    for note, lines in itertools.groupby(client.setup, lambda line: line.startswith("(")):
        said = list(lines)
        yield from [line[1:-1] for line in said] if note else ("```text", *said, "```")
        yield ""
    versions = ", ".join(f"{package} {version}" for package, version in measured.versions.items())
    yield f"- Measured on {measured.day} with {versions}."
    told = {_named(mode): went.percent + _reasons(went) for mode, went in measured.modes.items()}
    shares = "; ".join(f"{', '.join(modes)} {share}" for share, modes in _alike(told).items())
    yield f"- Continuations sent as deltas: {shares}."
    for mode, went in measured.modes.items():
        wrong = [script for script, state in went.scripts.items() if state == "wrong"]
        if wrong:
            yield f"- Not as promised in {mode}: {', '.join(wrong)}."
    yield f"- Limits: {client.limits or 'none known'}."


def _conclusion(found: Sequence[tuple[Client, Measured]]) -> Iterator[str]:
    """What the table of cuts says about the default of `after_loss`."""
    went = [(f"{client.title} ({mode})", each.cut) for client, one in found for mode, each in one.modes.items()]
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


def _named(mode: str) -> str:
    """A mode for a reader: what follows its `+` is what Openline was told."""
    way, _, name = mode.partition("+")
    return f"{way} {_TOLD[name]}" if name else way


def _reasons(went: Mode) -> str:
    told = ", ".join(f"{count} of {went.continuations} {reason}" for reason, count in sorted(went.reasons.items()))
    return f" ({told})" if told else ""


def _anchor(title: str) -> str:
    """Where a heading is found on its page, by GitHub's rule."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _cut(went: Mode) -> str:
    return " | ".join(re.sub(r"\|", "/", went.cut[how]) for how in _HOW)


def _alike(said: Mapping[str, str]) -> dict[str, list[str]]:
    """The modes of which the same is to be said, together."""
    together: dict[str, list[str]] = {}
    for mode, text in said.items():
        together.setdefault(text, []).append(mode)
    return together
