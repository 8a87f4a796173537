"""Arguments: the JSON text of a function call, brought into one spelling where its meaning is beyond doubt."""

import json
from collections.abc import Iterable
from typing import NoReturn


class Canonical(str):
    """A text that stands in the prompt as it is: it was JSON already, and a JSON string never looks like it."""

    __slots__ = ()


class _Number(str):
    """A JSON number as its text: 1, 1.0 and 1e0 are three numbers."""

    __slots__ = ()


class _DoubtError(ValueError):
    """The text is JSON whose meaning readers may disagree on."""


def canonical_arguments(text: str) -> str:
    """`text` as canonical JSON (key order kept, numbers as written, escapes decoded), else `text` itself.

    Duplicate keys, NaN, lone surrogates and anything that is not JSON leave the text as it is.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_constant,
        )
        spelled = _spell(value)
        spelled.encode()  # a lone surrogate cannot be encoded
    except (ValueError, RecursionError):
        return text
    return Canonical(f"json {spelled}")


def _object(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _DoubtError(key)
        found[key] = value
    return found


def _constant(name: str) -> NoReturn:
    raise _DoubtError(name)


def _spell(value: object) -> str:
    if isinstance(value, _Number):
        return value
    if isinstance(value, dict):
        return "{" + ",".join(f"{_spell(key)}:{_spell(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spell, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
