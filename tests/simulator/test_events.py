"""The events of an answer."""

from typing import Any

import pytest

from proxy.simulator import events
from proxy.simulator.response import Response, Usage

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "héllo", "annotations": [], "logprobs": []}],
}
THOUGHT = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "abc"}],
    "encrypted_content": "0123456789",
}
CALL = {"id": "fc_1", "type": "function_call", "status": "completed", "arguments": "{}", "call_id": "c", "name": "f"}
CUSTOM = {"id": "ct_1", "type": "custom_tool_call", "status": "completed", "input": "run", "call_id": "d", "name": "g"}
REFUSAL = {"id": "msg_2", "type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
OTHER = {"id": "cmp_1", "type": "compaction", "encrypted_content": "xx"}

SEQUENCES: list[tuple[dict[str, Any], list[str]]] = [
    (
        MESSAGE,
        [
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
        ],
    ),
    (
        THOUGHT,
        [
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
        ],
    ),
    (CALL, ["function_call_arguments.delta", "function_call_arguments.done"]),
    (CUSTOM, ["custom_tool_call_input.delta", "custom_tool_call_input.done"]),
    (REFUSAL, ["content_part.added", "refusal.delta", "refusal.done", "content_part.done"]),
    (SEARCH, ["web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"]),
    (OTHER, []),
]


@pytest.mark.parametrize(("item", "inner"), SEQUENCES, ids=lambda value: value["id"] if isinstance(value, dict) else "")
def test_the_sequence_of_each_kind(item: dict[str, Any], inner: list[str]) -> None:
    """Added, the item's own events, done: and the item is whole in the last one only."""
    sequence = list(events.output_events([item], 3))
    expected = ["output_item.added", *inner, "output_item.done"]
    assert [str(event["type"]).removeprefix("response.") for event in sequence] == expected
    assert all(event["output_index"] == 0 for event in sequence)
    assert all(event["item_id"] == item["id"] for event in sequence[1:-1])
    assert sequence[-1]["item"] == item
    assert sequence[0]["item"] != item


def test_deltas_make_up_the_text() -> None:
    """The pieces of a text put together are the text, none longer than asked."""
    sequence = [event for event in events.output_events([MESSAGE], 2) if "delta" in event]
    assert [event["delta"] for event in sequence] == ["hé", "ll", "o"]
    assert all(event["logprobs"] == [] for event in sequence)


def test_encrypted_content_is_not_complete_at_first() -> None:
    """`output_item.added` shows half of it: only the done item may be sent back."""
    first = next(events.output_events([THOUGHT], 9))
    assert isinstance(first["item"], dict)
    assert first["item"]["encrypted_content"] == "01234"
    assert first["item"]["summary"] == []


def test_obfuscation_pads_deltas_only() -> None:
    """A delta gets padding that depends on its length; other events get none."""
    assert events.obfuscate({"type": "x"}, 0) == {"type": "x"}
    padded = events.obfuscate({"type": "x", "delta": "abc"}, 0)
    assert len(str(padded["obfuscation"])) == 13


def test_the_frame_of_a_response() -> None:
    """Created and in_progress come first; the terminal event is named for the status."""
    response = Response("resp_1", {"model": "m"}, True, 1)  # noqa: FBT003 - `store`, third by nature
    assert [event["type"] for event in events.opening(response)] == ["response.created", "response.in_progress"]
    ended = response.ended("incomplete", [MESSAGE], Usage())
    last = events.terminal(ended, ())
    assert last["type"] == "response.incomplete"
    assert isinstance(last["response"], dict)
    assert last["response"]["output"] == []
