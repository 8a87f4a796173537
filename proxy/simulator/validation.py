"""Validation: what the API refuses about a create, before and after its context is known, and about a steer."""

import re
from collections.abc import Sequence

from proxy.simulator.errors import invalid
from proxy.simulator.images import check_images
from proxy.simulator.prompt import Item, reference

LANE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_CALLS = {"function_call": "function call", "custom_tool_call": "custom tool call"}
_OUTPUTS = {f"{kind}_output": kind for kind in _CALLS}
_STEERING_PARTS = frozenset({"input_text", "input_image", "input_file"})
_ROLES = ("assistant", "system", "developer", "user")
_TYPES: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "instructions": (str,),
    "previous_response_id": (str,),
    "tools": (list,),
    "include": (list,),
    "metadata": (dict,),
    "text": (dict,),
    "reasoning": (dict,),
    "store": (bool,),
    "stream": (bool,),
    "generate": (bool,),
    "temperature": (int, float),
    "top_p": (int, float),
    "max_output_tokens": (int,),
    "input": (str, list),
    "image": (dict,),
}
_NAMES = {str: "a string", list: "an array", dict: "an object", bool: "a boolean", int: "an integer"}


def check_fields(body: Item) -> None:
    """Raise RefusedError for a request whose fields are wrong whatever the context."""
    for name, kinds in _TYPES.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            expected = "a number" if float in kinds else " or ".join(_NAMES[kind] for kind in kinds)
            raise invalid(f"Invalid type for '{name}': expected {expected}.", name, "invalid_type")
    check_tools(body.get("tools"))
    check_images(body)
    if not body.get("model"):
        raise invalid("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    if body.get("stream_options") is not None and body.get("stream") is not True:
        raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if body.get("input") is None and not any(body.get(k) for k in ("previous_response_id", "prompt", "conversation")):
        raise invalid(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
            "input",
            "missing_required_parameter",
        )
    if body.get("conversation") is not None and body.get("previous_response_id") is not None:
        raise invalid(
            "Mutually exclusive parameters: 'previous_response_id' and 'conversation'.",
            "previous_response_id",
            "mutually_exclusive_parameters",
        )


def check_tools(tools: object, where: str = "tools", *, inner: bool = False) -> None:
    """Raise RefusedError for a list of tools with something that is none. A namespace holds tools, and no namespace."""
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        place = f"{where}[{index}]"
        kind = tool.get("type") if isinstance(tool, dict) else None
        if not isinstance(kind, str):
            raise invalid(f"Missing required parameter: '{place}.type'.", f"{place}.type", "missing_required_parameter")
        if kind in {"function", "custom", "namespace"} and not isinstance(tool.get("name"), str):
            raise invalid(f"Missing required parameter: '{place}.name'.", f"{place}.name", "missing_required_parameter")
        if kind == "namespace":
            if inner or not isinstance(tool.get("tools"), list):
                raise invalid(f"Invalid type for '{place}.tools'.", f"{place}.tools", "invalid_type")
            check_tools(tool["tools"], f"{place}.tools", inner=True)


def check_items(items: object) -> None:
    """Raise RefusedError for an `input` list with an item that is none."""
    for index, item in enumerate(items if isinstance(items, list) else ()):
        where = f"input[{index}]"
        if not isinstance(item, dict):
            raise invalid(f"Invalid type for '{where}': expected an object.", where, "invalid_type")
        kind = item.get("type")
        for name in ("type", "call_id"):
            if not isinstance(item.get(name), str | None):
                raise invalid(f"Invalid type for '{where}.{name}'.", f"{where}.{name}", "invalid_type")
        if kind != "mcp_list_tools":  # those of a server have no type
            check_tools(item.get("tools"), f"{where}.tools")
        if kind is None and item.get("role") is None and reference(item) is None:
            raise invalid(f"Missing required parameter: '{where}.type'.", f"{where}.type", "missing_required_parameter")
        if kind == "message" or (kind is None and item.get("role") is not None):
            _check_message(item, where)


def _check_message(item: Item, where: str) -> None:
    if item.get("role") not in _ROLES:
        raise invalid(
            f"Invalid value: '{item.get('role')}'. Supported values are: {', '.join(map(repr, _ROLES))}.",
            f"{where}.role",
            "invalid_value",
        )
    content = item.get("content")
    if not isinstance(content, str | list):
        raise invalid(f"Invalid type for '{where}.content'.", f"{where}.content", "invalid_type")
    for part_index, part in enumerate(content if isinstance(content, list) else ()):
        allowed = {"output_text", "refusal"}
        kind = part.get("type") if isinstance(part, dict) else None
        wrong = not isinstance(kind, str) or (kind in allowed) != (item["role"] == "assistant")
        if wrong:
            place = f"{where}.content[{part_index}].type"
            raise invalid(f"Invalid value: '{kind}' in a message of the {item['role']}.", place, "invalid_value")


def check_pairs(context: Sequence[Item]) -> None:
    """Raise RefusedError for a tool output without an earlier call, or a call without an output."""
    open_calls: dict[object, str] = {}
    known: set[tuple[object, object]] = set()
    for item in context:
        kind, call_id = item.get("type"), item.get("call_id")
        if kind in _CALLS:
            open_calls[call_id] = _CALLS[str(kind)]
            known.add((kind, call_id))
        elif kind in _OUTPUTS:
            call = _OUTPUTS[str(kind)]
            if (call, call_id) not in known:
                raise invalid(f"No tool call found for {_CALLS[call]} output with call_id {call_id}.", "input")
            open_calls.pop(call_id, None)
    for call_id, name in open_calls.items():
        raise invalid(f"No tool output found for {name} {call_id}.", "input")


def check_frame(body: Item) -> None:
    """Raise RefusedError for what a create frame must not say, though a body may."""
    if body.get("stream") is False:
        raise invalid("The 'stream' parameter is not supported on /v1/responses.")
    if body.get("background"):
        raise invalid("The 'background' parameter is not supported on /v1/responses.", "background")


def check_steer(frame: Item) -> None:
    """Raise RefusedError for a steer frame that is not the id of a response, messages of the user and nothing else."""
    for name in frame:
        if name not in {"type", "previous_response_id", "input"}:
            raise invalid(f"Unknown parameter: '{name}'.", name, "invalid_input")
    if not isinstance(frame.get("previous_response_id"), str):
        raise invalid("'previous_response_id' must be the id of a response.", "previous_response_id", "invalid_input")
    given = frame.get("input")
    if isinstance(given, str):
        return
    if not isinstance(given, list) or not given:
        raise invalid("'input' must be a string or a non-empty array of user messages.", "input", "invalid_input")
    for index, item in enumerate(given):
        if not _is_user_message(item):
            message = (
                f"'input[{index}]' is not supported for steering: only user messages of text, images and files are."
            )
            raise invalid(message, f"input[{index}]", "invalid_input")


def _is_user_message(item: object) -> bool:
    """A message of the user with a type, a role and a content that steering takes, and no further key."""
    if not isinstance(item, dict) or set(item) - {"type", "role", "content"}:
        return False
    if item.get("type", "message") != "message" or item.get("role") != "user":
        return False
    content = item.get("content")
    if isinstance(content, list):
        return all(isinstance(part, dict) and part.get("type") in _STEERING_PARTS for part in content)
    return isinstance(content, str)
