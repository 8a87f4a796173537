"""Each rule of what means the same: both forms have one fingerprint and one prompt."""

import json

import pytest

from proxy.core.meaning import Ambiguous, Reference, Rules, meaning, read
from proxy.core.request import parse
from proxy.simulator import render_request
from tests.core.histories import FAITHFUL, KNOWN_HOST, STRICT, assert_different, assert_equal, mark, prompt
from tests.core.items import (
    CALL,
    CUSTOM,
    CUSTOM_OUTPUT,
    HOSTED,
    KINDS,
    MESSAGE,
    NULLABLE,
    OUTPUT,
    PART_NULLABLE,
    REASONING,
    USER,
    but,
    without,
)
from tests.core.spelling import Object

by_kind = pytest.mark.parametrize("item", KINDS, ids=lambda item: str(item["type"]))


def reversed_keys(item: Object) -> Object:
    """The item with its own keys, and those of its parts, the other way round."""
    turned = dict(reversed(item.items()))
    for key, value in item.items():
        if isinstance(value, list):
            turned[key] = [dict(reversed(part.items())) if isinstance(part, dict) else part for part in value]
    return turned


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
    extras: list[Object] = [{"annotations": []}, {"logprobs": []}, {"annotations": [], "logprobs": None}]
    for extra in extras:
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
    pairs: list[tuple[Object, Object]] = [
        ({"type": "x", "a": 1, "b": 2}, {"type": "x", "b": 2, "a": 1}),
        (but(USER, content=[{"type": "y", "a": 1, "b": 2}]), but(USER, content=[{"type": "y", "b": 2, "a": 1}])),
        (but(USER, content=["t"]), but(USER, content=[["t"]])),
        (but(USER, content=[{"type": ["input_text"], "text": None}]), but(USER, content=[{"type": ["input_text"]}])),
    ]
    for one, other in pairs:
        assert mark([one], STRICT) != mark([other], STRICT)


@pytest.mark.parametrize("item", [*KINDS, *HOSTED], ids=lambda item: str(item["type"]))
def test_relaxed_reads_a_single_item_as_faithful_does(item: Object) -> None:
    """What relaxed mode forgives is left out of the answer's forms, not read otherwise, but for one thing."""
    read = meaning(json.dumps(item).encode(), FAITHFUL)
    if isinstance(read, dict) and item["type"] == "reasoning" and "encrypted_content" in item:
        read.pop("summary", None)
    assert meaning(json.dumps(item).encode(), Rules("relaxed")) == read


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
