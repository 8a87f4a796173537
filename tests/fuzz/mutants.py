"""Mutants: JSON texts that are nearly right, and byte strings that are nearly those."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from hypothesis import strategies as st


@dataclass(frozen=True)
class Raw:
    """A value that is written as these bytes, JSON or not."""

    text: bytes


@dataclass(frozen=True)
class Pairs:
    """An object whose keys may come twice, or be no string at all."""

    pairs: tuple[tuple[object, object], ...]


# What parsers take differently, or not at all. Nothing here waits, and nothing is larger than it must be.
ODD: tuple[object, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**53 + 1,
    2**64,
    1.5,
    "",
    "x" * 2_000,
    "\x00",
    "\u2028\r\n",
    "resp_1",
    "\U0001f600",
    [],
    {},
    [[]],
    [None],
    [{}],
    {"type": "message"},
    {"type": "item_reference", "id": "msg_1"},
    {"type": "compaction_trigger"},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"type": "reasoning", "summary": [], "encrypted_content": ""},
    {"role": "assistant", "content": [{"type": "output_text", "text": None}]},
    Raw(b"-0"),
    Raw(b"1e999999"),
    Raw(b"1" * 400),
    Raw(b"0.1e-99999"),
    Raw(b"01"),
    Raw(b"+1"),
    Raw(b"NaN"),
    Raw(b"-Infinity"),
    Raw(b"tru"),
    Raw(b"'x'"),
    Raw(b'"\\ud800"'),
    Raw(b'"\\udc00\\ud800"'),
    Raw(b'"\\u00"'),
    Raw(b'"\\x"'),
    Raw(b'"\xff"'),
    Raw(b'"\xed\xa0\x80"'),
    Raw(b'"\xc0\x80"'),
    Raw(b'"\x01"'),
    Raw(b'"'),
    Raw(b""),
    Raw(b"/**/1"),
    Raw(b"[" * 200 + b"]" * 200),
    Raw(b'{"a":' * 600 + b"1" + b"}" * 600),
    Raw(b"[" * 5_000 + b"]" * 5_000),
    Raw(b"[" * 30_000),
)
KEYS: tuple[object, ...] = (
    "model",
    "input",
    "stream",
    "store",
    "type",
    "stream_id",
    "generate",
    "previous_response_id",
    "conversation",
    "background",
    "truncation",
    "tools",
    "instructions",
    "stream_options",
    "include",
    "id",
    "role",
    "content",
    "call_id",
    "output",
    "status",
    "",
    "\x00",
    "é",
    Raw(b'"\\u006dodel"'),
    Raw(b'"in\\u0070ut"'),
    Raw(b'"\\ud83d"'),
    Raw(b'"\xff"'),
    Raw(b"model"),
    Raw(b"1"),
)
odd = st.sampled_from(ODD)
_place = st.integers(0, 10_000)


def write(value: object) -> bytes:
    """The text of a value that may hold raw bytes and pairs."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Pairs):
        return b"{" + b",".join(write(key) + b":" + write(inner) for key, inner in value.pairs) + b"}"
    if isinstance(value, Mapping):
        return write(Pairs(tuple(value.items())))
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(write, value)) + b"]"
    return msgspec.json.encode(value)


def places(value: object) -> list[tuple[int, ...]]:
    """The path of every value in it, its own first: which pair or element at each level."""
    found: list[tuple[int, ...]] = [()]
    inner = value.pairs if isinstance(value, Pairs) else ()
    children = [child for _, child in inner] if inner else value if isinstance(value, list) else []
    for index, child in enumerate(children):
        found += ((index, *rest) for rest in places(child))
    return found


def loose(value: object) -> object:
    """The value with pairs in the place of objects, so that it can be mutated."""
    if isinstance(value, Mapping):
        return Pairs(tuple((key, loose(inner)) for key, inner in value.items()))
    return [loose(inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Change:
    """One mutation: what is done at a place, which is taken modulo the places that there are."""

    what: str
    place: int
    odd: object
    key: object

    def applied(self, value: object) -> object:
        """The value after it."""
        known = places(value)
        return self._at(value, known[self.place % len(known)])

    def _at(self, value: object, path: Sequence[int]) -> object:
        if not path:
            return self._here(value)
        first, rest = path[0], path[1:]
        if isinstance(value, Pairs):
            pairs = list(value.pairs)
            pairs[first] = (pairs[first][0], self._at(pairs[first][1], rest))
            return Pairs(tuple(pairs))
        if isinstance(value, list):
            return [self._at(inner, rest) if index == first else inner for index, inner in enumerate(value)]
        return value

    def _here(self, value: object) -> object:
        pairs = value.pairs if isinstance(value, Pairs) else ()
        at = self.place % (len(pairs) or 1)
        changed: dict[str, object] = {
            "replace": self.odd,
            "wrap": [value],
            "nest": Pairs(((self.key, value),)),
            "add": Pairs((*pairs, (self.key, self.odd))) if pairs else [value, self.odd],
            "first": Pairs(((self.key, self.odd), *pairs)) if pairs else [self.odd, value],
            "drop": Pairs(pairs[:at] + pairs[at + 1 :]) if pairs else value,
            "twice": Pairs((*pairs, *pairs[at : at + 1])) if pairs else [value, value],
            "rename": Pairs((*pairs[:at], (self.key, pairs[at][1]), *pairs[at + 1 :])) if pairs else value,
        }
        return changed[self.what]


changes = st.builds(
    Change,
    st.sampled_from(["replace", "wrap", "nest", "add", "first", "drop", "twice", "rename"]),
    _place,
    odd,
    st.sampled_from(KEYS),
)


def texts(base: st.SearchStrategy[object], most: int = 3) -> st.SearchStrategy[bytes]:
    """The text of a base value after a few mutations."""

    def changed(value: object, changes: Sequence[Change]) -> bytes:
        value = loose(value)
        for change in changes:
            value = change.applied(value)
        return write(value)

    return st.builds(changed, base, st.lists(changes, max_size=most))


def tear(text: bytes, place: int, how: str, piece: bytes) -> bytes:
    """The bytes cut at a place, or with a piece put in, taken out or written over there."""
    at = place % (len(text) + 1)
    if how == "cut":
        return text[:at]
    if how == "in":
        return text[:at] + piece + text[at:]
    return text[:at] + (piece if how == "over" else b"") + text[at + len(piece) :]


def torn(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """The bytes after a tear."""
    pieces = st.binary(min_size=1, max_size=4) | st.sampled_from([b"\x00", b"\xef\xbb\xbf", b"\r\n\r\n", b'"', b"}"])
    return st.builds(tear, whole, _place, st.sampled_from(["cut", "in", "out", "over"]), pieces)


def mutants(base: st.SearchStrategy[object], most: int = 3) -> st.SearchStrategy[bytes]:
    """Mutated JSON, or what was JSON before its bytes were torn."""
    return texts(base, most) | torn(texts(base, 1))
