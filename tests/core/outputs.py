"""Outputs: items that a model says, and what they mean, in a shape that tests can compare."""

from typing import TypeAlias

import msgspec

from proxy.core.meaning import Rules, meaning

Item: TypeAlias = dict[str, object]

FAITHFUL = Rules()
RELAXED = Rules("relaxed")
STRICT = Rules("strict")

REASONING: Item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
CALL: Item = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
CUSTOM: Item = {"type": "custom_tool_call", "id": "ct_1", "call_id": "c2", "name": "g", "input": "x"}
SEARCH: Item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}


def message(text: str = "Hello", **more: object) -> Item:
    """An answer's message."""
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content, **more}


def without(item: Item, *names: str) -> Item:
    """The item without some keys."""
    return {key: value for key, value in item.items() if key not in names}


def form(*meanings: object) -> bytes:
    """One comparable form."""
    return repr(meanings).encode()


def meant(*items: Item, rules: Rules = FAITHFUL) -> bytes:
    """The form in which these items would come back."""
    return form(*(meaning(msgspec.json.encode(item), rules) for item in items))
