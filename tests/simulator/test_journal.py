"""The journal of creates."""

import pytest

from proxy.simulator import Entry, Journal
from proxy.simulator.watch import Watch
from tests.simulator.wire import Running


def entry(journal: Journal) -> Entry:
    """The next entry, added."""
    made = Entry(journal.next_number(), "http", 0, None, (), b"xy", {})
    journal.add(made)
    return made


def test_it_is_a_bounded_sequence() -> None:
    """It reads like a list, and the oldest go first."""
    journal = Journal(3, Watch())
    for _ in range(5):
        entry(journal)
    assert [made.n for made in journal] == [3, 4, 5]
    assert journal[-1].n == 5
    assert [made.n for made in journal[:2]] == [3, 4]
    assert journal[0].size == 2


def test_news_replace_an_entry() -> None:
    """An entry's news are seen at its place; those of one that has left are only returned."""
    journal = Journal(2, Watch())
    first, second = entry(journal), entry(journal)
    assert journal.note(first, outcome="cut").outcome == "cut"
    assert [made.outcome for made in journal] == ["cut", "running"]
    entry(journal)
    assert journal.note(first, outcome="failed").outcome == "failed"
    assert journal.note(second, outcome="failed") == journal[0]
    journal.clear()
    assert journal.note(second, status=500).status == 500
    assert len(journal) == 0
    assert entry(journal).n == 4


def test_unknown_news_are_refused() -> None:
    """A field that entries do not have is an error."""
    journal = Journal(2, Watch())
    with pytest.raises(TypeError):
        journal.note(entry(journal), colour="red")


async def test_an_entry_says_what_came_and_what_the_model_was_given(running: Running) -> None:
    """Bytes, body, headers, context, prompt, outcome and response id of one create."""
    _, response = await running.create(input="hi", store=False)
    seen = running.last
    assert (seen.n, seen.transport, seen.connection, seen.lane) == (1, "http", 0, None)
    assert seen.raw == b'{"model": "m", "input": "hi", "store": false}'
    assert seen.body == {"model": "m", "input": "hi", "store": False}
    assert ("Authorization", "Bearer key") in seen.headers
    assert seen.context == ({"type": "message", "role": "user", "content": "hi"},)
    assert seen.prompt is not None
    assert (seen.outcome, seen.status, seen.response_id) == ("completed", 200, response["id"])


async def test_the_outcome_is_noted_before_the_last_byte(running: Running) -> None:
    """Whoever has read the terminal event finds the outcome in the journal."""
    socket = await running.socket()
    for _ in range(20):
        assert (await socket.turn(input="x"))["type"] == "response.completed"
        assert running.last.outcome == "completed"
