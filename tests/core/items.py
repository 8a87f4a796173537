"""Items of every kind, as the API documents them, and the ways in which clients write them again."""

import json
from random import Random

from hypothesis import strategies as st

from tests.core.spelling import Object, Value, exact, objects, randoms, spell, texts, values

MESSAGE: Object = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "phase": "final",
    "content": [
        {"type": "output_text", "text": "hello", "annotations": [], "logprobs": []},
        {"type": "refusal", "refusal": "no"},
    ],
}
USER: Object = {
    "type": "message",
    "role": "user",
    "content": [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "detail": "low", "image_url": "https://example.test/1.png"},
        {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,YQ=="},
    ],
}
CALL: Object = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "read",
    "namespace": "files",
    "arguments": '{"path":"a","lines":[1,2]}',
    "status": "completed",
}
CUSTOM: Object = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "call_2",
    "name": "patch",
    "namespace": "files",
    "input": '{"a": 1}',
    "status": "completed",
}
OUTPUT: Object = {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": "done"}
CUSTOM_OUTPUT: Object = {
    "type": "custom_tool_call_output",
    "id": "cto_1",
    "call_id": "call_2",
    "output": [{"type": "input_text", "text": "done"}],
}
REASONING: Object = {
    "type": "reasoning",
    "id": "rs_1",
    "encrypted_content": "gAAAA",
    "summary": [{"type": "summary_text", "text": "thought"}],
    "content": [{"type": "reasoning_text", "text": "hm"}],
    "status": "completed",
}
PLAIN_REASONING: Object = {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "thought"}]}
KINDS = [MESSAGE, USER, CALL, CUSTOM, OUTPUT, CUSTOM_OUTPUT, REASONING, PLAIN_REASONING]
NULLABLE = {
    "message": ["id", "status", "phase"],
    "function_call": ["id", "namespace", "status", "async", "async_", "caller", "created_by"],
    "custom_tool_call": ["id", "namespace", "status", "async", "async_", "caller", "created_by"],
    "function_call_output": ["id", "status", "name", "namespace", "caller", "created_by"],
    "custom_tool_call_output": ["id", "status", "name", "namespace", "caller", "created_by"],
    "reasoning": ["summary", "content", "encrypted_content", "status"],
}
PART_NULLABLE = {
    "input_text": ["prompt_cache_breakpoint"],
    "output_text": ["annotations", "logprobs"],
    "input_image": ["detail", "file_id", "image_url", "prompt_cache_breakpoint"],
    "input_file": ["detail", "file_id", "file_data", "file_url", "filename", "prompt_cache_breakpoint"],
}
HOSTED: list[Object] = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {"type": "mcp_approval_request", "id": "mcpr_1", "name": "n", "arguments": "{}", "server_label": "s"},
    {"type": "mcp_approval_response", "id": "x_1", "approval_request_id": "mcpr_1", "approve": True},
    {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAA"},
    {"type": "from_the_future", "id": "ff_1", "call_id": "call_9", "content": [{"type": "output_text", "text": "t"}]},
]


def but(item: Object, **changes: Value) -> Object:
    """The item with these keys changed or added."""
    return {**item, **changes}


def without(item: Object, *names: str) -> Object:
    """The item without these keys."""
    return {key: value for key, value in item.items() if key not in names}



_OPEN: st.SearchStrategy[Object] = st.dictionaries(texts.filter(lambda key: len(key) != 2), values, max_size=2)
_NAMES = st.sampled_from(["read", "write", "", "a b", "é"])
_STATUS = st.sampled_from([{}, {"status": "completed"}, {"status": "incomplete"}])


def _input_parts() -> st.SearchStrategy[Value]:
    return st.one_of(
        st.builds(lambda text: {"type": "input_text", "text": text}, texts),
        st.builds(lambda url: {"type": "input_image", "image_url": url}, texts),
        st.builds(lambda text, more: {"type": "from_the_future", "text": text, "more": more}, texts, values),
    )


def _output_parts() -> st.SearchStrategy[Value]:
    return st.one_of(
        st.builds(lambda text: {"type": "output_text", "text": text}, texts),
        st.builds(lambda text: {"type": "refusal", "refusal": text}, texts),
        st.builds(lambda text, more: {"type": "output_text", "text": text, "annotations": [more]}, texts, values),
    )


@st.composite
def items(draw: st.DrawFn) -> Object:
    """Any item, in its fullest form."""
    kind = draw(st.sampled_from(sorted(NULLABLE) + ["user", "from_the_future"]))
    item: Object = {"type": "message" if kind == "user" else kind, "id": draw(texts)}
    if kind == "message":
        item |= {"role": "assistant", "content": draw(st.lists(_output_parts(), max_size=3))}
    elif kind == "user":
        role = draw(st.sampled_from(["user", "system", "developer"]))
        item |= {"role": role, "content": draw(st.lists(_input_parts(), max_size=3))}
    elif kind == "reasoning":
        item |= {"summary": [{"type": "summary_text", "text": draw(texts)}], "encrypted_content": draw(texts)}
    elif kind.endswith("_call"):
        item |= {"call_id": draw(texts), "name": draw(_NAMES)}
        item["arguments" if kind == "function_call" else "input"] = draw(_argument_texts())
    elif kind.endswith("_output"):
        item |= {"call_id": draw(texts), "output": draw(st.one_of(texts, st.lists(_input_parts(), max_size=2)))}
    else:
        item |= {"more": draw(values)}
    return {**item, **draw(_STATUS), **draw(_OPEN)}


@st.composite
def _argument_texts(draw: st.DrawFn) -> str:
    return draw(st.one_of(texts, st.builds(spell, objects, randoms)))


def _own(item: Object) -> list[str]:
    kind = str(item.get("type") or "message")
    return ["type", "role", "content", "call_id", "name", "arguments", "input", "output", *NULLABLE[kind]]


def respelled(item: Object, random: Random) -> Object:
    """The same item as another client may write it."""
    kind = str(item["type"])
    if kind not in NULLABLE:
        return item
    other = dict(item)
    for name in NULLABLE[kind]:
        if name not in other and random.randrange(2):
            other[name] = None
    if "status" not in item:
        other["status"] = random.choice([None, "completed"])
    elif item["status"] == "completed" and random.randrange(2):
        del other["status"]
    if (kind != "reasoning" or item["encrypted_content"]) and random.randrange(2):
        other["id"] = random.choice([None, "another"])
    if kind == "function_call":
        other["arguments"] = _respaced(str(item["arguments"]), random)
    if kind == "message":
        _shorten(other, random)
    return _shuffled(other, random)


def _shuffled(item: Object, random: Random) -> Object:
    """The item with its documented keys anywhere; the open ones keep their order."""
    own = _own(item)
    open_keys = iter([key for key in item if key not in own])
    places = random.sample(list(item), len(item))
    return {key: item[key] for key in (place if place in own else next(open_keys) for place in places)}


def _respaced(text: str, random: Random) -> str:
    """Arguments with other white space and escapes; as they are where Python would not keep all that they say."""
    try:
        spelled = spell(json.loads(text), random)
        return spelled if exact(spelled.encode()) == exact(text.encode()) else text
    except ValueError:
        return text


def _shorten(message: Object, random: Random) -> None:
    if random.randrange(2):
        del message["type"]
    kind = "output_text" if message["role"] == "assistant" else "input_text"
    match message["content"]:
        case [{"type": part, "text": str(text), **more}] if part == kind and not more and random.randrange(2):
            message["content"] = text
        case [*parts]:
            message["content"] = [_lengthened(part, random) for part in parts]


def _lengthened(part: Value, random: Random) -> Value:
    if not isinstance(part, dict) or part["type"] not in PART_NULLABLE:
        return part
    other = dict(part)
    for name in PART_NULLABLE[str(part["type"])]:
        if name not in other and random.randrange(2):
            other[name] = [] if name in {"annotations", "logprobs"} and random.randrange(2) else None
    keys = list(other)
    random.shuffle(keys)
    return {key: other[key] for key in keys}


