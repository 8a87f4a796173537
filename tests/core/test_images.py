"""Images: what holds one, and which requests leave it to the host how they are prepared."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseInputItem
from pydantic import BaseModel

from proxy.core.images import _FIXED, _HOLDERS, left_to_host
from proxy.core.request import CreateRequest, parse
from tests.core.spelling import Object, Value, randoms, spell

TEXT: Object = {"type": "input_text", "text": "an input_image, and [[image]]: data:image/png;base64,AA=="}
IMAGE: Object = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
FILE: Object = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}
SHOT: Object = {"type": "computer_screenshot", "file_id": "file_1"}
OUTPUT: Object = {"type": "function_call_output", "call_id": "c"}

WITHOUT: dict[str, Value] = {
    "text": {"role": "user", "content": "an input_image"},
    "parts": {"type": "message", "role": "user", "content": [TEXT]},
    "type null": {"type": None, "role": "developer", "content": [TEXT]},
    "answer": {
        "type": "message",
        "role": "assistant",
        "id": "msg_1",
        "content": [{"type": "output_text", "text": "input_image", "annotations": []}, {"type": "refusal"}],
    },
    "reasoning": {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text"}], "encrypted_content": "x"},
    "call": {"type": "function_call", "call_id": "c", "name": "image", "arguments": '{"type":"input_image"}'},
    "custom call": {"type": "custom_tool_call", "call_id": "c", "name": "computer_screenshot", "input": "input_image"},
    "output": {**OUTPUT, "output": '[{"type":"input_image","image_url":"u"}]'},
    "output parts": {**OUTPUT, "output": [TEXT]},
    "computer call": {"type": "computer_call", "call_id": "c", "action": {"type": "screenshot"}},
    "code": {"type": "code_interpreter_call", "id": "ci_1", "outputs": [{"type": "logs", "logs": "image"}]},
    "code alone": {"type": "code_interpreter_call", "id": "ci_1", "outputs": None},
    "shell": {
        "type": "shell_call_output",
        "call_id": "c",
        "output": [{"stdout": "image", "outcome": {"type": "exit"}}],
    },
    "mcp": {"type": "mcp_call", "id": "mcp_1", "output": '{"type":"image"}'},
    "search": {"type": "file_search_call", "id": "fs_1", "results": [{"file_id": "file_1", "filename": "a.png"}]},
    "compaction": {"type": "compaction", "encrypted_content": "x"},
    "tools": {
        "type": "additional_tools",
        "tools": [{"type": "function", "parameters": {"properties": {"type": {"type": "string"}, "image": {}}}}],
    },
}
WITH: dict[str, Value] = {
    "message": {"role": "user", "content": [TEXT, IMAGE]},
    "message by id": {"type": "message", "role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]},
    "developer": {"role": "developer", "content": [IMAGE]},
    "function output": {**OUTPUT, "output": [TEXT, IMAGE]},
    "custom output": {"type": "custom_tool_call_output", "call_id": "c", "output": [IMAGE]},
    "file": {"role": "user", "content": [FILE]},
    "file by id": {"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]},
    "file output": {**OUTPUT, "output": [FILE]},
    "screenshot": {"type": "computer_call_output", "call_id": "c", "output": SHOT},
    "screenshot without its type": {"type": "computer_call_output", "call_id": "c", "output": {"image_url": "u"}},
    "screenshot elsewhere": {**OUTPUT, "output": SHOT},
    "generated": {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AA=="},
    "generated, by id": {"type": "image_generation_call", "id": "ig_1"},
    "code": {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "outputs": [{"type": "logs", "logs": ""}, {"type": "image", "url": "u"}],
    },
    "reference": {"type": "item_reference", "id": "msg_1"},
    "bare reference": {"id": "msg_1"},
    "null reference": {"id": "msg_1", "type": None},
    "mask": {"type": "additional_tools", "tools": [{"type": "image_generation", "input_image_mask": {"file_id": "f"}}]},
    "of the future": {"type": "of_the_future", "more": {"of": [[{"it": {"type": "output_image"}}]]}},
    "of chats": {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]},
}
ODD = (
    *("1", "null", '"text"', "[]", "{}", '{"type":1}', '{"content":[]}', '{"role":["user"]}'),
    *('{"type":["message"],"role":"user","content":"x"}', '{"type":null,"role":null,"content":"x"}'),
    '{"role":"user","content":"a","content":"b"}',
    '{"role":"user","content":[{"type":"input_image","type":"input_text","text":"x"}]}',
    '{"type":"a","type":"b"}',
    '{"type":"a","deep":' + "[" * 300 + "]" * 300 + "}",
)
SETTINGS: dict[str, bool] = {
    "": True,
    ',"image":null': True,
    ',"image":{}': True,
    ',"image":{"context_compression":"auto"}': True,
    ',"image":{"context_compression":null}': True,
    ',"image":{"context_compression":"ENABLED"}': True,
    ',"image":{"context_compression":"of_the_future"}': True,
    ',"image":{"context_compression":["disabled"]}': True,
    ',"image":{"context_compression":{"disabled":1}}': True,
    ',"image":"disabled"': True,
    ',"image":["disabled"]': True,
    ',"image":{"more":{"context_compression":"disabled"}}': True,
    ',"image":{"context_compression":"disabled","context_compression":"auto"}': True,
    ',"image":{"context_compression":"auto","context_compression":"disabled"}': True,
    ',"text":{"context_compression":"disabled"}': True,
    ',"image":{"context_compression":"enabled"}': False,
    ',"image":{"context_compression":"disabled"}': False,
    ',"image":{"more":1,"context_compression":"disabled"}': False,
    ', "im\\u0061ge" : { "context\\u005fcompression" : "dis\\u0061bled" } ': False,
}


SETTINGS_PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")


def asking(*items: str, settings: str = "") -> CreateRequest:
    """A create with these items."""
    return parse(f'{{"model":"m","input":[{",".join(items)}]{settings}}}'.encode(), most_items=100)


@pytest.mark.parametrize("name", WITH)
def test_an_image_is_found_in_each_place(name: str) -> None:
    """Each documented place, alone, between others, and at either end of the input."""
    others, item = [json.dumps(other) for other in WITHOUT.values()], json.dumps(WITH[name])
    for items in ([item], [*others, item], [item, *others], [*others, item, *others]):
        assert left_to_host(asking(*items))


@pytest.mark.parametrize("name", WITHOUT)
def test_what_only_speaks_of_images_holds_none(name: str) -> None:
    """Texts, names and arguments with such words in them are what they are."""
    assert not left_to_host(asking(json.dumps(WITHOUT[name])))


def test_an_input_without_items_holds_none() -> None:
    """An empty list, and a string, whatever it says."""
    assert not left_to_host(asking())
    assert not left_to_host(parse(rb'{"model":"m","input":"{\"type\":\"input_image\"}"}', most_items=1))


@given(st.sampled_from(sorted(WITH)), randoms)
def test_no_spelling_hides_an_image(name: str, random: Random) -> None:
    """Escapes, white space and order are the caller's affair."""
    assert left_to_host(asking(spell(WITH[name], random)))


@given(st.sampled_from(sorted(WITHOUT)), randoms)
def test_no_spelling_makes_an_image(name: str, random: Random) -> None:
    """Nor do they turn a text into one."""
    assert not left_to_host(asking(spell(WITHOUT[name], random)))


@pytest.mark.parametrize(
    "item",
    [
        r'{"role":"user","content":[{"type":"input\u005fimage","image_url":"u"}]}',
        r'{"role":"user","content":[{"typ\u0065":"input_im\u0061ge","image_url":"u"}]}',
        r'{"type":"computer\u005Fcall\u005Foutput","output":{}}',
    ],
)
def test_escapes_are_read(item: str) -> None:
    """A type is what it says, however it is written."""
    assert left_to_host(asking(item))


@pytest.mark.parametrize("item", ODD, ids=range(len(ODD)))
def test_in_doubt_there_is_an_image(item: str) -> None:
    """An item that says not what it is, or that readers may take differently, goes the safe way."""
    assert left_to_host(asking(item))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_only_a_documented_policy_settles_it(settings: str) -> None:
    """`enabled` and `disabled`, given once and in their place, are the same over every transport."""
    assert left_to_host(asking(json.dumps(WITH["message"]), settings=settings)) is SETTINGS[settings]
    assert not left_to_host(asking(json.dumps(WITHOUT["text"]), settings=settings))


def documented(kind: object, seen: set[object]) -> Iterator[type[BaseModel]]:
    """The objects that an item of the SDK's types is, or may hold."""
    if kind in seen:
        return
    seen.add(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from documented(field.annotation, seen)
    for inner in get_args(kind):
        yield from documented(inner, seen)


def test_every_place_that_the_sdk_knows_is_found() -> None:
    """All objects with an image's URL or a file's content, and all whose type speaks of images."""
    found: set[str] = set()
    for model in documented(ResponseInputItem, set()):
        told = model.model_fields.get("type")
        kinds = {str(kind) for kind in get_args(told.annotation)} if told else set()
        held = {"image_url", "file_data"} & set(model.model_fields)
        found |= {kind for kind in kinds if held or "image" in kind}
    assert {"input_image", "input_file", "computer_screenshot", "image_generation_call", "image"} <= found
    for kind in found:
        assert left_to_host(asking(json.dumps({"type": "of_the_future", "output": [{"type": kind}]})))


def test_the_page_says_what_counts() -> None:
    """docs/settings.md names every type that counts without having the word in it, and the policies that settle it."""
    section = re.search(r"^## Images$(.*?)^## ", SETTINGS_PAGE, re.MULTILINE | re.DOTALL)
    assert section
    assert all(f"`{kind}`" in section[1] for kind in (*_HOLDERS, "input_image", "image_generation_call"))
    assert all(f'`"{policy}"`' in section[1] for policy in (*_FIXED, "auto"))
