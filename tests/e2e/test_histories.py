"""docs/histories.md: every row of its tables is played, and every cell is what happens."""

import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from proxy.config import Match, Pool, Settings
from proxy.core.lanes import MOST_IN_FLIGHT, MOST_NAMED, RESTED_SECONDS, SINGLE_SECONDS
from proxy.server import app
from proxy.simulator import Behaviour
from proxy.upstream import choice, drain
from tests.cli.daemons import free_port
from tests.core.documented import MODELS
from tests.e2e.histories import PLAYS
from tests.e2e.history_items import ASKED, CASES
from tests.e2e.shapes import Script
from tests.e2e.stack import stack
from tests.e2e.stage import Stage
from tests.e2e.test_captures import LIKE_OPENAI
from tests.e2e.test_hosts import Clock
from tests.e2e.test_shapes import SHAPES, at

PAGE = (Path(__file__).parents[2] / "docs" / "histories.md").read_text("utf-8")


@dataclass(frozen=True)
class Column:
    """A kind of host and of caller, under the heading that they have on the page."""

    heading: str
    store: bool = False
    lanes: bool = False
    match: Match = "faithful"


LANES, NO_LANES = Column("unstored, lanes", lanes=True), Column("unstored, no lanes")
STORED, STORED_LANES = Column("stored", store=True), Column("stored", store=True, lanes=True)
RELAXED = Column('`match = "relaxed"`', match="relaxed")


def cells(line: str) -> list[str]:
    """The cells of a row."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def tables(heading: str) -> dict[str, dict[str, str]]:
    """The rows of all tables whose first heading is this: first cell → heading → cell."""
    found: dict[str, dict[str, str]] = {}
    for top, body in re.findall(rf"^(\| {heading} \|.*)\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        for name, *rest in map(cells, body.splitlines()):
            assert name not in found, "each row has a name of its own"
            found[name] = dict(zip(cells(top)[1:], rest, strict=True))
    return found


HAPPENS, HOLDS = tables("What happens"), tables("What the request holds")


def told(ways: Sequence[str]) -> str:
    """How turns went, as a cell says it."""
    if len(ways) == 1:
        return ways[0]
    counted = sorted(Counter(ways).items())
    return ", ".join(f"{count} {way}{'s' if way == 'delta' and count > 1 else ''}" for way, count in counted)


@pytest.fixture
async def stage(column: Column, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """A host and a caller of this column."""
    clock = Clock()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("proxy.upstream.pool.time", clock)
    upstream = msgspec.structs.replace(LIKE_OPENAI, lanes="on" if column.lanes else "off")
    behaviour = Behaviour(lanes=column.lanes, clock=clock.monotonic)
    async with (
        stack(behaviour, Settings(match=column.match, upstream=upstream)) as running,
        contextlib.AsyncExitStack() as lives,
    ):
        yield Stage(running, column.store, clock, tmp_path, free_port(), lives)


def by_column(*columns: Column) -> pytest.MarkDecorator:
    """Once for each of these."""
    return pytest.mark.parametrize(
        "column", [pytest.param(one, id=f"{one.heading}{' lanes' if one is STORED_LANES else ''}") for one in columns]
    )


@by_column(LANES, NO_LANES, STORED, STORED_LANES)
@pytest.mark.parametrize("happens", PLAYS)
async def test_what_happens_goes_as_its_row_says(happens: str, column: Column, stage: Stage) -> None:
    """A row played in a column goes as its cell says; the turn after that is a delta, whatever it was."""
    went = await PLAYS[happens](stage)
    assert told([each.way for each in went]) == HAPPENS[happens][column.heading]
    for each in went:
        assert (await stage.turn(each.talk)).way == "delta"


@by_column(LANES, NO_LANES, STORED, RELAXED)
@pytest.mark.parametrize("holds", ASKED)
async def test_what_a_request_holds_goes_as_its_row_says(holds: str, column: Column, stage: Stage) -> None:
    """So do strings, references and settings."""
    assert await ASKED[holds](stage) == HOLDS[holds][column.heading]


@by_column(LANES, NO_LANES, STORED, RELAXED)
@pytest.mark.parametrize("holds", CASES)
async def test_what_a_history_holds_goes_as_its_row_says(holds: str, column: Column, stage: Stage) -> None:
    """So does each shape that a row stands for: the turn that the row is about, or each after the first."""
    for name, turn in CASES[holds]:
        sim, rounds = stage.running.sim, SHAPES[name]
        sim.behaviour = replace(sim.behaviour, model=Script(rounds))
        # Each is a conversation of its own, as another cache key makes it.
        talks = [at(rounds, number, store=column.store, prompt_cache_key=name) for number in range(len(rounds))]
        ways = [(await stage.turn(talk)).way for talk in talks]
        assert set(ways[1:] if turn is None else [ways[turn]]) == {HOLDS[holds][column.heading]}, name


def test_every_row_is_played() -> None:
    """No row of the page is without a play, and no play without a row."""
    assert list(HAPPENS) == list(PLAYS)
    assert HOLDS.keys() == ASKED.keys() | CASES.keys()


def test_every_shape_has_its_row() -> None:
    """Each shape is in a row, each documented type is named, and only in a row whose shapes hold it."""
    assert {name for cases in CASES.values() for name, _ in cases} == SHAPES.keys()
    named = {row: set(re.findall(r"`(\w+)`", row)) & MODELS.keys() for row in HOLDS}
    assert set().union(*named.values()) | {"message"} == MODELS.keys()
    for row, cases in CASES.items():
        items = [item for name, _ in cases for one in SHAPES[name] for item in (*one.adds, *one.says)]
        assert named[row] <= {str(item.get("type", "message")) for item in items}


@by_column(LANES, NO_LANES)
async def test_thirteen_conversations_share_a_socket(column: Column, stage: Stage) -> None:
    """With lanes the fourteenth opens a second one; without, each has its own."""
    for number in range(1, 15):
        await stage.begun(f"I am {number}. [[rounds=0]]")
        assert len(stage.running.sim.handshakes) == ((number > 13) + 1 if column.lanes else number)


def test_the_numbers_are_those_of_the_code() -> None:
    """What the page says of lanes, sockets and times is what the code goes by."""
    limits = Pool()
    for words in (
        f"{MOST_NAMED} names",
        f"{MOST_IN_FLIGHT} turns",
        f"{choice._FEW} conversations",
        f"{choice._ENOUGH} connections",
        f"rested for {RESTED_SECONDS:.0f} s",
        f"({SINGLE_SECONDS:.0f} s, and before all others",
        f"for {drain._SECONDS:.0f} s and {drain._BYTES // 1024} KiB",
        f"`pool.max_connections_per_key` ({limits.max_connections_per_key})",
        f"every {app._SAVE_SECONDS:.0f} s",
        f"within {app._SAVE_SECONDS:.0f} s of the answer",
    ):
        assert words in PAGE
