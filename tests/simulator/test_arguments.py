"""The text of a function call's arguments."""

import pytest

from proxy.simulator.arguments import Canonical, canonical_arguments


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "b": "é"}', '{"a":1,"b":"\\u00e9"}', '\n{"a"\t:1,\r\n"b":"\\u00E9"}'],
    ids=["spaced", "escaped", "indented"],
)
def test_spelling_does_not_count(text: str) -> None:
    """White space and escapes are spelling: each form has the same canonical text."""
    assert canonical_arguments(text) == 'json {"a":1,"b":"é"}'
    assert isinstance(canonical_arguments(text), Canonical)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1}', '{"a":1.0}'),
        ('{"a":1}', '{"a":1e0}'),
        ('{"a":0}', '{"a":-0}'),
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":1}', '{"a":"1"}'),
        ('{"a":12345678901234567890123}', '{"a":12345678901234567890124}'),
        ("{}", "[]"),
        ("null", '"null"'),
        ("true", '"true"'),
    ],
)
def test_meaning_counts(one: str, other: str) -> None:
    """Numbers count as their text, keys in their order, values with their type."""
    assert canonical_arguments(one) != canonical_arguments(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "not json",
        '{"a":1,"a":1}',
        '{"x":{"a":1,"a":2}}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '"\\ud800"',
        "[" * 100_000,
        '{"a":1} x',
    ],
    ids=["empty", "open", "words", "twice", "twice inside", "NaN", "Infinity", "surrogate", "deep", "trailing"],
)
def test_doubt_leaves_the_text(text: str) -> None:
    """What is no JSON, or JSON that readers may disagree on, stays as it is."""
    assert canonical_arguments(text) == text
    assert not isinstance(canonical_arguments(text), Canonical)


def test_a_pair_of_surrogates_is_one_character() -> None:
    """An escaped pair means the same as the character itself."""
    assert canonical_arguments('"\\ud83d\\ude42"') == canonical_arguments('"🙂"') == 'json "🙂"'
