"""Advice: one line for whatever somebody can do something about."""

import re
from typing import get_args

import click
import msgspec
import pytest

from proxy.cli import cli
from proxy.cli.advice import BY_KIND, BY_REASON, advice, consequence
from proxy.cli.turns import Turn
from proxy.core.explanation import Kind
from proxy.core.reasons import MEANINGS
from proxy.settings_sources import FLAGS, leaves
from tests.cli.process import ROOT

LINES = [*BY_KIND.values(), *BY_REASON.values()]


def turn(**fields: object) -> Turn:
    """One that says so much."""
    return msgspec.convert({"id": "ol_1", "route": "full", **fields}, Turn)


@pytest.mark.parametrize(
    ("fields", "begins"),
    [
        ({"reason": "no_match", "why": {"kind": "item", "item": 2, "item_type": "reasoning"}}, "Send the reasoning"),
        ({"reason": "no_match", "why": {"kind": "item", "item": 2, "paths": ["content"]}}, "Send it back as it came"),
        ({"reason": "no_match", "why": {"kind": "item", "item": 2, "item_type": "message"}}, "Send back all"),
        ({"reason": "no_match", "why": {"kind": "item"}}, ""),
        ({"reason": "no_match", "why": {"kind": "setting", "settings": ["tools"]}}, "For deltas it has to be the same"),
        ({"reason": "evicted", "why": {"kind": "setting", "settings": ["tools"]}}, "For deltas it has to be the same"),
        ({"reason": "connection_lost", "why": {"kind": "connection"}}, "Nothing to do, unless it is frequent"),
        ({"reason": "evicted", "why": {"kind": "connection"}}, "If it is frequent, raise heads.max_count"),
        ({"reason": "truncation", "why": {"kind": "setting", "settings": ["truncation"]}}, "For deltas leave"),
        ({"reason": "forced", "why": {"kind": "other"}}, ""),
        ({"reason": "eclipse"}, ""),
    ],
)
def test_it_goes_by_what_was_found(fields: dict[str, object], begins: str) -> None:
    """What a comparison found counts ahead of the reason; where nothing is to be done, nothing is said."""
    said = advice(turn(**fields))
    assert said.startswith(begins)
    assert bool(said) == bool(begins)


def test_a_bad_end_has_a_meaning() -> None:
    """For the caller; any other end has none."""
    assert consequence(turn(end="cut")).startswith("The caller saw its answer break off")
    assert consequence(turn(end="error", status=502)) == "The caller got 502 for an answer."
    assert consequence(turn(end="error", status=200)) == "The answer ended with an error."
    assert consequence(turn(end="completed")) == ""


def test_it_is_for_what_there_is() -> None:
    """Reasons, kinds, settings, flags, commands and pages that are named exist."""
    assert set(BY_REASON) <= {reason.value for reason in MEANINGS}
    assert set(get_args(Kind)) - {"other"} <= set(BY_KIND)
    keys = {leaf.key for leaf in leaves()}
    for line in LINES:
        pages = set(re.findall(r"docs/\w+\.md", line))
        assert all((ROOT / page).is_file() for page in pages)
        assert set(re.findall(r"\b(?:pool|heads|upstream)\.\w+", line)) <= keys
        assert set(re.findall(r"--\w+", line)) <= set(FLAGS.values())
        for name in re.findall(r"openline (\w+)", line):
            assert cli.get_command(click.Context(cli), name)


def test_it_is_one_line_of_words() -> None:
    """No class of Python is named in it."""
    assert not any("\n" in line or re.search(r"[a-z][A-Z]\w*Error|Timeout", line) for line in LINES)
