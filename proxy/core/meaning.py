"""The meaning of an item: what of its JSON counts when two histories are compared (design: "Meaning of an item")."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgpack
from msgpack import ExtType

Json: TypeAlias = "bool | str | ExtType | list[Json] | dict[str, Json] | None"
Object: TypeAlias = "dict[str, Json]"


class Ambiguous(ValueError):
    """JSON that two readers may take differently (a key given twice, NaN, very deep nesting): it equals only itself."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How histories are compared: the `match` setting, and whether the host reads summaries of encrypted reasoning."""

    match: Literal["strict", "faithful", "relaxed"] = "faithful"
    summaries_count: bool = True


@dataclass(frozen=True, slots=True)
class Reference:
    """An `item_reference`: it means whatever the item with this id means, where that is known."""

    id: str


# The keys that the API documents for each kind of item and content part. For these alone order does not count
# and null is the same as absent; the JSON inside them keeps both. (`async_`, `caller` and `namespace` are what the
# Python SDK's model_dump() adds to calls as nulls.)
_MESSAGE = frozenset({"type", "id", "role", "content", "status", "phase"})
_CALL = frozenset({"type", "id", "call_id", "name", "namespace", "status", "async", "async_", "caller", "created_by"})
_RESULT = frozenset({"type", "id", "call_id", "output", "status", "name", "namespace", "caller", "created_by"})
ITEM_KEYS: Mapping[str, frozenset[str]] = {
    "message": _MESSAGE,
    "function_call": _CALL | {"arguments"},
    "custom_tool_call": _CALL | {"input"},
    "function_call_output": _RESULT,
    "custom_tool_call_output": _RESULT,
    "reasoning": frozenset({"type", "id", "summary", "content", "encrypted_content", "status"}),
    "item_reference": frozenset({"type", "id"}),
}
_PART_KEYS: Mapping[str, frozenset[str]] = {
    "input_text": frozenset({"type", "text", "prompt_cache_breakpoint"}),
    "output_text": frozenset({"type", "text", "annotations", "logprobs"}),
    "summary_text": frozenset({"type", "text"}),
    "reasoning_text": frozenset({"type", "text"}),
    "refusal": frozenset({"type", "refusal"}),
    "input_image": frozenset({"type", "detail", "file_id", "image_url", "prompt_cache_breakpoint"}),
    "input_file": frozenset(
        {"type", "file_id", "file_data", "file_url", "filename", "detail", "prompt_cache_breakpoint"}
    ),
}
# Where the API pairs by call_id, the item's own id names nothing.
_PAIRED = frozenset({"function_call", "custom_tool_call", "function_call_output", "custom_tool_call_output"})
# The keys whose values are lists of content parts.
PART_LISTS = frozenset({"content", "summary", "output"})
# The part that a message's bare string stands for.
_TEXT_PARTS = {"user": "input_text", "system": "input_text", "developer": "input_text", "assistant": "output_text"}
# Written by SDKs and clients for themselves; the API drops or never sees them.
_SDK_ONLY = frozenset({"internal_chat_message_metadata_passthrough"})
_SDK_ONLY_CALL = _SDK_ONLY | {"parsed_arguments"}
# Levels of nesting; beyond it parsers give up, each at another depth. (msgpack: 511.)
_DEEPEST = 200


def _pairs(pairs: list[tuple[str, Json]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Ambiguous
    return found


def _number(text: str) -> ExtType:
    return ExtType(1, text.encode())


def _constant(name: str) -> Json:
    raise Ambiguous(name)


# The standard library's scanner is used here, and only here, because it alone shows duplicate keys and how a number
# was spelled. Items pass through it once: their meaning is kept by the digest of their bytes.
_read: Callable[[str], Json] = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_number, parse_float=_number, parse_constant=_constant
).decode


def read(raw: bytes) -> Json:
    """The JSON value with numbers kept as their text. Raises ValueError, Ambiguous among them."""
    return _value(raw.decode())


def _value(text: str) -> Json:
    try:
        value = _read(text)
    except RecursionError as error:
        raise Ambiguous from error
    if text.count("[") + text.count("{") > _DEEPEST and _too_deep(value):
        raise Ambiguous
    return value


def _too_deep(value: Json) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def _children(node: Json) -> Iterable[Json]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def meaning(raw: bytes, rules: Rules) -> "Json | Reference":
    """What the item `raw` means under `rules`: equal meanings are the same to the model.

    Raises:
        ValueError: it is not JSON, or one that readers may take differently.
    """
    item = read(raw)
    if not isinstance(item, dict):
        return item
    return _strict(item) if rules.match == "strict" else _faithful(item, rules)


def kind_of(item: Object) -> str:
    """The item's type; a missing one is a message beside a role, a reference beside a lone id."""
    kind = item.get("type")
    if isinstance(kind, str):
        return kind
    if kind is None and isinstance(item.get("role"), str):
        return "message"
    if kind is None and item.keys() <= {"type", "id"} and isinstance(item.get("id"), str):
        return "item_reference"
    return ""


def _strict(item: Object) -> Json:
    """Only the order of documented keys and their nulls do not count."""
    known = ITEM_KEYS.get(kind_of(item), frozenset())
    own = _own(item, known)
    for key in sorted(PART_LISTS & known):
        value = own.get(key)
        if isinstance(value, list):
            own[key] = [_own(part, part_keys(part)) if isinstance(part, dict) else part for part in value]
    return own


def _faithful(item: Object, rules: Rules) -> "Json | Reference":
    kind = kind_of(item)
    known = ITEM_KEYS.get(kind)
    if known is None:
        return _without(item, _SDK_ONLY)
    dropped = _SDK_ONLY_CALL if kind == "function_call" else _SDK_ONLY
    own = _own({**_without(item, dropped), "type": kind}, known)
    if kind == "item_reference":
        name = own.get("id")
        return Reference(name) if isinstance(name, str) and own.keys() == {"type", "id"} else own
    if own.get("status") == "completed":
        del own["status"]
    if kind in _PAIRED and isinstance(own.get("call_id"), str):
        own.pop("id", None)
    if kind == "message":
        own.pop("id", None)
        own["content"] = _content(own.get("content"), own.get("role"))
    elif kind == "reasoning":
        _reasoning(own, rules)
    elif kind == "function_call":
        own["arguments"] = _arguments(own.get("arguments"))
    elif "output" in known:
        own["output"] = _parts(own.get("output"))
    return own


def _without(item: Object, names: frozenset[str]) -> Object:
    return {key: value for key, value in item.items() if key not in names}


def _own(item: Object, known: frozenset[str]) -> Object:
    """The known keys sorted and without nulls, then the unknown ones as they came."""
    own = {key: item[key] for key in sorted(known) if item.get(key) is not None}
    own.update((key, value) for key, value in item.items() if key not in known)
    return own


def _content(content: Json, role: Json) -> Json:
    part = _TEXT_PARTS.get(role) if isinstance(role, str) else None
    if part and isinstance(content, str):
        content = [{"type": part, "text": content}]
    return _parts(content)


def _parts(parts: Json) -> Json:
    return [_part(part) for part in parts] if isinstance(parts, list) else parts


def part_keys(part: Object) -> frozenset[str]:
    """The keys that the API documents for a content part of this type; none where it documents no such type."""
    kind = part.get("type")
    return _PART_KEYS.get(kind, frozenset()) if isinstance(kind, str) else frozenset()


def _part(part: Json) -> Json:
    if not isinstance(part, dict):
        return part
    own = _own(part, part_keys(part))
    if own.get("type") == "output_text":
        own.pop("parsed", None)
        for key in ("annotations", "logprobs"):
            if own.get(key) == []:
                del own[key]
    return own


def _reasoning(own: Object, rules: Rules) -> None:
    """With encrypted_content the id only labels it; so does the summary on hosts known for it, and in relaxed mode."""
    if own.get("encrypted_content") and isinstance(own["encrypted_content"], str):
        own.pop("id", None)
        if rules.match == "relaxed" or not rules.summaries_count:
            own.pop("summary", None)
    for key in ("summary", "content"):
        if key in own:
            own[key] = _parts(own[key])


def _arguments(arguments: Json) -> Json:
    """Arguments as JSON; where there is any doubt, as their text. Tagged, so that neither equals the other."""
    if not isinstance(arguments, str):
        return {"value": arguments}
    try:
        value = _value(arguments)
        msgpack.packb(value)  # a lone surrogate is a ValueError: readers replace it each in their own way
    except ValueError:
        return {"text": arguments}
    return {"json": value}
