"""Meaning as a property: over random histories, what is written again is equal, and what is changed never is."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.meaning import Rules
from tests.core.histories import FAITHFUL, KNOWN_HOST, STRICT, mark, prompt
from tests.core.items import NULLABLE, but, items, respelled
from tests.core.spelling import Object, Value, objects, randoms, spell, texts, values


@given(st.lists(items(), max_size=3), randoms)
def test_a_history_means_the_same_however_it_is_written_again(history: list[Object], random: Random) -> None:
    """Key order, nulls, ids, statuses, shorthands, white space and escapes leave fingerprint and prompt alone."""
    again = [spell(respelled(item, random), random) for item in history]
    assert mark(history) == mark(again)
    assert prompt(history) == prompt(again)
    spaced = [spell(item, random) for item in history]
    assert mark(history, STRICT) == mark(spaced, STRICT)


def _mutations(item: Object) -> dict[str, Callable[[str], Object]]:
    """Changes that mean something to the model, each given a new text."""
    changes: dict[str, Callable[[str], Object]] = {
        "type": lambda new: but(item, type=new),
        "unknown key": lambda new: but(item, **{f"x{new}": None}),
        "status": lambda new: but(item, status=f"in {new}"),
    }
    for name in ("call_id", "name", "namespace", "input", "arguments", "phase", "encrypted_content", "caller"):
        if name in item or name in _documented(item):
            changes[name] = lambda new, name=name: but(item, **{name: new})  # type: ignore[misc] # a bound default
    if "role" in item:
        changes["role"] = lambda _: but(item, role="user" if item["role"] != "user" else "system")
        changes["content"] = lambda new: but(
            item, content=[*_listed(item["content"]), {"type": "input_text", "text": new}]
        )
    if "output" in item:
        changes["output"] = lambda new: but(item, output=[{"type": "input_image", "image_url": new}])
    return changes


def _documented(item: Object) -> list[str]:
    return NULLABLE.get(str(item["type"]), [])


def _listed(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]


@given(st.lists(items(), min_size=1, max_size=3), randoms, texts, st.data())
def test_a_change_that_means_something_is_never_equal(
    history: list[Object], random: Random, new: str, data: st.DataObject
) -> None:
    """Another text, role, call_id, name, image, status or key, or another order, changes fingerprint and prompt."""
    at = data.draw(st.integers(0, len(history) - 1))
    changes = _mutations(history[at])
    changed = changes[data.draw(st.sampled_from(sorted(changes)))](new)
    assume(changed != history[at])
    other: list[str | Object] = [*history[:at], spell(respelled_or_same(changed, random), random), *history[at + 1 :]]
    for rules in (FAITHFUL, STRICT, Rules("relaxed")):
        assert mark(history, rules) != mark(other, rules)
    assert prompt(history) != prompt(other)
    assert mark(history) != mark(history[:at] + history[at + 1 :])


def respelled_or_same(item: Object, random: Random) -> Object:
    """The item written again, where its type is still one that has a choice."""
    return respelled(item, random) if item["type"] in NULLABLE else item


@given(st.lists(items(), min_size=2, max_size=4), st.data())
def test_items_in_another_order_are_another_history(history: list[Object], data: st.DataObject) -> None:
    """Two histories of the same items are equal only where each place means the same."""
    other = data.draw(st.permutations(history))
    assert (mark(history) == mark(other)) == (prompt(history) == prompt(other))


_SUMMARIES = st.one_of(
    st.none(), values, st.lists(st.builds(lambda text: {"type": "summary_text", "text": text}, texts), max_size=3)
)


@given(texts.filter(bool), _SUMMARIES, _SUMMARIES, st.lists(items(), max_size=2), randoms)
def test_relaxed_reads_no_summary_of_encrypted_reasoning(
    encrypted: str, one: Value, other: Value, rest: list[Object], random: Random
) -> None:
    """Joined, cut, made up or lost, on any host: in relaxed mode the encrypted content alone says what was thought."""
    thought: Object = {"type": "reasoning", "id": "rs_1", "encrypted_content": encrypted}
    said: list[str | Object] = [spell({**thought, "summary": one}, random), *rest]
    back: list[str | Object] = [spell({**thought, "summary": other}, random), *rest]
    assert mark(said, Rules("relaxed")) == mark(back, Rules("relaxed")) == mark([thought, *rest], Rules("relaxed"))
    assert (mark(said) == mark(back)) == (prompt(said) == prompt(back))
    assert (mark(said, STRICT) == mark(back, STRICT)) <= (prompt(said) == prompt(back))
    again = spell({**thought, "encrypted_content": f"{encrypted}x", "summary": other}, random)
    assert mark([again, *rest], Rules("relaxed")) != mark(said, Rules("relaxed"))


@given(st.sampled_from([None, "", 1, ["gAAA"]]), _SUMMARIES, _SUMMARIES)
def test_relaxed_reads_the_summary_of_open_reasoning(encrypted: Value, one: Value, other: Value) -> None:
    """Where nothing usable is encrypted the summary is all there is: every mode compares it."""
    said, back = (
        [{"type": "reasoning", "encrypted_content": encrypted, "summary": summary}] for summary in (one, other)
    )
    assert (mark(said, Rules("relaxed")) == mark(back, Rules("relaxed"))) == (mark(said) == mark(back))
    assert (mark(said, Rules("relaxed")) == mark(back, Rules("relaxed"))) == (prompt(said) == prompt(back))


# ---- the search for two items that mean different things and have one fingerprint

_SMALL: dict[str, list[str]] = {
    "type": ["", "null", '"message"', '"function_call"', '"reasoning"', '"item_reference"', '"x"', "1"],
    "role": ["", "null", '"user"', '"assistant"', '"tool"', "1"],
    "id": ["", "null", '"i"', '"j"', "1"],
    "call_id": ["", "null", '"c"', "1"],
    "status": ["", "null", '"completed"', '"incomplete"'],
    "encrypted_content": ["", "null", '""', '"e"', "1"],
}
_VALUES: dict[str, list[str]] = {
    "content": [
        "",
        "null",
        '""',
        '"t"',
        "[]",
        '["t"]',
        '[{"type":"input_text","text":"t"}]',
        '[{"type":"output_text","text":"t"}]',
        '[{"text":"t","type":"output_text","annotations":[],"parsed":1}]',
        '[{"type":"output_text","text":"t","annotations":[0]}]',
        '{"type":"input_text","text":"t"}',
    ],
    "arguments": ["", "null", '""', '"{}"', '" {}"', "{}", '{"json":{}}', '{"value":null}', '"null"', '{"text":""}'],
    "summary": ["", "null", "[]", '[{"type":"summary_text","text":"t"}]', '"t"'],
    "output": ["", "null", "[]", '""', '[{"type":"input_text","text":"t","detail":null}]'],
    "unknown": ["null", "1", "1.0", '"1"', "true", "[]", "{}", '{"a":null}', '{"a":1,"b":2}', '{"b":2,"a":1}'],
}


def _small_items() -> list[str]:
    """Combinations of a few values for the keys that the rules look at, one longer value beside them."""
    frames = [""]
    for key, choices in _SMALL.items():
        frames = [frame + (f'"{key}":{choice},' if choice else "") for frame in frames for choice in choices]
    tails = [f'"{key}":{choice}' if choice else "" for key, choices in _VALUES.items() for choice in choices]
    # A part of them in prime steps, which meet every pair of values.
    chosen = [*frames[::7], *(frame + tail for frame in frames[::61] for tail in tails)]
    return ["{" + frame.rstrip(",") + "}" for frame in chosen]


@pytest.mark.parametrize(
    "rules",
    [FAITHFUL, KNOWN_HOST, STRICT, Rules("relaxed", summaries_count=False)],
    ids=["any host", "known host", "strict", "relaxed"],
)
def test_no_two_small_items_share_a_fingerprint_but_not_a_prompt(rules: Rules) -> None:
    """Among all small items, one fingerprint is one prompt: there is no false match."""
    prompts: dict[bytes, str] = {}
    for item in _small_items():
        text = prompt([item], rules)
        assert prompts.setdefault(mark([item], rules), text) == text, item
    assert len(prompts) > 1000


@given(st.lists(st.one_of(items(), objects, values), min_size=2, max_size=2), randoms)
def test_one_fingerprint_is_one_prompt(pair: list[Object], random: Random) -> None:
    """Over any two JSON values: equal fingerprints only where the model is given the same."""
    one, other = ([spell(value, random)] for value in pair)
    if mark(one) == mark(other):
        assert prompt(one) == prompt(other)
