"""The outcome: one record of a turn, with nothing private in it."""

from dataclasses import fields

from proxy.core.reasons import Route
from proxy.turns.outcome import End, Outcome


def test_until_it_ends_a_turn_counts_as_hung_up() -> None:
    """A caller may go at any time: an outcome that nobody completed says so."""
    outcome = Outcome("ol_1", Route.FULL)
    assert outcome.end is End.HUNG_UP
    assert (outcome.status, outcome.replays, outcome.sent_bytes, outcome.first_event_seconds) == (0, 0, 0, None)


def test_outcomes_share_no_list() -> None:
    """The faults of one turn are not another's."""
    one, other = Outcome("ol_1", Route.FULL), Outcome("ol_2", Route.FULL)
    one.faults.append("lost")
    assert other.faults == []


def test_an_outcome_holds_counts_and_names_only() -> None:
    """Every field is a number, a name from a fixed list, or a line that this project wrote: no place for a text."""
    kinds = {field.name: getattr(field.type, "__name__", str(field.type)) for field in fields(Outcome)}
    texts = {name for name, kind in kinds.items() if kind == "str"}
    assert texts == {"id", "method", "path"}


def test_ends_are_told_apart_by_their_word() -> None:
    """The words that logs and metrics use are all different."""
    assert len({end.value for end in End}) == len(End)
