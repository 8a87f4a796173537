"""A judge: whether what a caller got is right, a clean error or a visible cut. Anything else is an AssertionError."""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum, auto

import msgspec

from proxy.simulator import Entry, Oracle, render_request
from proxy.simulator.prompt import items_of
from tests.e2e.stack import Body, Item, Reply

Event = dict[str, object]
_ORACLE = Oracle()
_TERMINAL = ("response.completed", "response.incomplete", "response.failed")


class Verdict(StrEnum):
    """What became of a turn."""

    RIGHT = auto()
    SHORT = auto()  # the model's answer ended failed or incomplete, and says so
    ERROR = auto()  # an HTTP error, or an error at the end of a stream
    CUT = auto()  # a stream that visibly has no end


class Judge:
    """Knows what arrived at the simulator, by the ids of the responses that it gave."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = {entry.response_id: entry for entry in entries if entry.response_id}
        self.told: Counter[str] = Counter()
        """How often each verdict was given."""
        self._answered: Counter[str] = Counter()

    def judge(self, body: Body, reply: Reply) -> Verdict:
        """The verdict on one reply to `body`. AssertionError where a caller would be deceived."""
        verdict = self._stream(body, reply) if reply.streamed else self._whole(body, reply)
        self.told[verdict] += 1
        return verdict

    def _whole(self, body: Body, reply: Reply) -> Verdict:
        assert not reply.cut, "only streams may be cut"
        if reply.status != 200:
            error = reply.error
            assert {"message", "type", "code"} <= error.keys(), error
            assert reply.status >= 400, reply.status
            return Verdict.ERROR
        assert body.get("stream") is not True, "a stream was asked for"
        response = reply.response
        said = _items(response.get("output"))
        expected = self._expected(body, response)
        if response["status"] == "completed":
            assert said == expected, "the answer is not that of this prompt"
            return Verdict.RIGHT
        assert said == expected[: len(said)], "the short answer is not the beginning of this prompt's"
        return Verdict.SHORT

    def _stream(self, body: Body, reply: Reply) -> Verdict:
        assert reply.status == 200
        assert body.get("stream") is True, "no stream was asked for"
        events = [msgspec.json.decode(frame, type=Event) for frame in _whole_frames(reply)]
        assert [event["sequence_number"] for event in events] == list(range(len(events))), _types(events)
        if not events:
            assert reply.cut, "a stream that ends must have events"
            return Verdict.CUT
        assert events[0]["type"] == "response.created", _types(events)
        assert not any("stream_id" in event for event in events), "the caller sees a lane"
        expected = self._expected(body, _response(events[0]))
        assert len({_response(event)["id"] for event in events if "response" in event}) == 1, "two responses in one"
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert done == expected[: len(done)], "the items are not those of this prompt's answer"
        _deltas_add_up(events, expected)
        return self._ending(events, done, expected, cut=reply.cut)

    def _ending(
        self, events: Sequence[Event], done: Sequence[object], expected: Sequence[Item], *, cut: bool
    ) -> Verdict:
        last = events[-1]["type"]
        if last == "response.completed":
            assert done == expected, "the end came before all items"
            assert _items(_response(events[-1]).get("output")) == expected, "the final response differs from its stream"
            return Verdict.RIGHT
        if last == "error":
            assert {"code", "message"} <= events[-1].keys(), events[-1]
            return Verdict.ERROR
        if last in _TERMINAL:
            return Verdict.SHORT
        assert cut, f"a stream ended well with {last}"
        return Verdict.CUT

    def _expected(self, body: Body, response: Mapping[str, object]) -> list[Item]:
        """The items that the model says to this request; the model was given exactly what the request spells out."""
        entry = self._entries[str(response["id"])]
        assert response["previous_response_id"] is None, "the caller named no response"
        self._answered[entry.response_id or ""] += 1
        assert self._answered[entry.response_id or ""] == 1, "one response was given to two callers"
        prompt = render_request(body)
        assert entry.prompt == prompt, "the model was given another prompt"
        return list(_ORACLE.answer(prompt, body, items_of(body["input"])).output)


def _whole_frames(reply: Reply) -> list[bytes]:
    """The frames of a stream; of a cut one without the piece after the last empty line."""
    return [
        line.removeprefix(b"data: ")
        for line in reply.body.rpartition(b"\n\n")[0].split(b"\n")
        if line.startswith(b"data: ")
    ]


def _types(events: Sequence[Event]) -> list[object]:
    return [event["type"] for event in events]


def _response(event: Event) -> Event:
    return msgspec.convert(event["response"], Event)


def _items(output: object) -> list[Item]:
    return list(msgspec.convert(output or [], list[dict[str, object]]))


def _deltas_add_up(events: Sequence[Event], expected: Sequence[Item]) -> None:
    """Every piece of text and arguments continues the item that it names, from its beginning."""
    pieces: dict[tuple[object, ...], str] = {}
    for event in events:
        if "delta" in event:
            at = (event["type"], event["output_index"], event.get("content_index"), event.get("summary_index"))
            pieces[at] = pieces.get(at, "") + str(event["delta"])
    for (kind, index, content, summary), text in pieces.items():
        item = expected[int(str(index))]
        if content is not None or summary is not None:
            parts = msgspec.convert(item["content" if content is not None else "summary"], list[dict[str, object]])
            whole = parts[int(str(content if content is not None else summary))]["text"]
        else:
            whole = item["arguments" if "arguments" in str(kind) else "input"]
        assert str(whole).startswith(text), f"{kind} is not of this prompt's answer"
