"""Beginnings: a body whose beginning is known is read as if it was not, whatever follows, and by what it says alone."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.beginnings import Beginnings, read, unread
from proxy.core.reasons import Passed
from proxy.core.request import CreateRequest, NotPlain
from tests.core.spelling import Object, objects, randoms, spell

MOST = 60
FILLER: Object = {"role": "user", "content": "é" * 10_000}
SETTINGS = (
    b'{"model":"m","stream":true,"input":[',
    b' { "input" : [',
    b'{"stream":false,"model":"m", "store":false,"input":[ ',
)
RESTS = (
    b"]}",
    b' ] , "model" : "m" }\n',
    b',{"role":"user","content":"more"}]}',
    b',{"role":"user"} , 3,"x",null],"model":"m"}',
    b',{"type":"reasoning","summary":[],"encrypted_content":"gAAA"}],"model":"m"}',
    b',{"type":"reasoning","summary":[]}],"model":"m"}',
    b',{"tools":[{"type":"mcp"}]}],"model":"m"}',
    b'],"tools":[{"type":"code_interpreter"}],"model":"m"}',
    b'],"stream":true,"stream_options":{},"model":"m"}',
    b',1],"x":[2],"model":"m"}',
    b'],"input":[1],"model":"m"}',
    b'],"model":"again"}',
    b'],"model":"m","store":true,"store":false}',
    b'],"previous_response_id":"resp_1","model":"m"}',
    b'],"background":true,"model":"m"}',
    b'],"stream":"yes","model":"m"}',
    b'],"type":"response.create"}',
    b",]}",
    b",,1]}",
    b"}",
    b"]",
    b"",
    b"]]}",
    b"]}]}",
    b"]}{}",
    b"0]}",
    b'"]}',
    b".5]}",
    b'{"a":1}]}',
    b',"\xff"]}',
    b',"\xc3',
    b',"\\ud800"]}',
    b"," + b"[" * 2_000 + b"]" * 2_000 + b"]}",
    b",1" * MOST + b"]}",
    b",1" * (MOST - 1) + b'],"model":"m"}',
    b'],"previous_response_id":"resp_1","model":"m","more":[' + b"1," * MOST + b"1]}",
    b"\x00]}",
    b"]}\x00",
    b' \t\r\n,\t{"id":"msg_1"}\n]\r}',
)


def outcome(create: CreateRequest) -> object:
    """All that a turn sees of a create."""
    told = (create.stored, create.truncates, create.acts, create.items_act, create.ends_in_compaction, create.thoughts)
    frames = [create.frame(), *(create.frame("resp_1", skip) for skip in range(len(create.items)))]
    return list(create.fields.items()), create.items, create.listed, create.stream, told, frames, create.raw_items()


def outcomes(body: bytes, beginnings: Beginnings) -> tuple[object, object, bool]:
    """What a reader with and one without memory make of a body; and whether its beginning was known."""
    known, mark = beginnings.match(body)
    found: list[object] = []
    for remembered in (known, None):
        try:
            found.append(outcome(read(body, remembered, mark, most_items=MOST)))
        except NotPlain as error:
            found.append(error.reason)
    return found[0], found[1], known is not None


def kept(beginnings: Beginnings, body: bytes) -> CreateRequest:
    """The create that it is, as if it had been answered."""
    known, mark = beginnings.match(body)
    create = read(body, known, mark, most_items=MOST)
    count = len(create.items)
    beginnings.keep(create, [b"m" * 16] * count, [b"c" * 16] * (count + 1))
    return create


@st.composite
def first_bodies(draw: st.DrawFn) -> bytes:
    """A body that is taken, large enough to be remembered, spelled in any way."""
    odd: list[Object] = [{"type": "reasoning", "summary": []}, {"tools": [{"type": "mcp"}]}]
    items = draw(st.lists(st.one_of(objects, st.sampled_from(odd)), max_size=5))
    separator = draw(st.sampled_from([b",", b" , ", b",\n"]))
    filler = json.dumps(FILLER, ensure_ascii=False)  # large: to spell it in every way would take most of the time
    spelled = separator.join([filler.encode(), *(spell(item, draw(randoms)).encode() for item in items)])
    return draw(st.sampled_from(SETTINGS)) + spelled + draw(st.sampled_from([b"]", b"\n]"]))


@given(first_bodies(), st.sampled_from([b'],"model":"m"}', b"]}"]), st.sampled_from(RESTS))
def test_what_follows_is_read_as_ever(first: bytes, end: bytes, rest: bytes) -> None:
    """Whatever comes behind a beginning that is known: the same create, byte for byte, or the same refusal."""
    first = first.rstrip(b"]\n ") + end
    beginnings = Beginnings(b"key", float)
    try:
        create = kept(beginnings, first)
    except NotPlain:
        return
    body = first[: create.items[-1].end] + rest
    remembering, forgetful, known = outcomes(body, beginnings)
    assert known
    assert remembering == forgetful


@pytest.mark.parametrize("rest", RESTS)
def test_every_odd_end_is_read_as_ever(rest: bytes) -> None:
    """Behind a beginning with all settings ahead of the items, and behind one with none."""
    for settings in SETTINGS[:2]:
        first = settings + json.dumps(FILLER).encode() + (b"]}" if b"model" in settings else b'],"model":"m"}')
        beginnings = Beginnings(b"key", float)
        create = kept(beginnings, first)
        remembering, forgetful, known = outcomes(first[: create.items[-1].end] + rest, beginnings)
        assert known
        assert remembering == forgetful


@given(first_bodies(), st.integers(0, 25_000), st.sampled_from([b'"', b",", b"]", b"x", b" "]), st.sampled_from(RESTS))
def test_a_change_before_it_is_seen(first: bytes, at: int, new: bytes, rest: bytes) -> None:
    """Another byte anywhere in the beginning, and it is another one: nothing is known of it."""
    first = first.rstrip(b"]\n ") + b'],"model":"m"}'
    beginnings = Beginnings(b"key", float)
    try:
        create = kept(beginnings, first)
    except NotPlain:
        return
    end = create.items[-1].end
    at %= end
    changed = first[:at] + new + first[at + 1 : end]
    remembering, forgetful, known = outcomes(changed + rest, beginnings)
    assert known == (changed == first[:end])
    assert remembering == forgetful


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=6), st.data())
@example([0, 0, 0], None)
def test_the_longest_is_found(sizes: list[int], data: st.DataObject | None) -> None:
    """Of a conversation's turns the latest that this one goes on from, over any number of edges; also after an undo."""
    beginnings, items, bodies = Beginnings(b"key", float), [json.dumps(FILLER).encode()], []
    for size in sizes:
        bodies.append(b'{"model":"m","input":[' + b",".join(items) + b"]}")
        kept(beginnings, bodies[-1])
        items.append(b'{"role":"user","content":"%b"}' % (b"x" * size))
    for number, body in enumerate(bodies):
        again = body[:-2] + b',{"role":"user","content":"another"}]}'
        known, _ = beginnings.match(again)
        assert known is not None
        assert known.count == number + 1
    if data is not None:
        cut = data.draw(st.integers(0, len(bodies[-1])))
        remembering, forgetful, _ = outcomes(bodies[-1][:cut], beginnings)
        assert remembering == forgetful


def test_only_the_rest_is_parsed() -> None:
    """What is left of a megabyte of history is its new end: that is what all this is for."""
    history = b",".join(b'{"role":"user","content":"%b"}' % (b"x" * 20_000) for _ in range(50))
    beginnings = Beginnings(b"key", float)
    kept(beginnings, b'{"model":"m","input":[' + history + b"]}")
    body = b'{"model":"m","input":[' + history + b',{"role":"user","content":"new"}]}'
    known, _ = beginnings.match(body)
    assert unread(body, known) == b'{"input":[null,{"role":"user","content":"new"}]}'


@pytest.mark.parametrize(
    "item", [b'{"tools":[{"type":"mcp"}]}', b'{"type":"reasoning","summary":[]}', b'{"role":"user"}']
)
def test_what_stands_in_it_still_counts(item: bytes) -> None:
    """A tool that acts, and reasoning that is not there in full, count as long as they are in the history."""
    first = b'{"model":"m","input":[%b,%b]}' % (json.dumps(FILLER).encode(), item)
    beginnings = Beginnings(b"key", float)
    kept(beginnings, first)
    for end in (b"]}", b',{"role":"user"}]}'):
        remembering, forgetful, known = outcomes(first[:-2] + end, beginnings)
        assert known
        assert remembering == forgetful


@pytest.mark.parametrize("more", [MOST - 3, MOST - 2, MOST - 1, MOST])
def test_the_limit_counts_all_items(more: int) -> None:
    """Those that are known and those that are new: as many as ever are taken, and none more."""
    first = b'{"model":"m","input":[%b,{"role":"user"}]}' % json.dumps(FILLER).encode()
    beginnings = Beginnings(b"key", float)
    kept(beginnings, first)
    remembering, forgetful, known = outcomes(first[:-2] + b",1" * more + b"]}", beginnings)
    assert known
    assert remembering == forgetful
    assert (remembering is Passed.ODD_BODY) == (more > MOST - 2)


def test_keys_part_them() -> None:
    """Under another secret nothing is known: nobody can make out from one what another would take for the same."""
    body = b'{"model":"m","input":[%b]}' % json.dumps(FILLER).encode()
    one, other = Beginnings(b"one", float), Beginnings(b"other", float)
    kept(one, body)
    assert one.match(body)[0] is not None
    assert other.match(body)[0] is None


def test_they_are_bounded() -> None:
    """Of conversations that begin alike only the latest are remembered, and the new ones are."""
    beginnings = Beginnings(b"key", float)
    bodies = [b'{"model":"m","input":[%b,{"n":%d}]}' % (json.dumps(FILLER).encode(), number) for number in range(100)]
    for body in bodies:
        kept(beginnings, body)
    found = [beginnings.match(body)[0] is not None for body in bodies]
    assert found == [number >= 68 for number in range(100)]


def test_they_are_for_those_who_come_back_soon() -> None:
    """A conversation that rests for two minutes costs nothing here, and is read anew when it goes on."""
    now = 0.0
    beginnings = Beginnings(b"key", lambda: now)
    body = b'{"model":"m","input":[%b]}' % json.dumps(FILLER).encode()
    kept(beginnings, body)
    now = 119.0
    assert beginnings.match(body)[0] is not None
    now = 121.0
    assert beginnings.match(body)[0] is None
    assert not len(beginnings._shelves)


def test_one_that_weighs_more_than_all_may_is_not_kept() -> None:
    """A history of a hundred thousand items is read anew each time, and takes no other's place."""
    beginnings = Beginnings(b"key", float)
    one = b'{"model":"m","input":[%b]}' % json.dumps(FILLER).encode()
    kept(beginnings, one)
    count = 110_000
    body = b'{"model":"m","input":[' + b",".join([b"1"] * count) + b"]}"
    create = read(body, *beginnings.match(body), most_items=count)
    beginnings.keep(create, [b"m" * 16] * count, [b"c" * 16] * (count + 1))
    assert [beginnings.match(some)[0] is not None for some in (one, body)] == [True, False]


@pytest.mark.parametrize("siblings", [0, 1])
@pytest.mark.parametrize("size", [100, 40_000])
def test_what_was_gone_on_from_gives_way(size: int, siblings: int) -> None:
    """The latest turn's beginning stands for the one before, on the same shelf or another; others stay."""
    beginnings = Beginnings(b"key", float)
    other = b'{"model":"n","input":[%b]}' % json.dumps(FILLER).encode()
    first = b'{"model":"m","input":[%b]}' % json.dumps(FILLER).encode()
    sibling = first[:-2] + b',{"n":1}]}'
    for body in (other, first, *[sibling] * siblings):
        kept(beginnings, body)
    second = first[:-2] + b',{"role":"user","content":"%b"}]}' % (b"x" * size)
    create = read(second, *beginnings.match(second), most_items=MOST)
    beginnings.keep(create, [b"m" * 16] * 2, [b"c" * 16] * 3, instead=True)
    counts = [known.count if known else 0 for known, _ in map(beginnings.match, (other, first, sibling, second))]
    assert counts == [1, 0, 2 * siblings, 2]
    assert all(beginnings._shelves.values()), "an empty shelf weighs nothing, and would stay"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","input":[1]}',
        b'{"model":"m","input":"%b"}' % (b"x" * 20_000),
        b'{"model":"m","instructions":"%b","input":[]}' % (b"x" * 20_000),
        b'{"model":"m","input":[1],"instructions":"%b"}' % (b"x" * 20_000),
    ],
    ids=["small", "a string", "no items", "all behind the items"],
)
def test_what_is_not_worth_it_is_not_kept(body: bytes) -> None:
    """A small history, or none."""
    beginnings = Beginnings(b"key", float)
    kept(beginnings, body)
    assert beginnings.match(body)[0] is None
