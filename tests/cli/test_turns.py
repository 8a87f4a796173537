"""Turns as another version of Openline may tell them: what is not known is no error."""

from collections.abc import Iterator

import msgspec

from proxy.cli.explain import _asking, _overview, _rows
from proxy.cli.turns import Turn
from proxy.core.reasons import MEANINGS, Whole


def turn(**fields: object) -> Turn:
    """One with an id that says nothing."""
    return msgspec.convert({"id": "ol_0123456789abcdef01234567", "route": "full", **fields}, Turn)


def lines(*turns: Turn) -> Iterator[str]:
    """What is said of them, without times."""
    yield from (line.partition("  ")[2] if line[:1].isdigit() else line for line in _overview(turns, turns))


def test_an_older_one_knows_less() -> None:
    """Without times, tokens and explanations there are the reason and its meaning."""
    meaning = MEANINGS[Whole.CONNECTION_LOST]
    assert list(lines(turn(reason="connection_lost")))[:2] == ["…01234567  full  connection_lost", f"    {meaning}"]


def test_a_bad_end_is_told_whatever_the_route() -> None:
    """A delta that was cut has no reason, and is there: with what happened, and what that means for its caller."""
    one = turn(route="delta", end="cut", status=200, faults=["the line was lost: the chunked body is cut"])
    assert [one.went_wrong, turn(route="delta", end="completed").went_wrong] == [True, False]
    assert _asking([one, turn(route="delta", end="completed")]) == [0]
    told = list(lines(one))
    assert told[:3] == [
        "…01234567  delta  cut",
        "    What happened: the line was lost: the chunked body is cut.",
        "    The caller saw its answer break off: it has to send the turn again.",
    ]
    assert told[-1].startswith("every turn went as a delta: 1 of 1 that it remembers; 1 broke off; ")
    assert not turn(route="passthrough", reason="other_path", end="error").went_wrong


def test_a_mere_opening_asks_for_nothing() -> None:
    """It is counted, in mode `observe` too, and listed only where it went wrong."""
    openings = [turn(reason="first"), turn(route="http", reason="observed", would={"route": "full", "reason": "first"})]
    assert _asking([*openings, turn(reason="first", end="error")]) == [2]
    assert list(_overview(openings, [])) == ["deltas: 0 of 2 turns that it remembers; 2 began a conversation (first)"]


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
    """What was found in this case stands alone: it says more than the reason, or begins with its meaning."""
    reason, meaning = next(iter(MEANINGS.items()))
    begin = meaning.removesuffix(".")
    for text in (meaning, f"{begin} (in this case)."):
        one = turn(reason=reason.value, route="http", why={"text": text})
        assert sum(begin in line for line in lines(one)) == 1
        assert sum(begin in told for _, told in _rows(one)) == 1
    specific = list(lines(turn(reason=reason.value, why={"text": "This.", "compared_with": "ol_0123456789"})))
    assert specific[1] == "    This (compared with …23456789)."
    assert not any(begin in line for line in specific)


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
