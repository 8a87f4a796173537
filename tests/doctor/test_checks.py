"""Checks: their names and order, how long one waits, and the page that explains them."""

import re

from proxy.doctor.checks import NAMES, failed, limit, note, ok, skipped
from tests.cli.process import ROOT

PAGE = (ROOT / "docs" / "doctor.md").read_text("utf-8")


def test_the_page_has_each_check_in_its_order() -> None:
    """docs/doctor.md says of every check, and of no other, what its failure means and what to do."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert tuple(name for name, _, _ in rows) == NAMES
    assert all(len(meaning) > 20 and todo for _, meaning, todo in rows)


def test_what_a_finding_is() -> None:
    """Each state has its own way of being said; what failed always has advice."""
    assert [finding.state for finding in (ok("dns", "a"), note("dns", "a"), skipped("dns", "a"))] == [
        "ok",
        "note",
        "skipped",
    ]
    assert (failed("dns", "a", "b").state, failed("dns", "a", "b").advice) == ("failed", "b")


def test_no_wait_is_long() -> None:
    """A setting shortens the wait for an answer, and never makes it longer than some seconds."""
    assert limit(0.5) == 0.5
    assert limit(600.0) <= 5.0
