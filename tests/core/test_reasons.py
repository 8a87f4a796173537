"""Reasons: one list, each explained, used and documented. `python -m tests.core.test_reasons` writes the page."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from proxy.core.reasons import MEANINGS, ROUTES, Passed, Plain, Reason, Route, Whole

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reasons.md"
GROUPS: dict[Route, type[Passed | Whole | Plain]] = {
    Route.FULL: Whole,
    Route.HTTP: Plain,
    Route.PASSTHROUGH: Passed,
}
HEAD = """# Routes and reasons

Every answer says in `x-openline-route` how its request went, and in `x-openline-reason` why it was not a delta. The
log, the metrics and the dashboard use the same words. (`python -m tests.core.test_reasons` writes this page.)
"""


def page() -> str:
    """The page that explains every route and reason."""
    parts = [HEAD, *_rows("Route", ((route.value, ROUTES[route]) for route in Route))]
    for route, reasons in GROUPS.items():
        parts += ["", f"## Reasons for `{route.value}`", ""]
        parts += _rows("Reason", ((reason.value, MEANINGS[reason]) for reason in reasons))
    return "\n".join(parts) + "\n"


def _rows(name: str, rows: Iterator[tuple[str, str]]) -> list[str]:
    return [f"| {name} | Meaning |", "|---|---|", *(f"| `{word}` | {meaning} |" for word, meaning in rows)]


def reasons() -> list[Reason]:
    """All reasons."""
    return [*Passed, *Whole, *Plain]


def test_every_route_and_reason_is_explained() -> None:
    """Each has a meaning, and nothing else has."""
    assert set(ROUTES) == set(Route)
    assert set(MEANINGS) == set(reasons())


@pytest.mark.parametrize("text", [*ROUTES.values(), *MEANINGS.values()])
def test_a_meaning_is_one_line_that_ends(text: str) -> None:
    """It fits into a row of the page and reads as a sentence."""
    assert re.fullmatch(r"[^|\n]{20,150}\.", text)


def test_no_two_reasons_have_the_same_word() -> None:
    """The word alone, as in the header, tells which it is, but for those that say the same of two routes."""
    words = [reason.value for reason in reasons()]
    assert len(words) == len(set(words))
    assert not set(words) & {route.value for route in Route}


@pytest.mark.parametrize("word", [*Route, *Passed, *Whole, *Plain])
def test_words_fit_headers_and_labels(word: StrEnum) -> None:
    """Lower-case letters and underscores only, as in the enumeration, and no longer than the log's column."""
    assert re.fullmatch(r"[a-z_]{2,16}", word.value)
    assert word.name.lower() == word.value


def test_every_reason_is_given_somewhere() -> None:
    """A reason that no code gives would document what cannot happen."""
    named: set[tuple[str, str]] = set()
    for module in (ROOT / "proxy").rglob("*.py"):
        if module.name != "reasons.py":
            for node in ast.walk(ast.parse(module.read_text("utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    named.add((node.value.id, node.attr))
    assert {(type(reason).__name__, reason.name) for reason in reasons()} <= named
    assert {("Route", route.name) for route in Route} <= named


def test_the_page_is_what_the_list_says() -> None:
    """docs/reasons.md is complete and equal to the code."""
    assert PAGE.read_text("utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
