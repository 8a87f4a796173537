"""Styles: how the clients of the captures write the model's items back (tests/data/captures/README.md)."""

import json
from collections.abc import Callable, Mapping, Sequence

from tests.e2e.stack import Item

Style = Callable[[Sequence[Item]], list[Item]]


def _parts(item: Item, change: Callable[[Item], Item]) -> Item:
    content = item.get("content")
    return {**item, "content": [change(part) for part in content]} if isinstance(content, list) else item


def _without(item: Item, *names: str) -> Item:
    return {key: value for key, value in item.items() if key not in names}


def raw(output: Sequence[Item]) -> list[Item]:
    """As it came (pysdk-append, oaagents-plain)."""
    return list(output)


def _dumped(item: Item) -> Item:
    nulls: dict[str, object] = {"status": None}
    if item.get("type") == "message":
        nulls["phase"] = None
    elif item.get("type") == "reasoning":
        nulls |= {"content": None, "encrypted_content": None}
    elif item.get("type") in {"function_call", "custom_tool_call"}:
        nulls |= {"namespace": None, "caller": None}
    return {**nulls, **item}


def dump(output: Sequence[Item]) -> list[Item]:
    """The null fields of model_dump() (pysdk-dump)."""
    return [_dumped(item) for item in output]


def helper_dump(output: Sequence[Item]) -> list[Item]:
    """Nulls, and what the SDK's stream helper parsed (pysdk-helper-dump, nodesdk-helper)."""
    parsed = [_parts(item, lambda part: {**part, "parsed": None}) for item in dump(output)]
    return [
        {**item, "parsed_arguments": json.loads(str(item["arguments"]))} if "arguments" in item else item
        for item in parsed
    ]


def role_and_string(output: Sequence[Item]) -> list[Item]:
    """Messages as a role and a string; their phase is lost (pysdk-chatstyle)."""
    return [
        {"role": "assistant", "content": "".join(_texts(item))} if item.get("type") == "message" else item
        for item in output
    ]


def _texts(item: Item) -> list[str]:
    content = item.get("content")
    return [str(part.get("text", "")) for part in content] if isinstance(content, list) else []


def no_reasoning(output: Sequence[Item]) -> list[Item]:
    """Reasoning dropped (pysdk-chatstyle)."""
    return [item for item in output if item.get("type") != "reasoning"]


def no_reasoning_ids(output: Sequence[Item]) -> list[Item]:
    """The ids of reasoning dropped (oaagents-noid)."""
    return [_without(item, "id") if item.get("type") == "reasoning" else item for item in output]


def ai_sdk(output: Sequence[Item]) -> list[Item]:
    """Ids, status, annotations and logprobs dropped, messages without a type, arguments re-written (aisdk-plain)."""
    return [_ai_sdk(item) for item in no_reasoning_ids(output)]


def _ai_sdk(item: Item) -> Item:
    if item.get("type") == "message":
        return _parts(_without(item, "id", "status", "type"), lambda part: _without(part, "annotations", "logprobs"))
    return _without(respelled(item), "id", "status") if "call_id" in item else item


def respelled(item: Item) -> Item:
    """A call with its arguments in another spelling."""
    arguments = item.get("arguments")
    if not isinstance(arguments, str):
        return item
    return {**item, "arguments": json.dumps(json.loads(arguments), separators=(",", ":"), ensure_ascii=False)}


def spaced_arguments(output: Sequence[Item]) -> list[Item]:
    """Ids and status of messages dropped, arguments with other white space (langchain-v1)."""
    thinned = [_without(item, "id", "status") if item.get("type") == "message" else item for item in output]
    return [
        {**item, "arguments": json.dumps(json.loads(str(item["arguments"])))} if "arguments" in item else item
        for item in thinned
    ]


def codex(output: Sequence[Item]) -> list[Item]:
    """`content: null` in reasoning, and the client's own metadata in every item (codex-builtinhttp)."""
    own: Mapping[str, object] = {"internal_chat_message_metadata_passthrough": {"turn_id": "t1"}}
    return [{**item, **own, **({"content": None} if item.get("type") == "reasoning" else {})} for item in output]


def references(output: Sequence[Item]) -> list[Item]:
    """Reasoning and messages named by their id (aisdk-default): for stored responses alone."""
    named = ("reasoning", "message")
    return [{"type": "item_reference", "id": item["id"]} if item.get("type") in named else item for item in output]


# What these change means nothing to the model: each of their turns continues the one before.
FAITHFUL: Mapping[str, Style] = {
    "raw": raw,
    "dump": dump,
    "helper_dump": helper_dump,
    "no_reasoning_ids": no_reasoning_ids,
    "ai_sdk": ai_sdk,
    "spaced_arguments": spaced_arguments,
    "codex": codex,
}
STYLES: Mapping[str, Style] = {
    **FAITHFUL,
    "role_and_string": role_and_string,
    "no_reasoning": no_reasoning,
    "references": references,
}
