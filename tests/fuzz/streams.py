"""Streams: what a model says in answer to one create, as frames, right or mutated; and the judge of what was whole."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
from hypothesis import strategies as st

from tests.fuzz.mutants import Change, changes, loose, odd, tear, write
from tests.fuzz.upstream import BINARY, CLOSE, PING, PONG, Cut, frame

Object: TypeAlias = dict[str, object]
Script: TypeAlias = list[bytes | Cut]


def message(mark: str, name: str) -> Object:
    """What the model says."""
    part = {"type": "output_text", "text": f"said {mark}", "annotations": [], "logprobs": []}
    return {"id": name, "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def events(mark: str, response_id: str, lane: str | None, label: str = "", *, hollow: bool = False) -> list[Object]:
    """The events of a whole answer of two messages. `mark` (or `label`, in ids) is in all that says something.

    Some hosts leave the final `output` empty: `hollow`.
    """
    own: Object = {"stream_id": lane} if lane else {}
    begun: Object = {
        "id": response_id,
        "object": "response",
        "status": "in_progress",
        "output": [],
        "previous_response_id": None,
    }
    said = [message(mark, f"msg_{label or mark}_{n}") for n in range(2)]
    stream: list[Object] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(said):
        stream += (
            {"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}},
            {"type": "response.output_text.delta", "output_index": index, "item_id": item["id"], "delta": mark},
            {"type": "response.output_item.done", "output_index": index, "item": item},
        )
    usage = {"input_tokens": 50, "output_tokens": 5, "total_tokens": 55}
    ended = {**begun, "status": "completed", "output": [] if hollow else said, "usage": usage}
    stream.append({"type": "response.completed", "response": ended})
    return [{**event, **own, "sequence_number": number} for number, event in enumerate(stream)]


@dataclass(frozen=True)
class Mutation:
    """One thing that is wrong with a stream. `place` is taken modulo the events that there are."""

    what: str
    place: int
    other: int
    change: Change
    payload: bytes

    def applied(self, frames: Sequence[bytes | Cut], lane: str | None) -> Script:
        """The frames after it. What stands in them so far are whole WebSocket frames."""
        at, other = self.place % len(frames), self.other % len(frames)
        script: Script = list(frames)
        if self.what == "drop":
            del script[at]
        elif self.what == "twice":
            script.insert(other, script[at])
        elif self.what == "swap":
            script[at], script[other] = script[other], script[at]
        elif self.what == "cut":
            script[at:] = [Cut(("close", "reset", "silence")[self.other % 3])]
        else:
            script[at:at] = self._wire(lane)
        return script

    def _wire(self, lane: str | None) -> Script:
        """Something that does not belong there."""
        own: Object = {"stream_id": lane} if lane else {}
        data, number = self.payload, self.other
        foreign = msgspec.json.encode({**events("foreign", "resp_foreign", lane)[-1], **own})
        failed = msgspec.json.encode(
            {"type": "response.failed", "response": {"id": "resp_x", "status": "failed"}, **own}
        )
        error = msgspec.json.encode(
            {
                "type": "error",
                "status": (None, 400, 429, 500, 99, "x")[number % 6],
                "error": {"message": "no", "code": "server_error"},
                **own,
            }
        )
        made: Mapping[str, Script] = {
            "terminal": [frame(foreign)],
            "failed": [frame(failed)],
            "error": [frame(error)],
            "odd error": [frame(write({"type": "error", "error": self.change.odd, **own}))],
            "unknown": [frame(b'{"type":"response.of_tomorrow","x":1}')],
            "lane": [
                frame(
                    msgspec.json.encode({"type": "response.output_text.delta", "delta": "foreign", "stream_id": "zz"})
                )
            ],
            "odd lane": [
                frame(write({"type": "response.output_text.delta", "delta": "foreign", "stream_id": self.change.odd}))
            ],
            "text": [frame(data)],
            "binary": [frame(data, BINARY)],
            "control": [frame(data[:200], (CLOSE, PING, PONG)[number % 3])],
            "close": [frame(struct.pack("!H", number % 5_000) + data[:120], CLOSE)],
            "bits": [frame(data, first=(0x90, 0xA0, 0xC0, 0xF0)[number % 4])],
            "opcode": [frame(data, (3, 7, 11, 15)[number % 4])],
            "masked": [frame(data, masked=True)],
            "continuation": [frame(data, 0)],
            "fragments": [frame(data[:3], first=0), frame(b"", PING), frame(data[3:], 0)],
            "open fragment": [frame(data, first=0)],
            "control fragment": [frame(data[:100], PING, first=0)],
            "endless": [b"\x81\x7f" + struct.pack("!Q", (2**62, 2**63 - 1, 2**64 - 1, 300 * 2**20)[number % 4])],
            "long form": [b"\x81\x7e\x00\x02{}"],
            "giant": [frame(b'{"type":"response.output_text.delta","delta":"' + b"x" * 1_500_000 + b'"}')],
            "noise": [data],
        }
        return made[self.what]


WHATS = (
    # More often than the others: these make answers that are nearly whole.
    *("drop", "twice", "swap") * 5,
    "cut",
    "terminal",
    "failed",
    "error",
    "odd error",
    "unknown",
    "lane",
    "odd lane",
    "text",
    "binary",
    "control",
    "close",
    "bits",
    "opcode",
    "masked",
    "continuation",
    "fragments",
    "open fragment",
    "control fragment",
    "endless",
    "long form",
    "giant",
    "noise",
)


@dataclass(frozen=True)
class Plan:
    """How an answer is spoiled: what is wrong within its events, and with the frames that they go in."""

    inner: tuple[tuple[int, Change | tuple[int, str, bytes]], ...] = ()
    outer: tuple[Mutation, ...] = ()
    hollow: bool = False

    def script(self, mark: str, response_id: str, lane: str | None) -> Script:
        """The frames."""
        texts = [msgspec.json.encode(event) for event in events(mark, response_id, lane, hollow=self.hollow)]
        for place, change in self.inner:
            at = place % len(texts)
            if isinstance(change, Change):
                try:
                    texts[at] = write(change.applied(loose(json.loads(texts[at]))))
                except (ValueError, RecursionError):
                    continue  # it was spoiled before
            else:
                texts[at] = tear(texts[at], *change)
        script: Script = [frame(text) for text in texts]
        for mutation in self.outer:
            if script:
                script = mutation.applied(script, lane)
        return script


_payloads = (
    st.binary(max_size=130)
    | odd.map(write)
    | st.sampled_from(
        [
            b"",
            b"{}",
            b"[]",
            b"\xff",
            b'{"type":5}',
            b'{"type":"response.completed"}',
            b'{"type":"response.created","response":[]}',
            b"\x03",
        ]
    )
)
_tears = st.tuples(
    st.integers(0, 10_000), st.sampled_from(["cut", "in", "out", "over"]), st.binary(min_size=1, max_size=3)
)
_inner = st.lists(st.tuples(st.integers(0, 8), changes | _tears), max_size=2).map(tuple)
_outer = st.lists(
    st.builds(Mutation, st.sampled_from(WHATS), st.integers(0, 9), st.integers(0, 10_000), changes, _payloads),
    max_size=2,
).map(tuple)
_none = st.just(())
plans = st.one_of(
    *(st.builds(Plan, *both, st.booleans()) for both in ((_inner, _none), (_none, _outer), (_inner, _outer)))
)


_COUNTING = (b"output_item", b"completed", b"failed", b"incomplete", b"error")


def whole(texts: Sequence[bytes], response_id: str) -> list[object] | None:
    """The items of an answer that came whole, by its JSON texts; None where it did not. Judged without the core."""
    try:
        # What other events hold does not count: an item comes whole when it is done.
        told = [json.loads(text) for text in texts if any(name in text for name in _COUNTING)]
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(event, dict) and isinstance(event.get("type"), str) for event in told):
        return None
    ends = [
        event
        for event in told
        if event["type"] in {"response.completed", "response.failed", "response.incomplete", "error"}
    ]
    if not ends or ends[0]["type"] != "response.completed":
        return None
    told = told[: told.index(ends[0]) + 1]
    final = ends[0].get("response")
    if not isinstance(final, dict) or final.get("id") != response_id or final.get("status") not in {None, "completed"}:
        return None
    added = [event.get("output_index") for event in told if event["type"] == "response.output_item.added"]
    done = {
        event.get("output_index"): event.get("item") for event in told if event["type"] == "response.output_item.done"
    }
    if sorted(map(repr, added)) != sorted(map(repr, range(len(added)))) or list(map(repr, sorted(done))) != list(
        map(repr, range(len(added)))
    ):
        return None
    return [done[index] for index in range(len(added))]


def texts_of(script: Script) -> list[bytes]:
    """The text messages that stand in it as whole frames, up to where the line ends."""
    found: list[bytes] = []
    for step in script:
        if isinstance(step, Cut):
            break
        if step[:1] == b"\x81":
            size = step[1] & 0x7F
            found.append(step[{126: 4, 127: 10}.get(size, 2) :])
    return found
