"""Turns as another version of Openline may tell them: what is not known is no error."""

from collections.abc import Iterator

import msgspec

from proxy.cli.explain import _overview, _rows
from proxy.cli.turns import Turn
from proxy.core.reasons import MEANINGS


def turn(**fields: object) -> Turn:
    """One with an id that says nothing."""
    return msgspec.convert({"id": "ol_0123456789abcdef01234567", "route": "full", **fields}, Turn)


def lines(*turns: Turn) -> Iterator[str]:
    """What is said of them, without times."""
    yield from (line.partition("  ")[2] if line[:1].isdigit() else line for line in _overview(turns, turns))


def test_an_older_one_knows_less() -> None:
    """Without times, tokens and explanations there are the reason and its meaning."""
    meaning = "The connection that remembered this conversation was lost."
    assert list(lines(turn(reason="connection_lost")))[:2] == ["…01234567  full  connection_lost", f"    {meaning}"]


def test_a_newer_one_knows_more() -> None:
    """A reason and fields that are not known here are no error; an explanation is said as it comes, on one line."""
    one = turn(reason="eclipse", moon=1, why={"kind": "moon", "text": "Because\nof it.", "phase": 0.5})
    assert one.meaning == ""
    assert list(lines(one))[:2] == ["…01234567  full  eclipse", "    Because?of it."]


def test_what_the_explanation_names_has_rows() -> None:
    """The item, what of it differs, the settings, and what it was compared with."""
    why = {"text": "x", "item": 4, "item_type": "reasoning", "paths": ["a", "b"], "settings": ["tools"]}
    rows = dict(_rows(turn(reason="no_match", why={**why, "compared_with": "ol_1"}, faults=["f"], replays=2)))
    assert (rows["item"], rows["differs in"], rows["settings"]) == ("input[4] (reasoning)", "a, b", "tools")
    assert (rows["compared with"], rows["fault"], rows["replays"]) == ("ol_1", "f", "2")
    assert dict(_rows(turn(why={"text": "x", "item": 4})))["item"] == "input[4]"


def test_a_meaning_is_not_said_twice() -> None:
    """An explanation that says no more than the reason is left out."""
    meaning = MEANINGS[next(iter(MEANINGS))]
    reason = next(iter(MEANINGS)).value
    assert sum(meaning in line for line in lines(turn(reason=reason, route="http", why={"text": meaning}))) == 1


def test_what_was_observed_says_how_it_would_have_gone() -> None:
    """Route, reason and size in mode `on`."""
    one = turn(route="http", reason="observed", would={"route": "delta", "sent_bytes": 12})
    assert "    In mode `on`: delta, 12 B." in list(lines(one))
    other = turn(route="http", reason="observed", would={"route": "full", "reason": "first", "sent_bytes": 12})
    assert dict(_rows(other))["in mode `on`"] == "full first, 12 B"


def test_what_is_a_create() -> None:
    """Other paths, preflights and what was refused are none; the rest is, whatever way it went."""
    assert turn(route="delta").is_create
    assert turn(route="passthrough", reason="own_state").is_create
    for reason in (None, "other_path", "preflight"):
        assert not turn(route="passthrough", reason=reason).is_create
