"""docs/simulator.md is complete."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from proxy.cli.simulate import simulate
from proxy.simulator import Behaviour, possible
from proxy.simulator.errors import ErrorShape, LaneRefusal
from proxy.simulator.faults import KINDS, PLACES, TURN_PLACES
from proxy.simulator.oracle import Directive

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text("utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the table whose first heading is this, by their first cell."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()]
    return {row[0].strip("` |"): row[1:] for row in cells}


def test_every_option_is_in_the_table() -> None:
    """The fields of Behaviour, in their order, and none besides."""
    assert list(rows("field")) == [field.name for field in fields(Behaviour)]


def test_every_flag_exists_and_is_documented() -> None:
    """Each option's flag is one of the command's, and each flag of the command is on the page."""
    known = {name for option in simulate.params for name in (*option.opts, *option.secondary_opts)}
    for name, (flags, *_) in rows("field").items():
        named = re.findall(r"--[a-z-]+", flags)
        assert named or "(Python only)" in flags, name
        assert set(named) <= known
    assert {name for name in known if name.startswith("--")} - set(re.findall(r"--[a-z-]+", PAGE)) == {
        # their other form is in the table
        *("--websocket", "--compress", "--lanes", "--steering", "--honours-store", "--echo-paths", "--verbose"),
        *("--no-once-only-parents", "--no-lenient-ids", "--no-summaries-count", "--no-cors"),
    }


@pytest.mark.parametrize(
    "name", ["websocket_refusal", "named_lanes", "in_flight", "age_limit", "store_limit", "seed", "not_found_status"]
)
def test_defaults_are_the_real_ones(name: str) -> None:
    """Numbers in the table are the defaults."""
    assert float(rows("field")[name][1]) == getattr(Behaviour(), name)


def test_the_choices_are_named() -> None:
    """Every shape of an error, and everything that may come of a lane where there are none, is on the page."""
    assert all(f"`{word}`" in PAGE for word in (*get_args(ErrorShape), *get_args(LaneRefusal)))


def test_places_and_kinds_of_faults_are_in_the_tables() -> None:
    """All places, all kinds, and for each kind the places where it can happen."""
    assert list(rows("place")) == list(PLACES)
    table = rows("what")
    assert list(table) == list(KINDS)
    for what in KINDS:
        places = table[what][-1].strip(" |")
        words = {
            "upgrade": {"upgrade"},
            "turns": TURN_PLACES,
            "now": {"now"},
            "turns, but not `end`": TURN_PLACES - {"end"},
            "everywhere": set(PLACES),
        }
        told = words.get(places) or {place for word in places.split(", ") for place in words[word]}
        assert told == {where for where in PLACES if possible(where, what)}


def test_directives_are_in_the_table() -> None:
    """All words that steer the model."""
    assert list(rows("word")) == [field.name for field in fields(Directive)]
