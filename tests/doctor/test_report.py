"""The report: lines that can be read down their columns, and the same as JSON."""

import json

from proxy.doctor.checks import failed, note, ok, skipped
from proxy.doctor.report import as_json, conclusion, line

ALL_FINE = [ok("dns", "fine"), note("lanes", "none")]
SOME_BAD = [failed("port", "taken", "choose another"), failed("tls", "no", "do"), skipped("ids", "see tls")]


def test_a_line_has_its_columns() -> None:
    """State, name and text begin at the same places in every line; the advice comes last."""
    assert line(ok("dns", "fine")) == "ok      dns         fine"
    assert line(skipped("credential", "none", "set it")) == "skipped credential  none; set it"
    assert line(SOME_BAD[0]) == "failed  port        taken; choose another"


def test_a_terminal_gets_lines_that_fit() -> None:
    """What is too long for a terminal goes on under the text; a terminal too narrow for that gets it as it is."""
    long = failed("tls", "a-word " * 20, "b " * 20)
    lines = line(long, 60).split("\n")
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60
    assert all(one.startswith(" " * 20) and one[20] != " " for one in lines[1:])
    assert "\n" not in line(long)
    assert "\n" not in line(long, 30)


def test_the_last_line_says_what_failed() -> None:
    """And what was left out, so that nobody takes it for fine."""
    assert conclusion(ALL_FINE) == "openline: nothing failed"
    assert conclusion(SOME_BAD) == "openline: 2 failed: port, tls; 1 not looked at"


def test_json_has_all_of_it() -> None:
    """A list of objects in the order of the lines, itself on one line."""
    assert json.loads(as_json(SOME_BAD))[0] == {
        "name": "port",
        "state": "failed",
        "text": "taken",
        "advice": "choose another",
    }
    assert [one["state"] for one in json.loads(as_json(ALL_FINE))] == ["ok", "note"]
    assert "\n" not in as_json(ALL_FINE)
