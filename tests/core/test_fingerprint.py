"""Fingerprints: one for one meaning, under one key; a chain says what every prefix of a history means."""

import json
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.fingerprint import SIZE, Fingerprints, pack
from proxy.core.meaning import Json, Reference, Rules, meaning, read
from tests.core.histories import FAITHFUL, KNOWN_HOST, STRICT, raw
from tests.core.items import CALL, OUTPUT, REASONING, USER, but, items
from tests.core.spelling import Object, Value, exact, randoms, spell, values

KEY = b"k" * 32
PAIRS: list[tuple[str | bytes, str | bytes]] = [
    # Numbers, their texts, and their look-alikes.
    ("1", '"1"'),
    ("1", "1.0"),
    ("0", "-0"),
    ("1e5", "100000"),
    ("1e400", "1e500"),
    ("0.1", "0.10000000000000001"),
    ("9" * 5000, "9" * 4999 + "8"),
    ("9007199254740993", "9007199254740992"),
    ("true", "1"),
    ("false", "null"),
    ("null", '"null"'),
    # Containers and their look-alikes.
    ("{}", "[]"),
    ('{"a":1}', '[["a",1]]'),
    ('{"a":1}', '["a",1]'),
    ("[[],[]]", "[[[]]]"),
    ("[1,[2]]", "[[1,2]]"),
    ("[1,2]", "[12]"),
    ('["ab"]', '["a","b"]'),
    ('{"a":1,"b":2}', '{"b":2,"a":1}'),
    ('{"":1}', '{" ":1}'),
    ('{"":""}', "{}"),
    ('{"a":null}', "{}"),
    ('{"a":{"b":1}}', '{"a":{},"b":1}'),
    # The same key twice: one reader takes the first, another the last.
    ('{"a":1,"a":2}', '{"a":2}'),
    ('{"a":1,"a":2}', '{"a":1}'),
    ('{"a":1,"a":1}', '{"a":1}'),
    ('{"a":1,"\\u0061":2}', '{"\\u0061":1,"a":2}'),
    ('{"role":"user","content":"a","content":"b"}', '{"role":"user","content":"b"}'),
    # Texts.
    ('"\\u00e9"', '"e\\u0301"'),
    ('"\\ufb01"', '"fi"'),
    ('"a"', '"\\uff41"'),
    ('"\\u0000"', '""'),
    ('"\\ufeff"', '""'),
    ('"\\\\u0061"', '"a"'),
    ('"\\ud800"', '"\\ud801"'),
    ('"\\ud800"', '"\\ufffd"'),
    ('"\\ud83d\\ude00"', '"\\ude00\\ud83d"'),
    ('"' + "x" * 70_000 + '"', '"' + "x" * 70_001 + '"'),
    # What is no JSON equals only its own bytes.
    ("NaN", '"NaN"'),
    ("NaN", "null"),
    ("{", "{ "),
    (b"\xff", b"\xfe"),
    (b'"\xed\xa0\x80"', '"\\ud800"'),
    ("[" * 600 + "1" + "]" * 600, "[" * 600 + "2" + "]" * 600),
    ("[" * 100_000, "[" * 100_001),
    # Items that look like the encoding of others.
    ('{"id":"x"}', '{"id":"y"}'),
    ('{"id":"x"}', '"x"'),
    ('{"id":"x"}', '{"type":"x"}'),
    ('{"type":"item_reference","id":""}', '{"type":"item_reference"}'),
]


def unnamed(_: str) -> None:
    """No item is known by its id."""


def spelled(value: str | bytes) -> bytes:
    """The bytes of a JSON text."""
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("rules", [FAITHFUL, KNOWN_HOST, STRICT, Rules("relaxed")], ids=str)
@pytest.mark.parametrize(("one", "other"), PAIRS, ids=range(len(PAIRS)))
def test_what_differs_has_two_fingerprints(one: str | bytes, other: str | bytes, rules: Rules) -> None:
    """As a whole item, and inside one, look-alikes are told apart under all rules."""
    prints = Fingerprints(KEY)
    for form in (b"%b", b"[%b]", b'{"type":"x","more":%b}', b'{"role":"user","content":%b}', b'{"role":"user","x":%b}'):
        assert _mark(prints, form % spelled(one), rules) != _mark(prints, form % spelled(other), rules)


def _mark(prints: Fingerprints, item: bytes, rules: Rules) -> bytes:
    return prints.chain(b"scope", prints.items([item], rules, unnamed))[-1]


@given(st.lists(values, min_size=2, max_size=2), randoms)
def test_a_value_is_packed_into_bytes_of_its_own(pair: list[Value], random: Random) -> None:
    """Two JSON values have the same bytes where they are the same to a parser that loses nothing, and only there."""
    one, other = (spell(value, random).encode() for value in pair)
    assert (pack(read(one)) == pack(read(other))) == (exact(one) == exact(other))
    again = spell(pair[0], random).encode()
    assert pack(read(one)) == pack(read(again))


def test_lone_surrogates_are_packed() -> None:
    """Half a character has bytes too, and they are no other half's."""
    halves: list[Json] = ["\ud800", "\udc00", "\ud800\udc00", "\U00010000", "\ufffd"]
    assert len({pack(half) for half in halves}) == len(halves)


def test_another_key_makes_other_fingerprints() -> None:
    """What one key made says nothing about another's; the same key makes the same again."""
    marks = [_mark(Fingerprints(key), raw(USER), FAITHFUL) for key in (KEY, KEY, b"o" * 32)]
    assert marks[0] == marks[1] != marks[2]


def test_parts_count_with_their_lengths() -> None:
    """Moving a byte from one part to the next gives another digest, and so does an empty part."""
    prints = Fingerprints(KEY)
    digests = {
        prints.digest(*parts) for parts in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""], [b"", b"abc"], [])
    }
    assert len(digests) == 6
    assert {len(digest) for digest in digests} == {SIZE}


@given(st.lists(items(), max_size=4), st.data())
def test_a_chain_says_what_every_prefix_means(history: list[Object], data: st.DataObject) -> None:
    """`d[i]` of a history is the last of its first i items' own chain, and is continued by the rest of the items."""
    prints = Fingerprints(KEY)
    raws = [raw(item) for item in history]
    chain = prints.chain(b"scope", prints.items(raws, FAITHFUL, unnamed))
    assert len(chain) == len(history) + 1
    cut = data.draw(st.integers(0, len(history)))
    assert prints.chain(b"scope", prints.items(raws[:cut], FAITHFUL, unnamed)) == chain[: cut + 1]
    rest = [item for item in (prints.item(each, FAITHFUL) for each in raws[cut:]) if isinstance(item, bytes)]
    assert prints.extend(chain[cut], rest) == chain[cut + 1 :]
    assert len(set(chain)) == len(chain)


def test_the_scope_is_part_of_every_fingerprint() -> None:
    """Under another scope the same history has not one fingerprint in common."""
    prints = Fingerprints(KEY)
    one, other = (
        prints.chain(scope, prints.items([raw(USER), raw(CALL)], FAITHFUL, unnamed)) for scope in (b"a", b"b")
    )
    assert not set(one) & set(other)


def test_what_the_model_said_extends_a_chain_as_if_the_caller_had_sent_it() -> None:
    """The digest of a meaning is the digest of any item that has it."""
    prints = Fingerprints(KEY)
    meant = meaning(raw(CALL), FAITHFUL)
    assert not isinstance(meant, Reference)
    asked = prints.chain(b"scope", prints.items([raw(USER)], FAITHFUL, unnamed))
    answered = prints.chain(b"scope", prints.items([raw(USER), raw(but(CALL, id=None))], FAITHFUL, unnamed))
    assert prints.extend(asked[-1], [prints.meant(meant)]) == answered[-1:]
    assert prints.extend(asked[-1], []) == []


def test_remembered_items_are_remembered_under_their_rules() -> None:
    """Asking for the same bytes under other rules gives the other meaning, in any order of asking."""
    item = raw(REASONING)
    lone = {rules: Fingerprints(KEY).item(item, rules) for rules in (FAITHFUL, KNOWN_HOST, STRICT)}
    prints = Fingerprints(KEY)
    for rules in (FAITHFUL, KNOWN_HOST, STRICT, FAITHFUL, KNOWN_HOST):
        assert prints.item(item, rules) == lone[rules]
    assert len(set(lone.values())) == 3


def test_memory_is_bounded_and_changes_nothing() -> None:
    """With room for two items, a long history has the fingerprints that it has with room for all."""
    history = [raw(but(OUTPUT, output=str(number))) for number in range(20)] * 2
    small, large = Fingerprints(KEY, remembered=2), Fingerprints(KEY)
    assert small.chain(b"", small.items(history, FAITHFUL, unnamed)) == large.chain(
        b"", large.items(history, FAITHFUL, unnamed)
    )


def test_a_reference_is_asked_for_each_time() -> None:
    """A reference is remembered as one: it means what its id means when it is asked."""
    prints = Fingerprints(KEY)
    known: dict[str, bytes] = {}
    reference = [b'{"id":"msg_1"}']
    before = prints.chain(b"", prints.items(reference, FAITHFUL, known.get))
    meant = prints.item(raw(USER), FAITHFUL)
    assert isinstance(meant, bytes)
    known["msg_1"] = meant
    assert before != prints.chain(b"", prints.items(reference, FAITHFUL, known.get))
    assert prints.chain(b"", prints.items([raw(USER)], FAITHFUL, unnamed)) == prints.chain(
        b"", prints.items(reference, FAITHFUL, known.get)
    )
    assert prints.chain(b"", prints.items([b'{"id":"\\ud800"}'], FAITHFUL, unnamed)) != before


def test_an_item_in_doubt_equals_its_own_bytes() -> None:
    """A key given twice: the very same bytes are equal, the same with a blank more are not."""
    prints = Fingerprints(KEY)
    for item in (b'{"a":1,"a":2}', b"[NaN]", b"[" * 600 + b"]" * 600, b"{"):
        assert prints.item(item, FAITHFUL) == Fingerprints(KEY).item(item, FAITHFUL)
        assert prints.item(item, FAITHFUL) != prints.item(item + b" ", FAITHFUL)


def test_whatever_has_a_meaning_has_a_digest() -> None:
    """The deepest item that is read, with the deepest arguments, can be packed."""
    deep = "[" * 190 + "]" * 190
    item = json.dumps({"type": "function_call", "call_id": "c", "arguments": deep, "more": json.loads(deep)}).encode()
    meant = meaning(item, FAITHFUL)
    assert not isinstance(meant, Reference)
    assert Fingerprints(KEY).meant(meant) == Fingerprints(KEY).item(item, FAITHFUL)
    assert msgspec.json.decode(item)["arguments"] == deep


def test_what_came_last_is_outlined() -> None:
    """Of a long history that is new the last items, of an answer every one; by what they mean, however spelled."""
    prints = Fingerprints(KEY)
    history = [raw(but(OUTPUT, output=str(number))) for number in range(100)]
    meant = prints.items(history, FAITHFUL, unnamed)
    known = [prints.outline(item) is not None for item in meant]
    assert known == sorted(known)
    assert 0 < sum(known) < 100
    assert prints.outline(meant[-1]) == prints.outlined(history[-1], FAITHFUL)
    said = meaning(raw(CALL), FAITHFUL)
    assert not isinstance(said, Reference)
    assert prints.outline(prints.meant(said)) is None
    assert prints.outline(prints.meant(said, outlined=True)) == prints.outlined(raw(but(CALL, id=None)), FAITHFUL)
    assert prints.outline(prints.meant("text", outlined=True)) is None


def test_outlines_are_bounded() -> None:
    """The oldest goes first, and its paths are not kept twice meanwhile."""
    prints = Fingerprints(KEY, outlined=2)
    meant = prints.items([raw(but(OUTPUT, output=str(number))) for number in range(3)], FAITHFUL, unnamed)
    outlines = [prints.outline(item) for item in meant]
    assert [outline is None for outline in outlines] == [True, False, False]
    assert len({id(outline.paths) for outline in outlines if outline}) == 1


def test_outlines_of_odd_shapes_are_fewer() -> None:
    """They are bounded by their paths, too, and so is what is kept of those that several items may have."""
    prints = Fingerprints(KEY, outlined=64)
    keys = ["annotations", "detail", "file_id", "image_url", "text"]
    for number in range(400):
        parts: list[Value] = [
            {"type": "input_image", **dict.fromkeys(keys[: (number >> at) % 5 + 1], "v")} for at in range(16)
        ]
        prints.items([raw({"role": "user", "content": [*parts, str(number)]})], FAITHFUL, unnamed)
    assert 200 < sum(len(outline.paths) for outline in prints._outlines.values()) <= 64 * 8
    assert 200 < sum(map(len, prints._paths)) <= 8_192
    for number in range(128):
        prints.items([raw(but(OUTPUT, output=str(number)))], FAITHFUL, unnamed)
    assert len(prints._outlines) == 64


def test_outlines_are_keyed() -> None:
    """Under another key an item has other digests, and the same paths."""
    one, other = (Fingerprints(key).outlined(raw(CALL), FAITHFUL) for key in (KEY, b"o" * 32))
    assert one.paths == other.paths
    assert not set(one.parts.values()) & set(other.parts.values())
