"""Unknown types: an item of a type whose keys Openline does not know is compared whole, to the last null."""

import json
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.meaning import ITEM_KEYS, Rules
from tests.core import documented
from tests.core.histories import FAITHFUL, KNOWN_HOST, STRICT, mark
from tests.core.items import CUSTOM_OUTPUT, USER
from tests.core.spelling import Object, Value, objects, randoms, scalars, spell

RULES = [FAITHFUL, KNOWN_HOST, STRICT, Rules("relaxed")]
PARTS = ["input_audio", "computer_screenshot", "from_the_future"]
UNKNOWN = sorted(documented.MODELS.keys() - ITEM_KEYS.keys())
# codex writes it into every item, of whatever type: the API never sees it.
PASSTHROUGH = "internal_chat_message_metadata_passthrough"
Place = tuple[str | int, ...]


def places(value: Value, place: Place = ()) -> Iterator[Place]:
    """Each place in a value, itself first."""
    yield place
    if isinstance(value, dict):
        for key, member in value.items():
            yield from places(member, (*place, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from places(member, (*place, index))


def at(value: Value, place: Place) -> Value:
    """What is there."""
    for step in place:
        value = value[step]  # type: ignore[index] # the place is one of the value's own
    return value


def put(value: Value, place: Place, new: Value) -> Value:
    """The value with something else there."""
    if not place:
        return new
    step, *rest = place
    if isinstance(value, dict) and isinstance(step, str):
        return {**value, step: put(value[step], tuple(rest), new)}
    if isinstance(value, list) and isinstance(step, int):
        return [*value[:step], put(value[step], tuple(rest), new), *value[step + 1 :]]
    raise TypeError("the place is not one of the value's own")


_TWINS: list[Value] = [None, True, False, 0, 1, 1.0, "", "1", "null", [], {}, [None], {"": None}]


def others(value: Value) -> Iterator[Value]:
    """Not quite the value: another type or number, a key or an element more or less, another order."""
    yield from _TWINS
    yield [value]
    if isinstance(value, dict):
        yield {**value, "more": None}
        yield dict(reversed(value.items()))
        yield from ({name: value[name] for name in value if name != key} for key in value)
    elif isinstance(value, list):
        yield [*value, None]
        yield [*value, *value]
        yield value[::-1]
        yield value[:-1]
    elif isinstance(value, str):
        yield from (f"{value} ", f"\ufeff{value}", value.swapcase(), json.dumps(value))
    elif value is not None:
        yield json.dumps(value)
        yield f"{value}"
        yield value + 1


def differing(item: Object) -> Iterator[Object]:
    """The item with any one thing in it not quite what it is."""
    for place in places(item):
        for other in others(at(item, place)):
            changed = put(item, place, other)
            if isinstance(changed, dict) and json.dumps(changed) != json.dumps(item):
                yield changed


def unknown() -> st.SearchStrategy[Object]:
    """An item of a type that Openline does not know: of the documented ones, or of tomorrow's."""
    named = st.sampled_from(UNKNOWN).flatmap(documented.items)
    kinds = st.sampled_from(["from_the_future", "", "Message", "function_call ", 1, [], {}, False])
    of_tomorrow = st.builds(lambda more, kind: {**more, "type": kind}, objects, kinds)
    return st.one_of(named, of_tomorrow).filter(lambda item: PASSTHROUGH not in item)


def test_there_are_such_types() -> None:
    """The SDK documents more types than those whose keys are known here; all of the latter are among them."""
    assert len(UNKNOWN) > 20
    assert ITEM_KEYS.keys() <= documented.MODELS.keys()


@pytest.mark.parametrize("name", sorted(ITEM_KEYS))
def test_each_documented_key_of_a_known_type_is_known(name: str) -> None:
    """A key that a new SDK writes into its dumps as null must be known here, or those clients get no deltas."""
    keys = {field.alias or key for model in documented.MODELS[name] for key, field in model.model_fields.items()}
    assert keys <= ITEM_KEYS[name]


@given(item=unknown(), rules=st.sampled_from(RULES))
def test_any_difference_makes_it_another_item(item: Object, rules: Rules) -> None:
    """A value, a type, a key with its null, an element, an order, at any depth: one that differs differs all."""
    alone = mark([json.dumps(item)], rules)
    for other in differing(item):
        assert mark([json.dumps(other)], rules) != alone, other


@given(item=unknown(), random=randoms)
def test_the_same_item_in_another_spelling_is_the_same(item: Object, random: Random) -> None:
    """White space and escapes are not part of what is compared."""
    for rules in RULES:
        assert mark([json.dumps(item)], rules) == mark([spell(item, random)], rules)


@given(more=objects, kind=st.sampled_from(PARTS), rules=st.sampled_from(RULES), random=randoms)
def test_so_it_is_with_the_parts_of_items(more: Object, kind: str, rules: Rules, random: Random) -> None:
    """A part of a type that is not known counts whole, in a message and in a tool's output; its spelling does not."""
    part: Object = {**more, "type": kind}
    for item, key in ((USER, "content"), (CUSTOM_OUTPUT, "output")):
        one = mark([json.dumps({**item, key: [part]})], rules)
        assert mark([spell({**item, key: [part]}, random)], rules) == one
        for other in differing(part):
            assert mark([json.dumps({**item, key: [other]})], rules) != one, other


@given(item=unknown(), note=scalars)
def test_what_codex_notes_for_itself_is_no_difference(item: Object, note: Value) -> None:
    """One key alone is left out of items of all types; in strict mode that counts too."""
    noted = json.dumps({**item, PASSTHROUGH: note})
    assert mark([json.dumps(item)]) == mark([noted])
    assert mark([json.dumps(item)], STRICT) != mark([noted], STRICT)
