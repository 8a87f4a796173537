"""The matrix: each fault, at each place where it can fall, comes to what the table says, and the next turn is right."""

from itertools import product
from typing import get_args

import pytest

from proxy.config import Lanes
from proxy.core.recovery import RULES, Rule
from tests.e2e.matrix import dialling, probing, resting, shared, streaming, twice
from tests.e2e.matrix.course import Case, cases
from tests.e2e.matrix.mishap import Place
from tests.e2e.matrix.play import Authority, play
from tests.upstream.authority import certificate

PARTS = (dialling, probing, streaming, twice, shared, resting)
CASES = [case for part in PARTS for mishap in part.mishaps() for case in cases(mishap)]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Made once: a key takes its time."""
    context, path = certificate(tmp_path_factory.mktemp("authority"))
    return Authority(context, str(path))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_the_caller_sees_what_the_table_says(case: Case, authority: Authority) -> None:
    """Status, body, headers, what the upstream ran, the record; then the next turn, as a delta where it can be."""
    await play(case, authority)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.fault.name}-{rule.action.name}-{RULES.index(rule)}")
def test_each_rule_decides_a_case(rule: Rule) -> None:
    """A rule that nothing reaches would promise what cannot be seen to hold; each is played in each of its phases."""
    phases = {taken.step.phase for case in CASES for taken in case.course if taken.rule is rule}
    assert phases == set(rule.phases)


def test_each_place_is_played_in_each_shape() -> None:
    """At every place: streaming callers and others, first turns and continuations, with and without lanes."""
    shapes = {(case.mishap.place, case.stream, case.later, case.lanes) for case in CASES}
    both, lanes = (False, True), get_args(Lanes)[1:]
    only_first, only_later = {Place.PROBING}, {Place.IDLE, Place.SHARED, Place.TWICE}
    for place in Place:
        turns = [later for later in both if place not in (only_first if later else only_later)]
        where_it_matters = {Place.DIALLING: ["off"], Place.TERMINAL: ["off"], Place.SHARED: ["on"]}
        for wanted in product([place], both, turns, where_it_matters.get(place, lanes)):
            assert wanted in shapes


def test_no_two_cases_have_one_name() -> None:
    """A failure names its case."""
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))
