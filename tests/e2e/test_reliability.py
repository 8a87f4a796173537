"""docs/reliability.md: made from the recovery table and the settings, and complete."""

import re

from proxy.core.recovery import RULES, Action, Fault, Phase
from proxy.settings_sources import leaves
from tests.e2e.matrix.page import BOUNDS, HAPPENED, IF, LIMITS, MEANS, PAGE, SETTINGS, page
from tests.e2e.matrix.sight import CONTINUES, FULL, PLAIN, SIGHTS


def test_the_page_is_what_the_table_says() -> None:
    """docs/reliability.md is made of the table as it is; `python -m tests.e2e.matrix.page` writes it."""
    assert PAGE.read_text("utf-8") == page()


def test_everything_has_words() -> None:
    """Each fault, each fact that a rule asks for and each action that ends a turn is explained; nothing else is."""
    assert HAPPENED.keys() == set(Fault)
    assert IF.keys() == {fact for rule in RULES for fact in rule.where}
    assert SIGHTS.keys() == MEANS.keys() == set(Action) - CONTINUES


def test_every_rule_has_its_row() -> None:
    """A rule is a row for each of its phases, in the table's order, below its fault."""
    sections = page().split("\n### ")[1:]
    rows = [len(re.findall(r"^\| (?:before|after) ", section, re.MULTILINE)) for section in sections]
    assert rows == [sum(len(rule.phases) for rule in RULES if rule.fault is fault) for fault in Fault]


def test_reasons_are_given_where_the_table_needs_them() -> None:
    """A fault has a reason for plain HTTP, or for sending in full, exactly where a rule does that."""
    again = {Action.REPLAY_HERE, Action.REPLAY_ELSEWHERE}
    assert PLAIN.keys() == {rule.fault for rule in RULES if rule.action is Action.HTTP}
    assert FULL.keys() == {rule.fault for rule in RULES if rule.action in again}


def test_the_settings_that_it_names_exist() -> None:
    """No setting is made up, and every limit says what it bounds."""
    known = {leaf.key for leaf in leaves()}
    assert {name for names in SETTINGS.values() for name in names} | set(LIMITS) <= known
    assert BOUNDS.keys() == set(LIMITS)
    assert set(re.findall(r"`((?:pool|timeouts|limits|upstream)\.\w+)`", page())) <= known


def test_what_may_run_twice_is_said() -> None:
    """Only a row that sends again what may have run says yes; none that is reached before the turn was sent does."""
    for row in re.findall(r"^\| before the turn was sent .*$", page(), re.MULTILINE):
        assert row.endswith("| no |"), Phase.UNSENT
    assert re.search(
        r"^\| before its first event \|  \| sends everything again on another socket .* \| yes \|$",
        page(),
        re.MULTILINE,
    )
