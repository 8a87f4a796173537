"""docs/observe.md: its lines are those that are printed, its words are known, and its limits are the real ones."""

import re
from pathlib import Path
from typing import get_args

import click

from proxy.cli import cli
from proxy.config import Mode
from proxy.core.coding import Decoder
from proxy.core.reasons import Plain, Reason, Route, Whole
from proxy.server.handler import _MODES
from proxy.settings_sources import FLAGS
from proxy.telemetry.logs import turn_line
from proxy.telemetry.summary import Observed
from proxy.turns.outcome import End, Outcome, Would
from proxy.turns.tap import MIB, MOST, MOST_AT_ONCE, MOST_EVENTS, MOST_JSON, MOST_LINES, MOST_TIMES, MOST_VALUES

PAGE = (Path(__file__).parents[2] / "docs" / "observe.md").read_text("utf-8")
WORDS = " ".join(PAGE.split())


def line(size: int, would: tuple[Route, Reason | None, int], first: float, total: float) -> str:
    """The line of a turn that was observed."""
    outcome = Outcome("ol_1", Route.HTTP, Plain.OBSERVED, status=200, end=End.PASSED)
    outcome.request_bytes = outcome.sent_bytes = size
    outcome.first_event_seconds, outcome.total_seconds, outcome.would = first, total, Would(*would)
    return turn_line(outcome)


def test_its_lines_are_those_of_such_turns() -> None:
    """Each is what the log writes."""
    (quoted,) = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert quoted.splitlines() == [
        line(48_213, (Route.FULL, Whole.FIRST, 48_097), 0.912, 2.31),
        line(50_902, (Route.DELTA, None, 2_981), 0.874, 1.9),
        line(53_781, (Route.DELTA, None, 3_104), 0.89, 2.04),
        line(50_902, (Route.FULL, Whole.PARENT_CONTINUED, 50_786), 0.88, 1.97),
        line(1_214, (Route.HTTP, Plain.SEMANTIC_HEADER, 1_214), 0.64, 1.12),
    ]


def test_its_reasons_exist() -> None:
    """Each word that it sets as a reason is one, of the route that it gives."""
    assert {
        f"`{reason}`" for reason in (Plain.POOL_FULL, Plain.NO_WEBSOCKET, Whole.HOST_UNVERIFIED, Whole.NO_MATCH)
    } <= set(re.findall(r"`[^`\n]+`", PAGE))
    assert f"`full ({Whole.UNCLEAR_OUTPUT})`" in PAGE
    assert f"`x-openline-reason: {Plain.OBSERVED}`" in PAGE


def test_its_fields_exist() -> None:
    """Those of a record, and those of a summary."""
    for name in (*Would.__slots__, *Observed.__slots__, "would", "observed"):
        assert f"`{name}`" in PAGE
    assert "would" in Outcome.__slots__


def test_its_limits_are_the_real_ones() -> None:
    """Sizes, and the codings that are undone."""
    assert f"up to {MOST // MIB} MiB and {MOST_EVENTS:,} events of a stream, {MOST_JSON // MIB} MiB of JSON" in WORDS
    assert f"{MOST_JSON // MIB} MiB with {MOST_VALUES:,} values" in WORDS
    assert f"up to {MOST_AT_ONCE // MIB} MiB unpacked and {MOST_LINES:,} lines" in WORDS
    assert f"more than {MOST_TIMES} times its size" in WORDS
    for name in ("gzip", "deflate", "br", "zstd"):
        assert f"`{name}`" in PAGE
        assert not Decoder(name).whole


def test_its_ways_to_switch_exist() -> None:
    """Commands, flags, values and the header."""
    assert "observe" in get_args(Mode)
    assert FLAGS["mode"] == "--mode"
    assert "on" in _MODES
    named = {words.split()[1] for words in re.findall(r"`(openline [^`]+)`", PAGE)}
    assert named == {"run", "mode", "explain", "exec", "doctor"}
    assert named <= set(cli.list_commands(click.Context(cli)))
