"""Spelling: one JSON value as any writer may put it. White space and escapes differ; the value does not."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import NoReturn, TypeAlias

from hypothesis import strategies as st

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
Object: TypeAlias = "dict[str, Value]"

BLANKS = ("", "", "", "", " ", "\n", "\r", "\r\n", "\t ")
_SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

texts = st.text(
    st.one_of(
        st.sampled_from('aA0 "\\/\n\r\t\x00\x1f\x7f\x85\u2028\u2029\ufeff\ufffdé\u0301😀{}[],:'),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=6,
)
numbers = st.one_of(
    st.sampled_from([0, 1, -1, 1.0, -0.0, 1e5, 100_000, 1e-7, 1e22, 10**30]),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars: st.SearchStrategy[Value] = st.one_of(st.none(), st.booleans(), numbers, texts)
values: st.SearchStrategy[Value] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
objects: st.SearchStrategy[Object] = st.dictionaries(texts, values, max_size=4)
# One drawn seed, not one draw a character.
randoms = st.randoms(use_true_random=True)


def spell(value: Value, random: Random) -> str:
    """`value` as JSON with the keys in their order, white space and escapes as `random` has them."""
    return f"{_blank(random)}{_spell(value, random)}{_blank(random)}"


def spell_text(text: str, random: Random) -> str:
    """`text` as a JSON string."""
    return '"' + "".join(_character(character, random) for character in text) + '"'


def _spell(value: Value, random: Random) -> str:
    if isinstance(value, dict):
        members = [
            f"{_blank(random)}{spell_text(key, random)}{_blank(random)}:{spell(member, random)}"
            for key, member in value.items()
        ]
        return "{" + (",".join(members) or _blank(random)) + "}"
    if isinstance(value, list):
        return "[" + (",".join(spell(member, random) for member in value) or _blank(random)) + "]"
    return spell_text(value, random) if isinstance(value, str) else json.dumps(value)


def _blank(random: Random) -> str:
    return random.choice(BLANKS)


def _character(character: str, random: Random) -> str:
    units = character.encode("utf-16-be")
    escaped = "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    way = random.randrange(8)
    if way == 0:
        return escaped if random.randrange(2) else escaped.upper().replace("\\U", "\\u")
    if way == 1 and character in _SHORT:
        return _SHORT[character]
    return character if character not in '"\\' and character >= " " else _SHORT.get(character, escaped)


@dataclass(frozen=True)
class Number:
    """A number as its text: 1, 1.0 and 1e0 are three, and none is a string."""

    text: str


@dataclass(frozen=True)
class Pairs:
    """An object with its keys as they came, twice or not; no list equals it."""

    members: list[tuple[str, object]]


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


_exact: Callable[[str], object] = json.JSONDecoder(
    object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_refuse
).decode


def exact(text: bytes) -> object:
    """The JSON value with nothing lost: objects are `Pairs`, numbers `Number`.

    Raises:
        ValueError: it is no JSON, or holds half a character, which readers replace each in their own way.
    """
    value = _exact(text.decode())
    "".join(_texts(value)).encode()
    return value


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for member in value:
                yield from _texts(member)
        case Pairs(members):
            for key, member in members:
                yield key
                yield from _texts(member)
