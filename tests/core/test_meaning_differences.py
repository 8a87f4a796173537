"""Each thing that is never equal: both forms have their own fingerprint, and their own prompt."""

import pytest

from proxy.core.meaning import Rules
from tests.core.histories import FAITHFUL, KNOWN_HOST, STRICT, assert_different, assert_equal, mark, prompt
from tests.core.items import (
    CALL,
    CUSTOM,
    CUSTOM_OUTPUT,
    HOSTED,
    KINDS,
    MESSAGE,
    OUTPUT,
    PLAIN_REASONING,
    REASONING,
    USER,
    but,
    without,
)
from tests.core.spelling import Object, Value

by_kind = pytest.mark.parametrize("item", KINDS, ids=lambda item: str(item["type"]))


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
    one: Value = {"type": "input_text", "text": "a"}
    two: Value = {"type": "input_text", "text": "b"}
    others: list[list[Value]] = [[two, one], [one], [one, two, two], [{"type": "input_text", "text": "ab"}], []]
    for other in others:
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
        ('"not json"', "not json"),
        ('{"text":"{"}', "{"),
        ('{"json":1}', "1"),
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
    forms: list[Value] = [
        {},
        "{}",
        {"json": {}},
        {"text": "{}"},
        {"value": {}},
        '{"json":{}}',
        '{"value":{}}',
        '"{}"',
        None,
        "",
        [],
    ]
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
            forms: list[Value] = [part, but(part, text=None), but(part, annotations=None), but(part, annotations=[])]
            assert len({mark([{**item, key: [form]}], rules) for form in forms}) == len(forms)


@pytest.mark.parametrize("extra", [{"parsed": 1}, {"annotations": []}, {"logprobs": []}], ids=str)
def test_only_output_texts_have_what_output_texts_may_have(extra: Object) -> None:
    """Elsewhere such keys are unknown, and count."""
    part: Object = {"type": "input_text", "text": "t"}
    assert mark([but(USER, content=[part])]) != mark([but(USER, content=[{**part, **extra}])])
    assert mark([OUTPUT]) != mark([{**OUTPUT, **extra}])


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
