"""Each rule of what items mean: equal forms share fingerprint and prompt, unequal ones share neither."""

import json
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.meaning import Ambiguous, Reference, Rules, meaning, read
from proxy.core.request import parse
from proxy.simulator import render_request
from tests.core.histories import FAITHFUL, KNOWN_HOST, STRICT, assert_different, assert_equal, mark, prompt
from tests.core.spelling import Object, Value, exact, objects, randoms, spell, texts, values

by_kind = pytest.mark.parametrize("item", KINDS, ids=lambda item: str(item["type"]))


def reversed_keys(item: Object) -> Object:
    """The item with its own keys, and those of its parts, the other way round."""
    return {key: [_reversed(part) for part in value] if _parts(value) else value for key, value in _turned(item)}


def _turned(item: Object) -> list[tuple[str, Value]]:
    return list(item.items())[::-1]


def _reversed(part: Value) -> Value:
    return dict(_turned(part)) if isinstance(part, dict) else part


def _parts(value: Value) -> bool:
    return isinstance(value, list)


# ---- equal


@by_kind
@pytest.mark.parametrize("rules", [FAITHFUL, STRICT], ids=lambda rules: rules.match)
def test_the_order_of_own_keys_does_not_count(item: Object, rules: Rules) -> None:
    """An item and its parts mean the same whatever the order of their documented keys."""
    assert list(reversed_keys(item)) != list(item)
    assert_equal(item, reversed_keys(item), rules)


@by_kind
@pytest.mark.parametrize("rules", [FAITHFUL, STRICT], ids=lambda rules: rules.match)
def test_nulls_of_documented_keys_are_absent(item: Object, rules: Rules) -> None:
    """A documented key that is null means what its absence means."""
    for name in NULLABLE[str(item["type"])]:
        assert_equal(but(item, **{name: None}), without(item, name), rules)


@pytest.mark.parametrize("rules", [FAITHFUL, STRICT], ids=lambda rules: rules.match)
@pytest.mark.parametrize("kind", PART_NULLABLE)
def test_nulls_of_documented_part_keys_are_absent(kind: str, rules: Rules) -> None:
    """The same for content parts, in messages and in tool outputs."""
    part: Object = {"type": kind, "text": "t"} if kind.endswith("_text") else {"type": kind}
    for name in PART_NULLABLE[kind]:
        assert_equal(but(USER, content=[part]), but(USER, content=[but(part, **{name: None})]), rules)
        assert_equal(but(CUSTOM_OUTPUT, output=[part]), but(CUSTOM_OUTPUT, output=[but(part, **{name: None})]), rules)


@by_kind
def test_a_completed_status_is_as_good_as_none(item: Object) -> None:
    """`status: completed` means what its absence means."""
    assert_equal(but(item, status="completed"), without(item, "status"))


def test_empty_annotations_and_logprobs_are_absent() -> None:
    """Empty `annotations` and `logprobs` of an output text mean what their absence means."""
    part: Object = {"type": "output_text", "text": "hello"}
    for extra in ({"annotations": []}, {"logprobs": []}, {"annotations": [], "logprobs": []}, {"annotations": None}):
        assert_equal(but(MESSAGE, content=[part]), but(MESSAGE, content=[{**part, **extra}]))


@pytest.mark.parametrize("text", ["hi", "", 'a "quoted"\\ \u2028 é 😀', "\\ud83d\\ude00"])
def test_a_string_input_is_one_user_message(text: str) -> None:
    """A request whose input is a string means the same as one with that user message."""
    body = json.dumps({"model": "m", "input": text}).encode()
    message: Object = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    (item,) = parse(body, most_items=1).raw_items()
    assert mark([item.decode()]) == mark([message])
    assert render_request(json.loads(body)) == render_request({"model": "m", "input": [message]})


@pytest.mark.parametrize("extra", [{}, {"unknown": {"b": 1, "a": None}}], ids=["plain", "with an unknown key"])
@pytest.mark.parametrize("kind", [{}, {"type": None}], ids=["absent", "null"])
def test_a_missing_type_beside_a_role_is_a_message(kind: Object, extra: Object) -> None:
    """An item with a role and no type is a message."""
    for message in (MESSAGE, USER):
        assert_equal({**message, **extra}, {**kind, **without(message, "type"), **extra})


@pytest.mark.parametrize("role", ["user", "system", "developer", "assistant"])
def test_a_message_of_a_string_is_one_of_one_text_part(role: str) -> None:
    """String content is one text part: input_text, for the assistant output_text."""
    kind = "output_text" if role == "assistant" else "input_text"
    other = "input_text" if role == "assistant" else "output_text"
    short: Object = {"role": role, "content": "hi"}
    assert_equal(short, {"role": role, "content": [{"type": kind, "text": "hi"}]})
    assert_different(short, {"role": role, "content": [{"type": other, "text": "hi"}]})


@pytest.mark.parametrize("item", [MESSAGE, CALL, CUSTOM, OUTPUT, CUSTOM_OUTPUT], ids=lambda item: str(item["type"]))
def test_the_ids_of_messages_and_of_paired_calls_do_not_count(item: Object) -> None:
    """What the API does not pair by its id means the same under another, or none."""
    assert_equal(item, but(item, id="other"))
    assert_equal(item, without(item, "id"))


@pytest.mark.parametrize("rules", [FAITHFUL, KNOWN_HOST], ids=["any host", "known host"])
def test_the_id_of_encrypted_reasoning_does_not_count(rules: Rules) -> None:
    """Reasoning with encrypted_content means the same under another id, or none."""
    assert_equal(REASONING, but(REASONING, id="rs_other"), rules)
    assert_equal(REASONING, without(REASONING, "id"), rules)


def test_the_summary_of_encrypted_reasoning_does_not_count_on_hosts_known_for_it() -> None:
    """There a lost or shortened summary changes nothing; elsewhere it does."""
    for other in (without(REASONING, "summary"), but(REASONING, summary=[]), but(REASONING, summary=None)):
        assert_equal(REASONING, other, KNOWN_HOST)
        assert_different(REASONING, other, FAITHFUL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"b":[true,null]}', ' { "a" : 1 ,\n"b": [ true, null ] }\t'),
        ('{"a":"é/😀"}', '{"\\u0061":"\\u00e9\\/\\ud83d\\ude00"}'),
        ("{}", "{ }"),
        ('"text"', ' "t\\u0065xt"'),
        ("1.50", " 1.50"),
    ],
)
def test_arguments_are_compared_as_json(one: str, other: str) -> None:
    """Other white space and escapes in `arguments` mean the same."""
    assert_equal(but(CALL, arguments=one), but(CALL, arguments=other))


def test_what_only_sdks_add_does_not_count() -> None:
    """`parsed`, `parsed_arguments` and codex's metadata are not for the model."""
    assert_equal(CALL, but(CALL, parsed_arguments={"path": "a"}))
    part: Object = {"type": "output_text", "text": "hello"}
    assert_equal(but(MESSAGE, content=[part]), but(MESSAGE, content=[but(part, parsed={"x": 1})]))
    for item in [*KINDS, *HOSTED]:
        assert_equal(item, but(item, internal_chat_message_metadata_passthrough={"turn_id": "t"}))


@pytest.mark.parametrize("spelled", [{"type": "item_reference", "id": "x"}, {"id": "x"}, {"id": "x", "type": None}])
def test_a_reference_means_the_stored_item_that_it_names(spelled: Object) -> None:
    """An `item_reference`, a bare id too, is the item with that id where that is known, and else only itself."""
    for item in KINDS:
        stored: dict[str, str | Object] = {"x": but(item, id="x")}
        assert mark([spelled], stored=stored) == mark([stored["x"]])
        assert prompt([spelled], stored=stored) == prompt([stored["x"]])
        assert mark([spelled]) != mark([stored["x"]])
        assert prompt([spelled]) != prompt([stored["x"]])
    assert meaning(json.dumps(spelled).encode(), FAITHFUL) == Reference("x")


# ---- never equal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hello", "Hello"),
        ("hello", "hello "),
        ("hello", "hello\n"),
        ("é", "e\u0301"),
        ("", "\x00"),
        ("a", "\ufeffa"),
    ],
)
@pytest.mark.parametrize("rules", [FAITHFUL, STRICT, Rules("relaxed")], ids=lambda rules: rules.match)
def test_text_counts(one: str, other: str, rules: Rules) -> None:
    """Any other character anywhere is another meaning; Unicode is not normalised."""
    assert_different({"role": "user", "content": one}, {"role": "user", "content": other}, rules)
    assert_different(but(OUTPUT, output=one), but(OUTPUT, output=other), rules)
    assert_different(but(CUSTOM, input=one), but(CUSTOM, input=other), rules)


def test_the_role_counts() -> None:
    """Another role is another message."""
    assert_different(USER, but(USER, role="system"))
    assert_different({"role": "user", "content": "x"}, {"role": "developer", "content": "x"})
    assert_different({"role": "user", "content": "x"}, {"role": "assistant", "content": "x"})


def test_the_phase_counts() -> None:
    """A message of another phase, or of none, is another message."""
    assert_different(MESSAGE, but(MESSAGE, phase="commentary"))
    assert_different(MESSAGE, without(MESSAGE, "phase"))


@pytest.mark.parametrize("item", [CALL, CUSTOM, OUTPUT, CUSTOM_OUTPUT], ids=lambda item: str(item["type"]))
def test_the_call_id_counts(item: Object) -> None:
    """A call or an output with another call_id is paired otherwise."""
    assert_different(item, but(item, call_id="call_other"))
    assert_different(item, without(item, "call_id"))


@pytest.mark.parametrize("item", [CALL, CUSTOM, OUTPUT, CUSTOM_OUTPUT], ids=lambda item: str(item["type"]))
def test_without_a_call_id_the_id_counts(item: Object) -> None:
    """Where there is no call_id to pair by, the id is all there is."""
    assert_different(without(item, "call_id"), but(without(item, "call_id"), id="other"))


@pytest.mark.parametrize("item", [CALL, CUSTOM], ids=lambda item: str(item["type"]))
def test_name_and_namespace_count(item: Object) -> None:
    """A call of another tool is another call."""
    assert_different(item, but(item, name="write"))
    assert_different(item, but(item, namespace="other"))
    assert_different(item, without(item, "namespace"))


def test_the_order_of_items_counts() -> None:
    """The same items in another order are another history, and so is one item more or less."""
    assert mark([CALL, OUTPUT]) != mark([OUTPUT, CALL])
    assert prompt([CALL, OUTPUT]) != prompt([OUTPUT, CALL])
    assert len({mark([]), mark([USER]), mark([USER, USER])}) == 3
    assert len({prompt([]), prompt([USER]), prompt([USER, USER])}) == 3


def test_the_order_and_number_of_parts_count() -> None:
    """Parts in another order, split or doubled, are another message."""
    one: Object = {"type": "input_text", "text": "a"}
    two: Object = {"type": "input_text", "text": "b"}
    for other in ([two, one], [one], [one, two, two], [{"type": "input_text", "text": "ab"}], []):
        assert_different(but(USER, content=[one, two]), but(USER, content=other))


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        (
            {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            {"image_url": "data:image/png;base64,AB=="},
        ),
        ({"type": "input_image", "image_url": "u"}, {"detail": "high"}),
        ({"type": "input_image", "file_id": "file_1"}, {"file_id": "file_2"}),
        ({"type": "input_file", "file_data": "YQ=="}, {"file_data": "Yg=="}),
        ({"type": "input_file", "file_url": "u"}, {"file_url": "v"}),
        ({"type": "input_file", "file_id": "f", "filename": "a"}, {"filename": "b"}),
    ],
)
def test_images_and_files_count(part: Object, changes: Object) -> None:
    """Another image or file, or another detail of one, is another message or output."""
    assert_different(but(USER, content=[part]), but(USER, content=[{**part, **changes}]))
    assert_different(but(OUTPUT, output=[part]), but(OUTPUT, output=[{**part, **changes}]))


@pytest.mark.parametrize("rules", [FAITHFUL, KNOWN_HOST], ids=["any host", "known host"])
def test_encrypted_content_counts(rules: Rules) -> None:
    """Other encrypted reasoning, or none, is other reasoning; so is its open content."""
    assert_different(REASONING, but(REASONING, encrypted_content="gAAAB"), rules)
    assert_different(REASONING, without(REASONING, "encrypted_content"), rules)
    assert_different(REASONING, but(REASONING, content=[{"type": "reasoning_text", "text": "ah"}]), rules)


@pytest.mark.parametrize("rules", [FAITHFUL, KNOWN_HOST], ids=["any host", "known host"])
@pytest.mark.parametrize("encrypted", [{}, {"encrypted_content": ""}], ids=["none", "empty"])
def test_reasoning_that_is_not_encrypted_counts_whole(encrypted: Object, rules: Rules) -> None:
    """Without encrypted_content the id and the summary count, wherever."""
    plain: Object = {**PLAIN_REASONING, **encrypted}
    assert_different(plain, but(plain, id="rs_other"), rules)
    assert_different(plain, without(plain, "id"), rules)
    assert_different(plain, but(plain, summary=[]), rules)


@by_kind
def test_an_incomplete_status_counts(item: Object) -> None:
    """`incomplete` and `in_progress` are neither `completed` nor absent."""
    for status in ("incomplete", "in_progress"):
        assert_different(but(item, status=status), but(item, status="completed"))
        assert_different(but(item, status=status), without(item, "status"))


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("1", '"1"'), ("1", "true"), ("0", "false"), ("0", "null")])
def test_numbers_of_another_type_are_other_numbers(one: str, other: str) -> None:
    """1, 1.0, "1" and true are four values, in arguments and anywhere else."""
    assert_different(but(CALL, arguments=f'{{"n":{one}}}'), but(CALL, arguments=f'{{"n":{other}}}'))
    for form in ('{"type":"x","n":%s}', '{"role":"user","content":"t","n":[%s]}', '{"role":"user","content":%s}'):
        assert_different(form % one, form % other)


@pytest.mark.parametrize(
    ("one", "other"), [("100000", "1e5"), ("1e5", "1E5"), ("1e5", "1e+5"), ("1.0", "1.00"), ("-0", "0"), ("1", "1e0")]
)
def test_numbers_in_arguments_are_compared_as_text(one: str, other: str) -> None:
    """A number that is spelled otherwise is another one."""
    assert_different(but(CALL, arguments=f"[{one}]"), but(CALL, arguments=f"[{other}]"))
    assert mark([f'{{"n":{one}}}']) != mark([f'{{"n":{other}}}'])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":1}', '{"a":1,"b":null}'),
        ("{}", "[]"),
        ("{}", '"{}"'),
        ("{}", ""),
        ('{"":1}', '{"":1,"":1}'),
        ('[["a",1]]', '{"a":1}'),
        ("null", ""),
    ],
)
def test_open_json_in_arguments_keeps_order_and_nulls(one: str, other: str) -> None:
    """What stands inside arguments is the tool's own JSON: order, nulls and types count."""
    assert_different(but(CALL, arguments=one), but(CALL, arguments=other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"a":1}', '{ "a":1,"a":1}'),
        ('{"a":1,"a":2}', '{"a":2}'),
        ("[NaN]", "[ NaN]"),
        ("{", "{ "),
        ("not json", "not  json"),
        ('"\ud800"', ' "\ud800"'),
        ('"\\ud800"', '"\\uD800"'),
        ("[" * 100_000, " " + "[" * 100_000),
    ],
)
def test_arguments_in_doubt_are_compared_as_text(one: str, other: str) -> None:
    """Keys given twice, broken JSON, half characters: only the very same text is the same."""
    assert_different(but(CALL, arguments=one), but(CALL, arguments=other))
    assert_equal(but(CALL, arguments=one), but(CALL, arguments=one, id="other"))


def test_deep_arguments_are_compared_as_text() -> None:
    """JSON that is nested deeper than any parser promises to read is only its own text."""
    deep = "[" * 300 + "]" * 300
    assert mark([but(CALL, arguments=deep)]) != mark([but(CALL, arguments=deep + " ")])
    shallow = "[" * 150 + "]" * 150
    assert mark([but(CALL, arguments=shallow)]) == mark([but(CALL, arguments=shallow + " ")])


def test_arguments_of_another_type_never_equal_a_text() -> None:
    """An object, its text as a string, and their look-alikes in our own encoding are all different."""
    forms: list[Value] = [{}, "{}", {"json": {}}, {"text": "{}"}, {"value": {}}, '{"json":{}}', '"{}"', None, "", []]
    marks = {mark([but(CALL, arguments=form)]) for form in forms}
    assert len(marks) == len(forms)


@pytest.mark.parametrize("item", [CUSTOM, OUTPUT], ids=lambda item: str(item["type"]))
def test_only_the_arguments_of_a_function_call_are_json(item: Object) -> None:
    """A custom tool's input and an output are texts, even where they look like JSON."""
    key = "input" if "input" in item else "output"
    assert_different(but(item, **{key: '{"a":1}'}), but(item, **{key: '{"a": 1}'}))


def test_only_messages_have_string_content_as_a_part() -> None:
    """The output of a tool as a string is not its output as a text part."""
    for item in (OUTPUT, CUSTOM_OUTPUT):
        assert_different(but(item, output="t"), but(item, output=[{"type": "input_text", "text": "t"}]))


@pytest.mark.parametrize("role", [{"role": "tool"}, {"role": 1}, {"role": None}, {}], ids=str)
def test_a_string_of_an_unknown_role_stands_for_no_part(role: Object) -> None:
    """Only for the roles that the API documents is it known what a bare string stands for."""
    message: Object = {"type": "message", **role}
    text, part = but(message, content="t"), but(message, content=[{"type": "input_text", "text": "t"}])
    assert mark([text]) != mark([part])


@pytest.mark.parametrize(
    "changes",
    [
        {"annotations": [{"type": "url_citation", "url": "u"}]},
        {"logprobs": [{"token": "h", "logprob": -1}]},
        {"unknown": None},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_part_with_more_than_text_is_not_a_string(changes: Object) -> None:
    """Annotations, logprobs and unknown keys of a text part count."""
    part: Object = {"type": "output_text", "text": "hello"}
    assert_different(but(MESSAGE, content="hello"), but(MESSAGE, content=[{**part, **changes}]))


@pytest.mark.parametrize("item", [*KINDS, *HOSTED], ids=lambda item: str(item["type"]))
def test_unknown_keys_count(item: Object) -> None:
    """A key that is not documented counts with its null, its value and the order inside it."""
    assert_different(item, but(item, unknown=None))
    assert_different(but(item, unknown=1), but(item, unknown=2))
    assert_different(but(item, unknown={"a": 1, "b": 2}), but(item, unknown={"b": 2, "a": 1}))
    assert_different(but(item, unknown={"a": None}), but(item, unknown={}))
    assert_different(but(item, unknown=1), but(item, UNKNOWN=1))


def test_what_looks_like_a_part_in_an_unknown_key_is_open_json() -> None:
    """Only the documented lists of an item hold parts: elsewhere nulls and order stay."""
    part: Object = {"type": "output_text", "text": "t"}
    for rules in (FAITHFUL, STRICT):
        for item, key in ((CALL, "output"), (CUSTOM, "output"), (OUTPUT, "content"), (CALL, "summary")):
            assert mark([but(item, **{key: [part]})], rules) != mark(
                [but(item, **{key: [but(part, detail=None)]})], rules
            )
            one, other = but(part, annotations=[]), but(part, annotations=None)
            assert mark([but(item, **{key: [one]})], rules) != mark([but(item, **{key: [other]})], rules)


@pytest.mark.parametrize("item", HOSTED, ids=lambda item: str(item["type"]))
def test_items_that_the_upstream_pairs_by_id_count_whole(item: Object) -> None:
    """Hosted calls, approvals and unknown items keep their ids."""
    assert_different(item, but(item, id="other"))
    assert_different(item, without(item, "id"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "item_reference", "id": "x"}, {"type": "item_reference", "id": "y"}),
        ({"type": "item_reference", "id": "x"}, {"type": "item_reference", "id": "x", "unknown": 1}),
        ({"type": "item_reference", "id": "x"}, {"type": "item_reference", "id": ["x"]}),
        ({"id": "x"}, {"id": "x", "unknown": 1}),
        ({"id": "x"}, {"id": 1}),
        ({"id": "x"}, {"type": "", "id": "x"}),
    ],
    ids=str,
)
def test_a_reference_is_nothing_but_an_id(one: Object, other: Object) -> None:
    """What has more keys, another type or an odd id is no reference to the same item."""
    stored: dict[str, str | Object] = {"x": USER, "y": CALL}
    assert mark([one], stored=stored) != mark([other], stored=stored)
    assert prompt([one], stored=stored) != prompt([other], stored=stored)


# ---- strict, relaxed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (MESSAGE, without(MESSAGE, "id")),
        (MESSAGE, without(MESSAGE, "status")),
        (MESSAGE, without(MESSAGE, "type")),
        (REASONING, without(REASONING, "id")),
        (CALL, but(CALL, arguments='{"path": "a","lines":[1,2]}')),
        (CALL, but(CALL, parsed_arguments={})),
        ({"role": "user", "content": "t"}, {"role": "user", "content": [{"type": "input_text", "text": "t"}]}),
        (but(MESSAGE, content=[{"type": "output_text", "text": "t"}]), but(MESSAGE, content=[MESSAGE["content"]])),
    ],
)
def test_strict_knows_only_key_order_and_null(one: Object, other: Object) -> None:
    """In strict mode every other rule is off."""
    assert mark([one], STRICT) != mark([other], STRICT)


def test_strict_does_not_look_up_references() -> None:
    """In strict mode a reference is only itself."""
    stored: dict[str, str | Object] = {"x": USER}
    assert mark([{"id": "x"}], STRICT, stored) != mark([USER], STRICT)


def test_strict_leaves_unknown_items_and_odd_parts_as_they_are() -> None:
    """Without documented keys there is nothing to put in order."""
    for one, other in (
        ({"type": "x", "a": 1, "b": 2}, {"type": "x", "b": 2, "a": 1}),
        (but(USER, content=[{"type": "y", "a": 1, "b": 2}]), but(USER, content=[{"type": "y", "b": 2, "a": 1}])),
        (but(USER, content=["t"]), but(USER, content=[["t"]])),
        (but(USER, content=[{"type": ["input_text"], "text": None}]), but(USER, content=[{"type": ["input_text"]}])),
    ):
        assert mark([one], STRICT) != mark([other], STRICT)


@pytest.mark.parametrize("item", [*KINDS, *HOSTED], ids=lambda item: str(item["type"]))
def test_relaxed_reads_a_single_item_as_faithful_does(item: Object) -> None:
    """What relaxed mode forgives is left out of the answer's forms, not read otherwise."""
    raw = json.dumps(item).encode()
    assert meaning(raw, Rules("relaxed")) == meaning(raw, FAITHFUL)


# ---- what is no plain item


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"role":"user","content":[{"type":"input_text","text":"a","text":"b"}]}',
        b'{"a":{"b":{"":1,"":2}}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b"[" * 201 + b"]" * 201,
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_an_item_in_doubt_has_no_meaning(raw: bytes) -> None:
    """A key given twice at any depth, NaN, and nesting that parsers give up on are told, not guessed at."""
    with pytest.raises(Ambiguous):
        meaning(raw, FAITHFUL)
    with pytest.raises(Ambiguous):
        read(raw)


@pytest.mark.parametrize("raw", [b"", b"{", b"{'a':1}", b"\xff", b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b'{"a":1}x'])
def test_what_is_not_json_has_no_meaning(raw: bytes) -> None:
    """Broken bytes are told."""
    with pytest.raises(ValueError, match=r"."):
        meaning(raw, FAITHFUL)


def test_many_brackets_are_not_depth() -> None:
    """Wide values and texts full of brackets are read as usual; so is nesting up to the limit."""
    for raw in (json.dumps([[]] * 5000), json.dumps({"role": "user", "content": "[{" * 5000}), "[" * 200 + "]" * 200):
        assert meaning(raw.encode(), FAITHFUL) is not None


@pytest.mark.parametrize("raw", [b"1", b'"text"', b"null", b"true", b"[1,{}]"])
def test_an_item_that_is_no_object_means_itself(raw: bytes) -> None:
    """The upstream will refuse it; until then it equals only itself."""
    assert meaning(raw, FAITHFUL) == read(raw)


