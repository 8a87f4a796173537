"""Runs: told by their first, and yet what each event would have been told by itself."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.events import Event, Kind, NotAnEvent, lane_name, sniff, sse, unnamed
from proxy.core.runs import runs

DELTA, ARGUMENTS = "response.output_text.delta", "response.function_call_arguments.delta"
TYPES = (DELTA, ARGUMENTS, "response.created", "response.output_item.done", "response.completed", "error", "a\nb")
LANES = (None, "l1", "l2", 'l"1')


def single(event: Event) -> list[Event]:
    """The events of a run, each by itself."""
    return [event._replace(frame=frame, more=()) for frame in (event.frame, *event.more)]


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """An event whose lane's name, if it has one, stands anywhere, also where it is only quoted."""
    fields: dict[str, object] = {"type": draw(st.sampled_from(TYPES))}
    fields["delta"] = draw(st.sampled_from(["", "é", ',"stream_id":"l1"}', "\n", '{"type":"error"}']))
    fields["item"] = draw(st.sampled_from([None, {"stream_id": "l1"}, {"type": "error"}]))
    lane = draw(st.sampled_from(LANES))
    if lane is not None:
        fields["stream_id"] = lane
    order = draw(st.sampled_from([list(fields), list(fields)[::-1], sorted(fields), ["type", *sorted(fields)[:-1]]]))
    compact = draw(st.booleans())
    written = json.dumps({key: fields[key] for key in order}, separators=(",", ":") if compact else None).encode()
    return written[:-1] + draw(st.sampled_from([b"}", b"\n}", b"\r\n}"]))


@given(st.lists(frames(), max_size=12), st.integers(1, 4))
def test_a_run_is_the_events_that_it_is_made_of(said: list[bytes], times: int) -> None:
    """Taken apart again, runs are what sniffing each frame gives, in the same order, however often each is repeated."""
    sent = [frame for frame in said for _ in range(times)]
    for named in (True, False):
        assert [one for event in runs(sent, named=named) for one in single(event)] == [sniff(frame) for frame in sent]


@given(st.lists(frames(), min_size=1, max_size=12), st.integers(2, 4))
def test_a_run_is_of_one_lane(said: list[bytes], times: int) -> None:
    """Where lanes have names, all events of a run name the same one, and without it each is what it is by itself."""
    for event in runs([frame for frame in said for _ in range(times)], named=True):
        names = {lane_name(frame) for frame in (event.frame, *event.more)}
        assert len(names) == 1
        name = names.pop()
        if name is not None:
            assert single(unnamed(event, name)) == [unnamed(one, name) for one in single(event)]


@given(st.lists(frames(), max_size=8), st.integers(1, 4))
@example([b'{"type":"%b","delta":"%b"%b}' % (DELTA.encode(), *more) for more in ((b"a", b""), (b"b", b"\r\n"))], 1)
def test_a_run_is_framed_as_its_events_are(said: list[bytes], times: int) -> None:
    """What a caller reads is the same bytes, in one piece or in many."""
    sent = [frame for frame in said for _ in range(times)]
    for named in (True, False):
        assert b"".join(map(sse, runs(sent, named=named))) == b"".join(sse(sniff(frame)) for frame in sent)


def test_pieces_of_text_are_one_event() -> None:
    """A hundred pieces on one lane are told once: that is what runs are for."""
    pieces = [b'{"type":"%b","delta":"%d","stream_id":"l1"}' % (DELTA.encode(), number) for number in range(100)]
    (event,) = runs(pieces, named=True)
    assert (event.type, event.kind, event.events, event.size) == (DELTA, Kind.PASS, 100, sum(map(len, pieces)))


def test_what_matters_is_no_run() -> None:
    """Events that a turn has to read come one by one."""
    assert [event.events for event in runs([b'{"type":"response.created"}'] * 3, named=False)] == [1, 1, 1]


def test_what_came_before_rubbish_is_told() -> None:
    """A frame that is no event does not take back those before it."""
    told = runs([b'{"type":"response.created"}', b"rubbish"], named=True)
    assert next(told).type == "response.created"
    with pytest.raises(NotAnEvent):
        next(told)
