"""A create request: what is plain, and that its frames say what the caller said, in the caller's own bytes."""

import json
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.reasons import Passed
from proxy.core.request import CreateRequest, NotPlain, parse
from tests.core.spelling import Number, Object, Pairs, Value, exact, randoms, spell, texts, values

MOST = 1000
TRANSPORT = {"stream", "background", "previous_response_id"}
_RESERVED = {*TRANSPORT, "model", "input", "conversation", "prompt", "stream_options", "type", "stream_id", "generate"}


def request(**fields: Value) -> CreateRequest:
    """A parsed create with these fields beside model and input."""
    return parse(json.dumps({"model": "m", "input": [], **fields}).encode(), most_items=MOST)


@st.composite
def bodies(draw: st.DrawFn) -> Object:
    """Any plain create with a list of items, its fields in any order."""
    body: Object = {"model": draw(texts), "input": draw(st.lists(values, max_size=4))}
    body |= draw(st.dictionaries(texts.filter(lambda name: name not in _RESERVED), values, max_size=3))
    body |= draw(st.sampled_from([{}, {"previous_response_id": None}, {"conversation": None, "prompt": None}]))
    body |= draw(st.sampled_from([{}, {"background": False}, {"background": None}]))
    body |= draw(
        st.sampled_from(
            [
                {},
                {"stream": False},
                {"stream": None, "stream_options": None},
                {"stream": True},
                {"stream": True, "stream_options": {"include_obfuscation": False}},
            ]
        )
    )
    return {name: body[name] for name in draw(st.permutations(list(body)))}


def members(text: bytes) -> dict[str, object]:
    """The fields of an object, none of them given twice."""
    pairs = exact(text)
    assert isinstance(pairs, Pairs)
    found = dict(pairs.members)
    assert len(found) == len(pairs.members)
    return found


def expected(text: bytes) -> dict[str, object]:
    """What the frame of this body says: its fields without those of the transport."""
    fields = {name: value for name, value in members(text).items() if name not in TRANSPORT}
    if fields.get("stream_options") is not None:
        fields["stream"] = True
    return {"type": "response.create", **fields}


@given(bodies(), randoms)
def test_a_full_frame_says_what_the_body_says(body: Object, random: Random) -> None:
    """All fields but those of the transport, nothing twice, the type, and each field in the caller's bytes."""
    text = spell(body, random).encode()
    create = parse(text, most_items=MOST)
    frame = create.frame()
    assert members(frame) == expected(text)
    for name, (key, _, end) in create.fields.items():
        if name not in TRANSPORT:
            assert b"," + text[key:end] + (b"}" if name == "input" else b",") in frame + b","


@given(bodies(), randoms, texts, st.data())
def test_a_delta_frame_says_the_new_items_alone(body: Object, random: Random, parent: str, data: st.DataObject) -> None:
    """The same fields, the parent, and the items after those that are skipped, as the caller wrote them."""
    body = {**body, "input": [*_items(body), "the last"]}
    text = spell(body, random).encode()
    create = parse(text, most_items=MOST)
    skip = data.draw(st.integers(0, len(create.items) - 1))
    frame = create.frame(parent, skip)
    items = exact(create.value("input"))
    assert isinstance(items, list)
    assert members(frame) == {**expected(text), "input": items[skip:], "previous_response_id": parent}
    assert b'"input":[' + text[create.items[skip].start : create.items[-1].end] + b"]" in frame
    for name, (key, _, end) in create.fields.items():
        if name not in TRANSPORT | {"input"}:
            assert b"," + text[key:end] + b"," in frame


def _items(body: Object) -> list[Value]:
    items = body["input"]
    assert isinstance(items, list)
    return items


@given(bodies(), randoms)
def test_items_are_the_elements_of_the_input(body: Object, random: Random) -> None:
    """The items' bytes are those of the caller, in order; whether he wants a stream is read once."""
    text = spell(body, random).encode()
    create = parse(text, most_items=MOST)
    assert [exact(item) for item in create.raw_items()] == members(text)["input"]
    assert all(item in text for item in create.raw_items())
    assert create.stream is (body.get("stream") is True)
    assert create.listed


@pytest.mark.parametrize("text", ["hi", "", 'a "b" \\ \n é 😀', "\u2028"])
def test_a_string_input_is_sent_as_it_is_and_means_a_user_message(text: str) -> None:
    """The frame has the caller's string; for the fingerprint it is the message that it stands for."""
    create = request(input=text)
    assert members(create.frame()) == {"type": "response.create", "model": "m", "input": text}
    (item,) = create.raw_items()
    assert members(item) == {"role": "user", "content": text}
    assert (create.listed, len(create.items), create.ends_in_compaction) == (False, 1, False)


def test_an_empty_input_has_no_items() -> None:
    """An empty list is a request like any other."""
    create = request()
    assert (create.items, create.raw_items(), create.ends_in_compaction) == ((), [], False)
    assert members(create.frame())["input"] == []


def test_stream_options_go_along_with_stream() -> None:
    """They are documented to need `stream: true`; without them, or with null, no stream field is sent."""
    options: Object = {"include_obfuscation": False}
    frame = members(request(stream=True, stream_options=options).frame())
    assert frame["stream_options"] == Pairs([("include_obfuscation", False)])
    assert frame["stream"] is True
    for create in (request(), request(stream=True), request(stream=False), request(stream=True, stream_options=None)):
        assert "stream" not in members(create.frame())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"model":"m","input":[],"previous_response_id":"resp_1"}', Passed.OWN_STATE),
        (b'{"model":"m","input":[],"previous_response_id":""}', Passed.OWN_STATE),
        (b'{"model":"m","input":[],"previous\\u005fresponse_id":"resp_1"}', Passed.OWN_STATE),
        (b'{"model":"m","input":[],"conversation":"conv_1"}', Passed.OWN_STATE),
        (b'{"model":"m","input":[],"conversation":{"id":"conv_1"}}', Passed.OWN_STATE),
        (b'{"prompt":{"id":"pmpt_1"}}', Passed.OWN_STATE),
        (b'{"model":"m","input":[],"background":true}', Passed.BACKGROUND),
        (b'{"model":"m","input":[],"background":"yes"}', Passed.ODD_BODY),
        (b'{"model":"m","input":[],"background":1}', Passed.ODD_BODY),
        (b'{"model":"m","input":[],"type":"response.create"}', Passed.SOCKET_FIELDS),
        (b'{"model":"m","input":[],"t\\u0079pe":null}', Passed.SOCKET_FIELDS),
        (b'{"model":"m","input":[],"stream_id":"a"}', Passed.SOCKET_FIELDS),
        (b'{"model":"m","input":[],"generate":false}', Passed.SOCKET_FIELDS),
        (b'{"input":[]}', Passed.ODD_BODY),
        (b'{"model":"m"}', Passed.ODD_BODY),
        (b'{"model":"m","input":null}', Passed.ODD_BODY),
        (b'{"model":"m","input":{}}', Passed.ODD_BODY),
        (b'{"model":"m","input":1}', Passed.ODD_BODY),
        (b'{"model":"m","input":[],"stream":"true"}', Passed.ODD_BODY),
        (b'{"model":"m","input":[],"stream":0}', Passed.ODD_BODY),
        (b'{"model":"m","input":[],"stream_options":{}}', Passed.ODD_BODY),
        (b'{"model":"m","input":[],"stream":false,"stream_options":{}}', Passed.ODD_BODY),
        (b'{"model":"m","input":[],"input":[]}', Passed.ODD_BODY),
        (b'{"model":"m","input":[1],"inp\\u0075t":[1]}', Passed.ODD_BODY),
        (b'{"model":"m","stream":true,"input":[],"stream":true}', Passed.ODD_BODY),
        (b'{"model":"m","input":"\xff"}', Passed.ODD_BODY),
        (b'{"model":"m","input":["\xed\xa0\x80"]}', Passed.ODD_BODY),
        (b'{"model":"m","input":[],"\xc3":1}', Passed.ODD_BODY),
        (b'{"model":"m","input":"\\ud800"}', Passed.ODD_BODY),
        (b'{"model":"m","input":[{"role":"user","content":"half of \\ude00 a pair"}]}', Passed.ODD_BODY),
        (b'\xef\xbb\xbf{"model":"m","input":[]}', Passed.ODD_BODY),
        ('{"model":"m","input":[]}'.encode("utf-16"), Passed.ODD_BODY),
        (b'{"model":"m","input":[]}{}', Passed.ODD_BODY),
        (b'{"model":"m","input":[]', Passed.ODD_BODY),
        (b'{"model":"m","input":[NaN]}', Passed.ODD_BODY),
        (b'{"model":"m","input":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}", Passed.ODD_BODY),
        (b'[{"model":"m","input":[]}]', Passed.ODD_BODY),
        (b"model=m&input=hi", Passed.ODD_BODY),
        (b"", Passed.ODD_BODY),
    ],
)
def test_what_is_not_plain_says_why(body: bytes, reason: Passed) -> None:
    """State of the caller's own, the background, fields of the socket, and whatever only the upstream can judge."""
    with pytest.raises(NotPlain) as raised:
        parse(body, most_items=MOST)
    assert raised.value.reason is reason


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": None, "conversation": None, "prompt": None},
        {"background": False},
        {"background": None},
        {"stream": None},
        {"stream_options": None},
        {"stream": False, "stream_options": None},
        {"from_the_future": {"type": "x"}},
    ],
    ids=str,
)
def test_null_and_false_are_plain(fields: Object) -> None:
    """A field that is null asks for nothing."""
    assert request(**fields).items == ()


def test_the_number_of_items_is_limited() -> None:
    """As many as the setting allows are read, one more is not; very many cost no more than their bytes."""
    assert len(request(input=[1] * MOST).items) == MOST
    with pytest.raises(NotPlain) as raised:
        request(input=[1] * (MOST + 1))
    assert raised.value.reason is Passed.ODD_BODY
    body = b'{"model":"m","input":[' + b"{}," * 200_000 + b"{}]}"
    create = parse(body, most_items=1_000_000)
    assert len(create.items) == 200_001
    assert create.frame("resp_1", 200_000).endswith(b'"input":[{}]}')


@pytest.mark.parametrize(
    "number", ["1e400", "9" * 5000, "-0", "1.0", "1E+5", "0.1000000000000000055511151231257827"], ids=range(6)
)
def test_numbers_are_sent_as_they_were_written(number: str) -> None:
    """No value is read and written again: no digit is lost."""
    create = parse(f'{{"temperature":{number},"model":"m","input":[{number}]}}'.encode(), most_items=1)
    assert members(create.frame())["temperature"] == Number(number)
    assert members(create.frame("resp_1", 0))["input"] == [Number(number)]


@pytest.mark.parametrize(("value", "stored"), [(True, True), (None, True), (False, False)])
def test_responses_are_stored_unless_the_caller_says_no(value: Value, stored: bool) -> None:  # noqa: FBT001 # a table
    """The API's default is to store."""
    assert request(store=value).stored is stored
    assert request().stored


@pytest.mark.parametrize(
    ("fields", "truncates"),
    [("", False), (',"truncation":null', False), (',"truncation":"disabled"', False)]
    + [(f',"truncation":{value}', True) for value in ('"auto"', '"\\u0061uto"', '"from_the_future"', "{}")],
)
def test_truncation_is_seen_however_it_is_written(fields: str, truncates: bool) -> None:  # noqa: FBT001 # a table
    """Anything but the documented way to say no may drop items from the context."""
    create = parse(f'{{"model":"m","input":[]{fields}}}'.encode(), most_items=1)
    assert create.truncates is truncates


HARMLESS: list[Value] = [
    {"type": "function", "name": "read", "parameters": {"type": "object", "properties": {"tools": {"type": "x"}}}},
    {"type": "custom", "name": "patch"},
    {"type": "namespace", "name": "files", "tools": [{"type": "function", "name": "read"}]},
    {"type": "web_search"},
    {"type": "file_search", "vector_store_ids": []},
    {"type": "tool_search"},
    {"type": "local_shell"},
    {"type": "apply_patch"},
    {"type": "computer"},
    {"type": "computer_use_preview", "display_width": 1, "display_height": 1, "environment": "linux"},
]
ACTING: list[Value] = [
    {"type": "mcp", "server_label": "s"},
    {"type": "shell"},
    {"type": "code_interpreter"},
    {"type": "image_generation"},
    {"type": "from_the_future"},
    {"type": "namespace", "name": "n", "tools": [{"type": "function"}, {"type": "mcp"}]},
    {"type": None},
    {"name": "no type"},
    "mcp",
]


@pytest.mark.parametrize("tools", [[], None, HARMLESS, *([tool] for tool in HARMLESS)], ids=str)
def test_tools_that_run_at_the_callers_or_only_read_do_not_act(tools: Value) -> None:
    """Running such a turn twice repeats nothing, wherever the tools were declared."""
    assert not request().acts
    assert not request(tools=tools).acts
    assert not request(input="mcp").acts
    assert not request(input=[{"type": "additional_tools", "tools": tools}, {"role": "user", "content": "mcp"}]).acts


@pytest.mark.parametrize("tool", ACTING, ids=str)
def test_tools_that_the_upstream_runs_may_act(tool: Value) -> None:
    """Hosted shells, code, MCP, images, unknown and unreadable ones: running them twice matters."""
    assert request(tools=[*HARMLESS, tool]).acts
    assert request(input=[{"type": "additional_tools", "role": "developer", "tools": [*HARMLESS, tool]}]).acts
    assert request(input=[{"type": "tool_search_output", "tools": [tool]}, {"role": "user", "content": "x"}]).acts


@pytest.mark.parametrize("odd", [{}, "mcp", 1, [[]]], ids=str)
def test_tools_that_cannot_be_read_may_act(odd: Value) -> None:
    """In doubt nothing is run twice."""
    assert request(tools=odd).acts
    assert request(input=[{"type": "additional_tools", "tools": odd}]).acts
    assert request(input=[odd]).acts is (odd != {})


@pytest.mark.parametrize(
    ("items", "ends"),
    [
        ('{"role":"user","content":"x"},{"type":"compaction_trigger"}', True),
        (' { "x":1, "type" : "compaction\\u005ftrigger" } ', True),
        ('{"type":"compaction_trigger"},{"role":"user","content":"x"}', False),
        ('{"type":"compaction"}', False),
        ('{"type":null}', False),
        ('{"more":{"type":"compaction_trigger"}}', False),
        ('"compaction_trigger"', False),
        ("1", False),
    ],
)
def test_a_compaction_is_asked_for_by_the_last_item(items: str, ends: bool) -> None:  # noqa: FBT001 # a table
    """Only a trigger at the very end starts a new history."""
    create = parse(f'{{"model":"m","input":[{items}]}}'.encode(), most_items=9)
    assert create.ends_in_compaction is ends


@given(texts)
def test_the_parent_is_written_as_json(parent: str) -> None:
    """A response id of any characters stands in the frame as that text."""
    assert msgspec.json.decode(request(input=[1]).frame(parent, 0))["previous_response_id"] == parent


def test_a_lane_is_named_in_the_frame() -> None:
    """On a named lane the frame says so, in full and as a delta; without a lane nothing is said."""
    create = request(input=[1, 2])
    for frame in (create.frame(lane="l.1"), create.frame("resp_1", 1, "l.1")):
        assert members(frame)["stream_id"] == "l.1"
    for frame in (create.frame(), create.frame("resp_1", 1)):
        assert "stream_id" not in members(frame)


def test_a_request_does_not_show_its_body() -> None:
    """What ends up in a traceback or a log line holds no prompt text."""
    assert "secret" not in repr(request(input="secret"))


# --- what may go out of use


@pytest.mark.parametrize(
    ("new", "droppable"),
    [
        ('{"role":"user","content":"next"}', True),
        ('{"type":"function_call_output","call_id":"c","output":"x"}', False),
        ('{"type":"function_call_output","call_id":"c","output":"x"},{"role":"user","content":"and"}', True),
        ('{"type":"reasoning","encrypted_content":"new"}', False),
    ],
)
def test_reasoning_goes_out_of_use_with_a_users_message(new: str, *, droppable: bool) -> None:
    """Only a user's message among the new items lets the upstream drop reasoning: all of it, and nothing else."""
    reasoning = '{"type":"reasoning","summary":[],"encrypted_content":"gAAA"}'
    items = ['{"role":"user","content":"hi"}', reasoning, '{"role":"assistant","content":"x"}', new]
    request = parse(f'{{"model":"m","input":[{",".join(items)}]}}'.encode(), most_items=100)
    assert request.droppable(3) == (len(reasoning) if droppable else 0)


@pytest.mark.parametrize(
    ("item", "known"),
    [
        ('{"type":"reasoning","id":"rs_1","summary":[]}', False),
        ('{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"in short"}]}', False),
        ('{"type":"item_reference","id":"rs_1"}', False),
        ('{"id":"rs_1"}', False),
        ('{"type":"reasoning","id":"rs_1","content":[{"type":"reasoning_text","text":"in full"}]}', True),
        ('{"type":"reasoning","id":"rs_1","encrypted_content":"gAAA"}', True),
    ],
)
def test_of_reasoning_that_is_only_named_nobody_knows_the_size(item: str, *, known: bool) -> None:
    """Stored reasoning comes back as a label or a reference: only its upstream knows how much goes out of use."""
    result, user = '{"type":"function_call_output","call_id":"c","output":"x"}', '{"role":"user","content":"next"}'
    items = f'{{"role":"user","content":"hi"}},{item},{result},{user}'
    request = parse(f'{{"model":"m","input":[{items}]}}'.encode(), most_items=100)
    assert request.droppable(3) == (len(item) if known else None)
    looping = parse(f'{{"model":"m","input":[{items},{result}]}}'.encode(), most_items=100)
    assert looping.droppable(4) == 0


def test_all_that_is_before_a_compaction_goes_out_of_use() -> None:
    """A compaction among the new items stands for everything before it; one in the part that is held says nothing.

    Files that were only named may be among it: nobody can say how much that is.
    """
    compaction = '{"type":"compaction","encrypted_content":"gAAA"}'
    items = [f'{{"role":"user","content":"{"x" * 5_000}"}}', '{"role":"assistant","content":"y"}', compaction]
    request = parse(f'{{"model":"m","input":[{",".join(items)}]}}'.encode(), most_items=100)
    assert request.droppable(2) is None
    assert request.droppable(3) == 0
