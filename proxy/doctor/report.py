"""A report: the findings as lines for a person, or as JSON for a program."""

import textwrap
from collections.abc import Sequence

import msgspec

from proxy.doctor.checks import NAMES, Finding

_STATE = max(map(len, ("ok", "failed", "skipped", "note"))) + 1
_INDENT = _STATE + max(map(len, NAMES)) + 2


def line(finding: Finding, width: int | None = None) -> str:
    """State, name, text and advice; more than one line only where it is to fit a terminal of this width."""
    head = f"{finding.state:<{_STATE}}{finding.name:<{_INDENT - _STATE}}"
    text = head + "; ".join(part for part in (finding.text, finding.advice) if part)
    if width is None or width < 2 * _INDENT:
        return text
    return textwrap.fill(text, width, subsequent_indent=" " * _INDENT, break_long_words=False, break_on_hyphens=False)


def conclusion(findings: Sequence[Finding]) -> str:
    """The last line: what failed, by name, and how much was left out."""
    bad = [finding.name for finding in findings if finding.state == "failed"]
    out = sum(finding.state == "skipped" for finding in findings)
    said = f"{len(bad)} failed: {', '.join(bad)}" if bad else "nothing failed"
    return f"openline: {said}" + (f"; {out} not looked at" if out else "")


def as_json(findings: Sequence[Finding]) -> str:
    """A list of objects, each with name, state, text and advice; on one line."""
    return msgspec.json.encode(findings).decode()
