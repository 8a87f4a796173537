"""The scope: which settings must be equal for one turn to continue another, and which may differ."""

import json
from typing import Literal

import pytest

from proxy.core.meaning import Rules, read
from proxy.core.request import parse
from proxy.core.scope import DOCUMENTED, FREE, FREE_REASONING, NULLABLE, OTHER, named, owner, scope, settings_size

POOL_KEY = bytes(16)
MATCHES: tuple[Literal["strict", "faithful", "relaxed"], ...] = ("strict", "faithful", "relaxed")
ITEM = {"role": "user", "content": "hi"}


def mark(settings: str = "{}", rules: Rules | None = None, pool_key: bytes = POOL_KEY) -> bytes:
    """The scope of a request with these settings beside model and input."""
    inside = settings.strip()[1:-1]
    body = b'{"model":"m","input":[]%b}' % (f",{inside}" if inside.strip() else "").encode()
    return scope(parse(body, most_items=10), rules or Rules(), pool_key)


FREE_VALUES = {
    "tool_choice": ['"auto"', '"required"', '{"type":"function","name":"a"}'],
    "tools": ["[]", '[{"type":"function","name":"a"}]'],
    "instructions": ['"be brief"', '"be long"'],
    "max_output_tokens": ["10", "1000"],
    "temperature": ["0", "0.7"],
    "top_p": ["1", "0.5"],
    "metadata": ["{}", '{"run":"1"}'],
    "client_metadata": ["{}", '{"turn":"1"}'],
    "include": ["[]", '["reasoning.encrypted_content"]'],
    "stream": ["true", "false"],
    "text": ['{"verbosity":"low"}', '{"format":{"type":"json_object"}}'],
}


@pytest.mark.parametrize("name", sorted(FREE_VALUES))
def test_a_setting_of_the_tested_list_may_differ(name: str) -> None:
    """It is sent in full on every turn: absent, null or any value, the conversation can be continued."""
    assert {mark(), mark(f'{{"{name}":null}}')} == {mark()}
    assert {mark(f'{{"{name}":{value}}}') for value in FREE_VALUES[name]} == {mark()}


def test_stream_options_may_differ() -> None:
    """They say how the answer travels."""
    assert mark('{"stream":true,"stream_options":{"include_obfuscation":false}}') == mark('{"stream":true}') == mark()


def test_the_tested_list_is_the_documented_one() -> None:
    """design.md's list: a setting does not become free by accident."""
    assert {*FREE_VALUES, "stream_options"} == FREE
    assert {"effort", "summary"} == FREE_REASONING


@pytest.mark.parametrize("name", ["effort", "summary"])
def test_a_reasoning_setting_of_the_tested_list_may_differ(name: str) -> None:
    """Effort and summary may change from turn to turn, also to none at all."""
    forms = ["{}", '{"reasoning":null}', '{"reasoning":{}}', f'{{"reasoning":{{"{name}":null}}}}']
    assert {mark(form) for form in [*forms, f'{{"reasoning":{{"{name}":"high"}}}}']} == {mark()}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{}", '{"reasoning":{"encrypted":true}}'),
        ('{"reasoning":{"x":1}}', '{"reasoning":{"x":2}}'),
        ('{"reasoning":{"effort":"low","x":1}}', '{"reasoning":{"effort":"low"}}'),
        ('{"reasoning":"high"}', '{"reasoning":{"effort":"high"}}'),
        ("{}", '{"store":false}'),
        ("{}", '{"parallel_tool_calls":false}'),
        ("{}", '{"truncation":"auto"}'),
        ("{}", '{"truncation":"disabled"}'),
        ("{}", '{"service_tier":"flex"}'),
        ('{"user":"a"}', '{"user":"b"}'),
        ('{"prompt_cache_key":"a"}', '{"prompt_cache_key":"b"}'),
        ('{"safety_identifier":"a"}', '{"safety_identifier":"b"}'),
        ('{"context_management":[{"type":"compaction"}]}', "{}"),
        ('{"top_logprobs":0}', "{}"),
        ('{"max_tool_calls":1}', '{"max_tool_calls":2}'),
        ('{"image":{"context_compression":"off"}}', "{}"),
        ('{"image":{"context_compression":"auto"}}', "{}"),
        ('{"image":{"context_compression":"auto"}}', '{"image":{}}'),
        ('{"image":{"context_compression":"auto"}}', '{"image":{"context_compression":"enabled"}}'),
        ('{"image":{"context_compression":"disabled"}}', '{"image":{"context_compression":"enabled"}}'),
        ('{"image":null}', "{}"),
        ("{}", '{"from_the_future":null}'),
        ('{"from_the_future":1}', '{"from_the_future":1.0}'),
        ('{"from_the_future":{"a":1,"b":2}}', '{"from_the_future":{"b":2,"a":1}}'),
        ('{"from_the_future":{"a":1,"a":2}}', '{"from_the_future":{"a":2}}'),
        ('{"from_the_future":{"a":1,"a":2}}', '{"from_the_future":{"a":2,"a":1}}'),
        ('{"a":"b"}', '{"b":"a"}'),
        ('{"INSTRUCTIONS":"a"}', '{"INSTRUCTIONS":"b"}'),
        ('{"store":0}', '{"store":false}'),
        ('{"store":1}', '{"store":true}'),
        ('{"user":1}', '{"user":true}'),
    ],
)
def test_any_other_setting_counts(one: str, other: str) -> None:
    """All fields outside `input` and the list must be equal, unknown ones included."""
    assert mark(one) != mark(other)


def test_the_model_counts() -> None:
    """Another model is another conversation."""
    one, other = (parse(b'{"model":"%b","input":[]}' % model, most_items=1) for model in (b"m", b"n"))
    assert scope(one, Rules(), POOL_KEY) != scope(other, Rules(), POOL_KEY)


@pytest.mark.parametrize("name", sorted(NULLABLE))
def test_null_is_absent_where_the_api_documents_it(name: str) -> None:
    """A documented setting that is null means what its absence means."""
    assert mark(f'{{"{name}":null}}') == mark()


def test_the_default_of_store_and_background_is_absent() -> None:
    """`store: true` is the default, and so is `background: false`."""
    assert mark('{"store":true}') == mark('{"store":null}') == mark()
    assert mark('{"background":false}') == mark()


def test_order_and_spelling_of_settings_do_not_count() -> None:
    """The order of the fields, white space and escapes are the caller's affair."""
    assert mark('{"user":"a","prompt_cache_key":"b"}') == mark('{ "prompt_cache_key" : "\\u0062", "us\\u0065r":"a" }')


@pytest.mark.parametrize(
    "value", ['{"a":1,"a":2}', "[" * 300 + "]" * 300, '{"a":{"b":[{"c":1,"c":1}]}}'], ids=["twice", "deep", "inside"]
)
def test_a_setting_in_doubt_equals_its_own_bytes(value: str) -> None:
    """What two readers may take differently is compared as it is spelled."""
    assert mark(f'{{"x":{value}}}') == mark(f'{{"x":{value}}}')
    assert mark(f'{{"x":{value}}}') != mark(f'{{"x":{value.replace("{", "{ ").replace("[", "[ ")}}}')
    assert mark(f'{{"x":{value}}}') != mark(json.dumps({"x": value}))


def test_the_input_is_no_setting() -> None:
    """What the conversation holds does not change its scope."""
    bodies = [{"model": "m", "input": "hi"}, {"model": "m", "input": [ITEM]}, {"input": [ITEM, ITEM], "model": "m"}]
    marks = {scope(parse(json.dumps(body).encode(), most_items=9), Rules(), POOL_KEY) for body in bodies}
    assert marks == {mark()}


def test_nothing_crosses_pool_keys_or_rules() -> None:
    """Another credential, another match mode or another reading of summaries is another scope."""
    rules = [Rules(), Rules("strict"), Rules("relaxed"), Rules(summaries_count=False)]
    assert len({mark(rules=each) for each in rules} | {mark(pool_key=b"x" * 16)}) == 5


def test_the_size_of_the_settings_is_what_their_values_take() -> None:
    """The bytes of all values beside the input: more tokens than that they cannot be."""
    request = parse('{"model": "m", "input": "long text", "user" : "é"}'.encode(), most_items=1)
    assert settings_size(request) == len(b'"m"') + len('"é"'.encode())


def test_the_settings_that_count_have_the_names_that_are_documented() -> None:
    """Any other name is the caller's own word, and may be anything: such settings stand together under one of ours."""
    body = {
        "model": "m",
        "store": False,
        "user": None,
        "tools": [],
        "reasoning": {"effort": "low"},
        "image": {},
        "secret": 1,
        "a": "b",
        "input": [],
    }
    settings = named(parse(json.dumps(body).encode(), most_items=1))
    assert settings == {"image": {}, "model": "m", "store": False, OTHER: {"a": "b", "secret": read(b"1")}}
    assert settings.keys() <= DOCUMENTED | {OTHER}
    assert OTHER not in named(parse(b'{"model":"m","input":[]}', most_items=1))


@pytest.mark.parametrize(
    ("one", "other"),
    [("{}", '{"user":null}'), ("{}", '{"store":true}'), ('{"x":1}', '{"x":2}'), ('{"user":"a"}', '{"user":"b"}')],
)
def test_what_is_named_differs_where_the_scope_does(one: str, other: str) -> None:
    """Whoever asks which setting differs is told by what the decision goes by."""
    both = [
        named(parse(b'{"model":"m","input":[],%b}' % (each[1:-1] or '"top_p":1').encode(), most_items=1))
        for each in (one, other)
    ]
    assert (both[0] == both[1]) == (mark(one) == mark(other))


def test_stored_items_are_their_owners_under_his_rules() -> None:
    """What an item means depends on the rules that it was read by, and is nobody's business under another pool key."""
    owners = {
        owner(Rules(match, summaries), key)
        for match in MATCHES
        for summaries in (True, False)
        for key in (b"k" * 16, b"l" * 16)
    }
    assert len(owners) == 12
    assert owner(Rules(), b"k") == owner(Rules(), b"k")
