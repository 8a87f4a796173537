"""Lines: the same for a person and for a program."""

from datetime import datetime

import msgspec
import pytest

from proxy.core.reasons import Plain, Route, Whole
from proxy.telemetry.lines import Human, Json, lines
from proxy.telemetry.logs import turn_line
from proxy.turns.outcome import End, Outcome, Would

TURN = Outcome("ol_1", Route.FULL, Whole.FIRST, status=200, end=End.COMPLETED, sent_bytes=7, ended_at=86_400.5)


@pytest.mark.parametrize(
    ("form", "terminal", "human"),
    [("auto", True, True), ("auto", False, False), ("human", False, True), ("json", True, False)],
)
def test_who_reads_them(form: str, terminal: bool, human: bool) -> None:  # noqa: FBT001
    """A person at a terminal and a program elsewhere, unless the setting says."""
    assert isinstance(lines(form, terminal=terminal), Human if human else Json)


def test_for_a_person() -> None:
    """A turn is its line, a notice says whose it is, an event is its text."""
    human = Human()
    assert human.turn(TURN) == turn_line(TURN)
    assert human.notice("ended") == "openline: ended"
    assert human.event("listening", "export A=b\nhello", api="x") == "export A=b\nhello"


def test_for_a_program() -> None:
    """One JSON object a line: when, what, and the fields that hold something."""
    json = Json(clock=lambda: 1.0)
    turn = msgspec.json.decode(json.turn(TURN), type=dict[str, object])
    assert list(turn)[:2] == ["at", "event"]
    assert (turn["at"], turn["event"]) == ("1970-01-02T00:00:00.500Z", "turn")
    assert (turn["id"], turn["route"], turn["reason"], turn["status"], turn["end"]) == (
        *("ol_1", "full", "first"),
        *(200, "completed"),
    )
    assert turn["sent_bytes"] == 7
    assert turn["context_suspect"] is False
    assert turn.keys().isdisjoint({"run", "faults", "ended_at", "first_event_seconds"})
    notice = msgspec.json.decode(json.notice("ended\nreally"), type=dict[str, object])
    assert notice == {"at": "1970-01-01T00:00:01.000Z", "event": "notice", "text": "ended\nreally"}
    event = json.event("listening", "for people", api="x")
    assert "\n" not in event + json.notice("ended\nreally")
    assert msgspec.json.decode(event) == {"at": "1970-01-01T00:00:01.000Z", "event": "listening", "api": "x"}


def test_a_program_reads_when() -> None:
    """A turn without an end has the time of its line, in UTC."""
    at = msgspec.json.decode(Json(clock=lambda: 5.25).turn(Outcome("ol_1", Route.DELTA)), type=dict[str, object])["at"]
    assert datetime.fromisoformat(str(at)).timestamp() == 5.25


def test_a_program_reads_what_would_have_been() -> None:
    """The route, the reason and the size, in an object of their own."""
    outcome = Outcome("ol_1", Route.HTTP, Plain.OBSERVED, would=Would(Route.FULL, Whole.FIRST, 7))
    turn = msgspec.json.decode(Json(clock=lambda: 1.0).turn(outcome), type=dict[str, object])
    assert turn["would"] == {"route": "full", "reason": "first", "sent_bytes": 7}
