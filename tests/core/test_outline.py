"""An outline: what of an item may be named, and that nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.fingerprint import Fingerprints
from proxy.core.meaning import Reference, Rules, meaning
from proxy.core.outline import ANOTHER, LEAF, OTHER, Outline, leaves, shown
from tests.core.histories import FAITHFUL, STRICT, Spelled, raw
from tests.core.items import CALL, HOSTED, KINDS, MESSAGE, OUTPUT, REASONING, USER, but, items, without
from tests.core.spelling import Object, Value

PRINTS = Fingerprints(bytes(32))


def outline(item: Spelled, rules: Rules = FAITHFUL) -> Outline:
    """The item's outline."""
    return PRINTS.outlined(raw(item), rules)


def differing(one: Spelled, other: Spelled, rules: Rules = FAITHFUL) -> tuple[str, ...]:
    """The paths at which two items differ."""
    return outline(one, rules).differs(outline(other, rules))


@pytest.mark.parametrize(
    ("item", "paths"),
    [
        (CALL, {"type", "call_id", "name", "namespace", "arguments"}),
        (OUTPUT, {"type", "call_id", "output"}),
        (
            MESSAGE,
            {
                *("type", "role", "phase", "content", "content[0].type", "content[0].text"),
                *("content[1].type", "content[1].refusal"),
            },
        ),
        (HOSTED[0], {"type", "id", "status", "action"}),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) else "",
)
def test_an_outline_names_what_counts(item: Object, paths: set[str]) -> None:
    """Each documented key whose value counts, those of content parts too, and none that the rules drop."""
    assert set(outline(item).paths) == paths
    assert len(outline(item).digests) == LEAF * len(paths)


def test_each_part_has_a_digest_of_its_own() -> None:
    """Two parts with one value have one digest, and two values two."""
    parts = outline({"type": "function_call", "call_id": "x", "name": "x", "namespace": "y", "arguments": "x"}).parts
    assert parts["call_id"] == parts["name"] != parts["namespace"]
    assert parts["arguments"] != parts["name"]


@pytest.mark.parametrize("odd", ["secret", "content[0].text", "", "é"])
def test_an_undocumented_name_is_never_kept(odd: str) -> None:
    """Keys that the caller made up are one path together, or the path of the part that they are in."""
    assert set(outline(but(CALL, **{odd: 1, "more": 2})).paths) - set(outline(CALL).paths) == {ANOTHER}
    part: Value = {"type": "input_text", "text": "t", odd: 1}
    assert set(outline({"role": "user", "content": [part]}).paths) == {
        *("type", "role", "content", "content[0].type", "content[0].text", "content[0]")
    }


@pytest.mark.parametrize("part", [{"type": "odd", "secret": 1}, {"secret": 1}, "text", 7, [], {"type": 1}])
def test_a_part_of_no_documented_type_has_one_path(part: Value) -> None:
    """Nothing in it is named."""
    assert set(outline({"role": "user", "content": [part]}).paths) == {"type", "role", "content", "content[0]"}


def test_open_json_is_one_part() -> None:
    """Arguments, annotations and the inside of hosted tools' items may have any keys: no path leads into them."""
    annotated: Object = {"type": "output_text", "text": "t", "annotations": [{"secret": 1}]}
    message: Object = {"role": "assistant", "content": [annotated]}
    assert "content[0].annotations" in outline(message).paths
    for item in (message, but(CALL, arguments='{"secret":1}'), but(HOSTED[0], action={"secret": 1})):
        assert not any("secret" in path for path in outline(item).paths)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("message", "message"), ("web_search_call", "web_search_call"), ("from_the_future", OTHER), ("", OTHER)],
)
def test_only_documented_types_are_shown(kind: str, told: str) -> None:
    """Any other could be anything."""
    assert shown(kind) == told


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ('{"type":"message","a":1,"a":2}', "message"),
        ('{"role":"user","a":1,"a":2}', "message"),
        ('{"id":"msg_1"}', "item_reference"),
        ("7", OTHER),
        ("{", OTHER),
    ],
)
def test_of_an_item_without_a_meaning_of_its_own_there_is_a_type_at_most(item: str, kind: str) -> None:
    """One that may be read in two ways, a reference, and what is no object have no parts."""
    assert outline(item) == Outline(kind)


CHANGES: list[tuple[Object, Object, tuple[str, ...]]] = [
    (MESSAGE, but(MESSAGE, phase="another"), ("phase",)),
    (MESSAGE, but(MESSAGE, status="incomplete"), ("status",)),
    (CALL, but(CALL, arguments="{}", name="other"), ("arguments", "name")),
    (REASONING, but(REASONING, encrypted_content="other"), ("encrypted_content",)),
    (REASONING, without(REASONING, "encrypted_content"), ("encrypted_content",)),
    (without(REASONING, "encrypted_content"), REASONING, ("encrypted_content",)),
    (without(REASONING, "encrypted_content"), but(REASONING, encrypted_content=None, id="x"), ("id",)),
    (CALL, but(CALL, odd=1), (ANOTHER,)),
    (USER, but(USER, content="text"), ("content",)),
    (USER, but(USER, content=[{"type": "input_text", "text": "look"}]), ("content",)),
    (OUTPUT, but(OUTPUT, output=[{"type": "input_text", "text": "done"}]), ("output",)),
]


@pytest.mark.parametrize(("one", "other", "paths"), CHANGES, ids=range(len(CHANGES)))
def test_a_difference_is_told_by_its_path(one: Object, other: Object, paths: tuple[str, ...]) -> None:
    """What differs, and nothing that only follows from it: parts of another list, labels that count for nothing."""
    assert differing(one, other) == paths
    assert differing(one, one) == ()


def test_many_parts_are_told_apart_together() -> None:
    """Beyond the first ones a list's parts have no names, and a change in them is the list's."""
    texts: list[Value] = [{"type": "input_text", "text": str(number)} for number in range(40)]
    one: Object = {"role": "user", "content": list(texts)}
    assert len(outline(one).paths) < 40
    texts[39] = {"type": "input_text", "text": "other"}
    assert differing(one, {"role": "user", "content": list(texts)}) == ("content",)


@given(st.lists(items(), min_size=2, max_size=2), st.sampled_from([FAITHFUL, STRICT, Rules("relaxed")]))
def test_outlines_differ_where_meanings_do(pair: list[Object], rules: Rules) -> None:
    """All that an item means is in one of its parts: two that mean another thing differ in one."""
    one, other = (meaning(raw(item), rules) for item in pair)
    assert not isinstance(one, Reference)
    assert not isinstance(other, Reference)
    assert bool(differing(pair[0], pair[1], rules)) == (PRINTS.meant(one) != PRINTS.meant(other))


@pytest.mark.parametrize("item", KINDS, ids=lambda item: str(item["type"]))
def test_leaves_are_named_once(item: Object) -> None:
    """No two parts of an item have one name."""
    meant = meaning(raw(item), FAITHFUL)
    assert isinstance(meant, dict)
    names = [path for path, _ in leaves(meant)]
    assert len(names) == len(set(names))
