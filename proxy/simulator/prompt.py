"""Prompt: the text that a request's settings and context are given to the model as.

Pure and public: tests compare the prompt that the simulator journaled with `render` of a caller's own full request.
Two requests render equal when, and only when, they ask for the same (see `_own_fields`); `shown` is what of it decides
the answer.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from proxy.simulator.arguments import Canonical, canonical_arguments

Item = Mapping[str, object]

TRANSPORT_FIELDS = frozenset(
    {
        "background",
        "generate",
        "input",
        "previous_response_id",
        "store",
        "stream",
        "stream_id",
        "stream_options",
        "type",
    }
)
"""Fields of a request that say how it travels or where its context is, not what the model is given."""

UNSHOWN_FIELDS = frozenset(
    {
        "client_metadata",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "user",
    }
)
"""Fields that the API keeps for caching, logging and the tracing of abuse: they must arrive, but no model sees them."""

DOCUMENTED_KEYS = frozenset(
    {
        "acknowledged_safety_checks",
        "action",
        "actions",
        "annotations",
        "approval_request_id",
        "approve",
        "arguments",
        "async",
        "async_",  # as the Python SDK's model_dump() spells it, always null
        "background",
        "call_id",
        "caller",
        "code",
        "container_id",
        "content",
        "created_by",
        "detail",
        "encrypted_content",
        "environment",
        "error",
        "execution",
        "file_data",
        "file_id",
        "file_url",
        "filename",
        "fingerprint",
        "id",
        "image_url",
        "input",
        "input_audio",
        "internal_chat_message_metadata_passthrough",
        "logprobs",
        "max_output_length",
        "name",
        "namespace",
        "operation",
        "output",
        "output_format",
        "outputs",
        "parsed",
        "parsed_arguments",
        "pending_safety_checks",
        "phase",
        "prompt_cache_breakpoint",
        "quality",
        "queries",
        "reason",
        "reasoning",
        "refusal",
        "result",
        "results",
        "revised_prompt",
        "role",
        "server_label",
        "size",
        "status",
        "summary",
        "svg_usage",
        "text",
        "tools",
        "type",
    }
)
"""Keys of items and content parts that the API documents: null in one of them is as good as leaving it out."""

_SDK_ONLY = frozenset({"parsed", "parsed_arguments", "internal_chat_message_metadata_passthrough"})
_CALLS = frozenset({"function_call", "custom_tool_call", "function_call_output", "custom_tool_call_output"})
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]+")
_SHOWN_FROM = "[settings]\n"  # no value can forge this line: JSON has no line feeds


def render(settings: Item, items: Sequence[Item], *, summaries_count: bool = False) -> str:
    """The prompt for `settings` (a request body; its transport fields are left out) and the context `items`.

    Fields that the model is not shown stand ahead of all that it is.
    With `summaries_count`, the summary of a reasoning item that has `encrypted_content` is part of the prompt.
    """
    names = sorted(settings.keys() - TRANSPORT_FIELDS)
    lines = [_line(key, settings[key]) for key in names if key in UNSHOWN_FIELDS]
    lines = ["[unshown]", *lines] if lines else []
    lines.append(_SHOWN_FROM.rstrip())
    lines += (_line(key, settings[key]) for key in names if key not in UNSHOWN_FIELDS)
    for item in items:
        fields = _own_fields(item, summaries_count=summaries_count)
        lines.append("[item]")
        lines += (_line(key, fields[key]) for key in sorted(fields))
    return "\n".join(lines) + "\n"


def render_request(body: Item, *, stored: Mapping[str, Item] | None = None, summaries_count: bool = False) -> str:
    """The prompt of a request that spells out its whole context; `stored` are the items it may refer to by id."""
    return render(body, resolve(items_of(body.get("input")), stored or {}), summaries_count=summaries_count)


def shown(prompt: str) -> str:
    """The part of a rendered prompt that the model is shown, and that tokens are counted of."""
    at = 0 if prompt.startswith(_SHOWN_FROM) else prompt.find(f"\n{_SHOWN_FROM}") + 1
    return prompt[at:]


def items_of(request_input: object) -> list[Item]:
    """The items of a request's `input`: a string is one user message; anything else but a list holds none."""
    if isinstance(request_input, str):
        return [{"type": "message", "role": "user", "content": request_input}]
    if isinstance(request_input, list):
        return [item for item in request_input if isinstance(item, dict)]
    return []


def reference(item: Item) -> str | None:
    """The id that an `item_reference` (or a bare `{"id": …}`) names; None for any other item."""
    named = {key for key, value in item.items() if value is not None}
    identifier = item.get("id")
    if isinstance(identifier, str) and named <= {"id", "type"} and item.get("type") in {None, "item_reference"}:
        return identifier
    return None


def resolve(items: Iterable[Item], stored: Mapping[str, Item]) -> list[Item]:
    """The items with each reference replaced by the stored item that it names; unknown ones stay."""
    return [stored.get(reference(item) or "", item) for item in items]


def _own_fields(item: Item, *, summaries_count: bool) -> dict[str, object]:
    fields = _without_null(item)
    if "type" not in fields and "role" in fields:
        fields["type"] = "message"
    if fields.get("status") == "completed":
        del fields["status"]
    kind = fields.get("type")
    if kind == "message" or (kind in _CALLS and isinstance(fields.get("call_id"), str)):
        fields.pop("id", None)
    if kind == "reasoning" and isinstance(fields.get("encrypted_content"), str) and fields["encrypted_content"]:
        fields.pop("id", None)
        if not summaries_count:
            fields.pop("summary", None)
    arguments = fields.get("arguments")
    if kind == "function_call" and isinstance(arguments, str):
        fields["arguments"] = canonical_arguments(arguments)
    content = fields.get("content")
    if kind == "message" and isinstance(content, str):
        part = "output_text" if fields.get("role") == "assistant" else "input_text"
        fields["content"] = [{"type": part, "text": content}]
    for key in ("content", "summary", "output"):
        parts = fields.get(key)
        if isinstance(parts, list):
            fields[key] = [_part(part) for part in parts]
    return fields


def _without_null(own: Item) -> dict[str, object]:
    return {
        key: value
        for key, value in own.items()
        if key not in _SDK_ONLY and not (value is None and key in DOCUMENTED_KEYS)
    }


def _part(part: object) -> object:
    if not isinstance(part, dict):
        return part
    fields = _without_null(part)
    for key in ("annotations", "logprobs"):
        if fields.get(key) == []:
            del fields[key]
    return {key: fields[key] for key in sorted(fields)}


def _line(key: str, value: object) -> str:
    name = key if _PLAIN_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)
    return f"{name} = {value if isinstance(value, Canonical) else json.dumps(value, ensure_ascii=False)}"
