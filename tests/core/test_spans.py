"""Spans are exactly the values that another parser sees; what two parsers may read differently is refused."""

import json
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.spans import Field, NotJson, Span, array_spans, object_fields, splice
from tests.core.spelling import Object, Pairs, Value, exact, objects, randoms, spell, values

_FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *("{", "}", "[", "]", ",", ":", '"', "\\", " ", "\n", "\x0c", "\ufeff", "//", "\x00", "é"),
            *('"a"', '"b"', '"\\u0061"', '"a":', '"b":', '"\\u0061":', '"input":[1]', '"input":[1],"x":[2]'),
            *("1", "12", "01", "1.", "1e", "-", "-0", "1e5", "true", "tru", "null", "NaN", "Infinity", "'a'"),
            *('1],"x":[2', "[]", "{}", '"\\"', '"\\ud83d\\ude00"', '"\\x"', "[1,]", '{"a":1,"a":2}'),
        ]
    ),
    max_size=7,
).map("".join)


def _agrees(text: bytes, found: dict[str, Field]) -> None:
    """Every field is where the other parser has it, and is nothing but its value."""
    pairs = exact(text)
    assert isinstance(pairs, Pairs)
    assert [name for name, _ in pairs.members] == list(found)
    for (name, value), field in zip(pairs.members, found.values(), strict=True):
        assert exact(text[field.start : field.end]) == value
        assert exact(b"{" + text[field.key : field.end] + b"}") == Pairs([(name, value)])
        assert text[field.start : field.end].strip() == text[field.start : field.end]
        assert text[field.key : field.key + 1] == b'"'


def _beyond_doubt(text: bytes) -> bool:
    """Whether the other parser reads an object with no key given twice."""
    try:
        pairs = exact(text)
    except ValueError:
        return False
    return isinstance(pairs, Pairs) and len({name for name, _ in pairs.members}) == len(pairs.members)


@given(objects, randoms)
def test_fields_stand_where_their_values_are(value: Object, random: Random) -> None:
    """Each field of any object is found, in order, with exactly its bytes."""
    text = spell(value, random).encode()
    _agrees(text, object_fields(text))


@given(st.lists(values, max_size=5), randoms, st.binary(max_size=5))
def test_elements_stand_where_their_values_are(value: list[Value], random: Random, before: bytes) -> None:
    """Each element of an array is found in the text around it, with exactly its bytes."""
    array = spell(value, random).encode()
    text = before + array + before
    spans = array_spans(text, Span(len(before), len(before) + len(array)))
    assert [exact(text[start:end]) for start, end in spans] == exact(array)
    assert all(text[start:end].strip() == text[start:end] for start, end in spans)


@given(_FRAGMENTS)
@example('"a":1,"b":2,"a":1')
@example('"a":12,"b":1,"a":1')
@example('"a":1,"\\u0061":1')
@example('"a":[1],"x":[2],"a":[1],"x":[2]')
@example('"a":1],"x":[2')
def test_any_text_is_read_as_another_parser_reads_it_or_not_at_all(inside: str) -> None:
    """Over scraps of JSON: what is accepted agrees with the other parser, what it reads without doubt is accepted."""
    for text in (inside.encode(), b"{" + inside.encode() + b"}"):
        try:
            found = object_fields(text)
        except NotJson:
            assert not _beyond_doubt(text)
        else:
            assert _beyond_doubt(text)
            _agrees(text, found)


@given(_FRAGMENTS)
def test_any_array_is_read_as_another_parser_reads_it_or_not_at_all(inside: str) -> None:
    """Over scraps of JSON: an array's elements are the other parser's, or the array is refused."""
    text = b"[" + inside.encode() + b"]"
    try:
        elements = exact(text)
    except ValueError:
        with pytest.raises(NotJson):
            array_spans(text, Span(0, len(text)))
    else:
        assert [exact(text[start:end]) for start, end in array_spans(text, Span(0, len(text)))] == elements


@given(objects, randoms, st.data())
def test_a_damaged_text_is_read_as_another_parser_reads_it_or_not_at_all(
    value: Object, random: Random, data: st.DataObject
) -> None:
    """A slice cut out of a good text, or put in twice, never moves a span off its value."""
    text = spell(value, random)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    again = data.draw(st.sampled_from([0, 2]))
    damaged = (text[:start] + text[start:end] * again + text[end:]).encode()
    try:
        found = object_fields(damaged)
    except NotJson:
        assert not _beyond_doubt(damaged)
    else:
        _agrees(damaged, found)


@pytest.mark.parametrize(
    "text",
    [
        b'{"input":[1],"input":[1]}',
        b'{"input":[1],"model":"m","input":[1]}',
        b'{"input":[1],"model":"m","inp\\u0075t":[1]}',
        b'{"a":1,"b":2,"b":2,"a":1}',
        b'{"a":12,"a":1}',
        b'{"a":1,"b":22,"a":{"q":0,"kkkkkkk":5}}',  # walked with the last `a`, it would end neatly within that value
        b'{"a":"x","a":"x"}',
        b'{"":1,"":1}',
        b'{"a":1],"x":[2}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":NaN}',
        b'{"a":[-Infinity]}',
        b'{"a":1}x',
        b'{"a":1}\x00',
        b'{"a":1}{"a":1}',
        b'{"a":1',
        b'{"a":"',
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":"\n"}',
        b'{"a":1/**/}',
        b"{'a':1}",
        b'{"a":"\\ud800"}',
        b'{"a":"\\ud800","b":"more text after it"}',
        b'{"\xff":1}',
        b'{"a":["\\ud83d","\\ude00"]}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"",
        b" ",
        b"[]",
        b"null",
        b'"{}"',
    ],
)
def test_what_two_parsers_may_read_differently_is_refused(text: bytes) -> None:
    """A key given twice, however spelled or placed, and anything that is not plain JSON, is no object."""
    with pytest.raises(NotJson):
        object_fields(text)


@pytest.mark.parametrize("text", [b'{"a":1}', b'"[1]"', b"1", b"[1", b"[1]]", b"[1,]", b"[1] 2", b"[" * 100_000])
def test_what_is_no_array_is_refused(text: bytes) -> None:
    """Only a whole array has elements."""
    with pytest.raises(NotJson):
        array_spans(text, Span(0, len(text)))


def test_nesting_and_length_move_nothing() -> None:
    """Values that hold each other's text, and long ones, keep their places."""
    value: Object = {"a": '{"b":1}', "b": {"a": {"b": [1, {"a": 2}]}}, "c" * 100_000: "x" * 100_000, "d": [[]] * 1000}
    text = json.dumps(value, indent=1).encode()
    _agrees(text, object_fields(text))


def test_splice_replaces_only_what_is_named() -> None:
    """Edits in order leave all other bytes as they were; none leave everything."""
    assert splice(b"0123456789", [(1, 3, b"ab"), (3, 3, b"-"), (9, 10, b"")]) == b"0ab-345678"
    assert splice(b"0123", []) == b"0123"


def test_no_more_is_walked_through_than_a_request_can_have() -> None:
    """A thousand fields and as many items as were asked for are read; one more of either is not."""
    for count, reads in ((1_000, True), (1_001, False)):
        text = b"{" + b",".join(b'"%d":1' % number for number in range(count)) + b"}"
        if reads:
            assert len(object_fields(text)) == count
            continue
        with pytest.raises(NotJson, match="more fields"):
            object_fields(text)
    assert len(array_spans(b"[1,2,3]", Span(0, 7), 3)) == 3
    with pytest.raises(NotJson, match="too many items"):
        array_spans(b"[1,2,3]", Span(0, 7), 2)
