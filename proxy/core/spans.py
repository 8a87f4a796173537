"""Spans: where each value of a JSON object or array stands in its bytes, so that they can be sent on verbatim."""

import re
import sys
from typing import NamedTuple

import msgspec

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_BLANK = re.compile(rb"[ \t\n\r]*")
_OPEN = re.compile(rb"[ \t\n\r]*[{\[][ \t\n\r]*")
_KEY = re.compile(rb'"(?:[^"\\]|\\.)*"[ \t\n\r]*:[ \t\n\r]*', re.DOTALL)
_COMMA = re.compile(rb"[ \t\n\r]*,[ \t\n\r]*")
_CLOSE = re.compile(rb"[ \t\n\r]*[}\]][ \t\n\r]*\Z")
# A create has some thirty.
_MOST_FIELDS = 1_000


class NotJson(ValueError):
    """The bytes are no JSON object or array, hold too much, or two parsers may read them differently (a key twice)."""


class Span(NamedTuple):
    """A value's place: `text[start:end]`."""

    start: int
    end: int


class Field(NamedTuple):
    """A key and its value: `text[key:end]` is both, `text[start:end]` the value alone."""

    key: int
    start: int
    end: int


def object_fields(text: bytes) -> dict[str, Field]:
    """The fields of the JSON object `text`, in order. Raises NotJson, also where a key comes twice."""
    try:
        values = _OBJECT.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(str(error)) from error
    if len(values) > _MOST_FIELDS:
        raise NotJson("more fields than any request has")
    fields: dict[str, Field] = {}
    glue = _OPEN.match(text)
    for name, value in values.items():
        key = _KEY.match(text, glue.end()) if glue else None
        if key is None:
            raise NotJson("a key is given twice")
        start = key.end()
        end = start + len(memoryview(value))
        # The parser keeps the last of two equal keys. Walking the text with its values then goes astray here or
        # finds something left at the end.
        if text[start:end] != bytes(value):
            raise NotJson("a key is given twice")
        fields[name] = Field(glue.end() if glue else 0, start, end)
        glue = _COMMA.match(text, end)
    last = next(reversed(fields.values())).end if fields else 0
    if fields and _CLOSE.match(text, last) is None:
        raise NotJson("a key is given twice")
    return fields


def array_spans(text: bytes, whole: Span, most: int = sys.maxsize) -> tuple[Span, ...]:
    """The elements of the JSON array `text[whole]`, placed in `text`, `most` at most. Raises NotJson."""
    try:
        values = _ARRAY.decode(memoryview(text)[whole.start : whole.end])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NotJson(str(error)) from error
    if len(values) > most:
        raise NotJson("too many items")
    spans: list[Span] = []
    glue = _OPEN.match(text, whole.start)
    for value in values:
        start = glue.end() if glue else whole.start
        end = start + len(memoryview(value))
        spans.append(Span(start, end))
        glue = _COMMA.match(text, end)
    return tuple(spans)


def splice(text: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """`text` with each `(start, end, new)` replaced; the edits are in order and do not overlap."""
    pieces: list[bytes] = []
    at = 0
    for start, end, new in edits:
        pieces += (text[at:start], new)
        at = end
    pieces.append(text[at:])
    return b"".join(pieces)
