"""What the API refuses."""

from typing import Any

import pytest

from proxy.simulator.errors import RefusedError
from proxy.simulator.validation import check_fields, check_frame, check_items, check_pairs

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "x"}
CUSTOM_CALL = {"type": "custom_tool_call", "call_id": "c1", "name": "f", "input": ""}
CUSTOM_OUTPUT = {"type": "custom_tool_call_output", "call_id": "c1", "output": "x"}
NAMESPACE: dict[str, Any] = {"type": "namespace", "name": "n", "tools": []}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 3}, "model"),
        ({"input": None}, "input"),
        ({"input": 3}, "input"),
        ({"input": {}}, "input"),
        ({"tools": {}}, "tools"),
        ({"store": "yes"}, "store"),
        ({"temperature": True}, "temperature"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"previous_response_id": 7}, "previous_response_id"),
        ({"stream_options": {}}, "stream_options"),
        ({"conversation": "c", "previous_response_id": "r"}, "previous_response_id"),
        ({"image": "auto"}, "image"),
        ({"image": ["auto"]}, "image"),
        ({"image": {"context_compression": "off"}}, "image.context_compression"),
        ({"tools": [None]}, "tools[0].type"),
        ({"tools": [{"type": "web_search"}, {"type": ["function"]}]}, "tools[1].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "namespace", "name": "n"}]}, "tools[0].tools"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [[]]}]}, "tools[0].tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [NAMESPACE]}]}, "tools[0].tools[0].tools"),
    ],
    ids=str,
)
def test_wrong_fields(change: dict[str, Any], param: str) -> None:
    """Each wrong field is refused by its name."""
    with pytest.raises(RefusedError) as refused:
        check_fields({"model": "m", "input": "x", **change})
    assert (refused.value.error.status, refused.value.error.param) == (400, param)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"input": None, "previous_response_id": "r"},
        {"input": None, "prompt": {"id": "p"}},
        {"stream": True, "stream_options": {}},
        {"image": {"context_compression": "auto"}},
        {"temperature": 1, "top_p": 0.5, "store": None, "of_tomorrow": [None]},
        {"tools": [{"type": "of_tomorrow"}, {**NAMESPACE, "tools": [{"type": "custom", "name": "f"}]}]},
    ],
    ids=str,
)
def test_good_fields(change: dict[str, Any]) -> None:
    """Plain requests pass, nulls and unknown fields included."""
    check_fields({"model": "m", "input": "x", **change})


@pytest.mark.parametrize(
    "item",
    [
        {"foo": 1},
        {},
        "text",
        None,
        {"role": "user"},
        {"role": "wizard", "content": "x"},
        {"type": "message", "content": "x"},
        {"role": "user", "content": [{"text": "x"}]},
        {"role": "user", "content": ["x"]},
        {"role": "user", "content": [{"type": ["input_text"]}]},
        {"type": ["x"]},
        {"type": "function_call_output", "call_id": ["c"]},
        {"type": "additional_tools", "tools": [7]},
        {"role": "user", "content": [{"type": "output_text", "text": "x"}]},
        {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]},
    ],
    ids=str,
)
def test_wrong_items(item: object) -> None:
    """An item of no kind, and a message that is none, are refused with their place."""
    with pytest.raises(RefusedError) as refused:
        check_items([{"role": "user", "content": "fine"}, item])
    assert str(refused.value.error.param).startswith("input[1]")


def test_good_items() -> None:
    """Messages in every form, references and kinds of tomorrow pass."""
    check_items("x")
    check_items(
        [
            {"role": "assistant", "content": "x"},
            {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
            {"role": "developer", "content": [{"type": "input_image", "image_url": "x"}]},
            {"id": "msg_1"},
            {"type": "of_tomorrow"},
            {"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "n", "input_schema": {}}]},
            {"role": "user", "content": []},
        ]
    )


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([OUTPUT], "No tool call found for function call output with call_id c1."),
        ([OUTPUT, CALL], "No tool call found for function call output with call_id c1."),
        ([CUSTOM_OUTPUT], "No tool call found for custom tool call output with call_id c1."),
        ([CALL, CUSTOM_OUTPUT], "No tool call found for custom tool call output with call_id c1."),
        ([CALL], "No tool output found for function call c1."),
        ([CUSTOM_CALL], "No tool output found for custom tool call c1."),
        ([CALL, {**CALL, "call_id": "c2"}, OUTPUT], "No tool output found for function call c2."),
    ],
)
def test_unpaired_calls(items: list[dict[str, Any]], message: str) -> None:
    """Outputs need an earlier call of their kind, calls need an output."""
    with pytest.raises(RefusedError) as refused:
        check_pairs(items)
    assert refused.value.error.message == message


def test_paired_calls() -> None:
    """Calls and outputs in order pass, parallel ones too."""
    check_pairs([CALL, {**CALL, "call_id": "c2"}, {**OUTPUT, "call_id": "c2"}, OUTPUT, CUSTOM_CALL, CUSTOM_OUTPUT])


def test_frames_do_not_say_how_to_stream() -> None:
    """A frame has no `stream: false` and no `background: true`."""
    check_frame({"stream": True, "background": False})
    for wrong in ({"stream": False}, {"background": True}):
        with pytest.raises(RefusedError):
            check_frame(wrong)
