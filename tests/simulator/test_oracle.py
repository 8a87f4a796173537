"""The default model: a function of the prompt, steered by directives."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from proxy.simulator import Answer, Oracle, render
from proxy.simulator.prompt import UNSHOWN_FIELDS
from tests.simulator.wire import TOOL

CUSTOM = {"type": "custom", "name": "run"}


def ask(said: str, after: Sequence[dict[str, Any]] = (), /, **settings: object) -> Answer:
    """The oracle's answer to a user message, with these items after it."""
    items = [{"role": "user", "content": said}, *after]
    body = {"model": "m", **settings}
    return Oracle().answer(render(body, items), body, items)


def kinds(answer: Answer) -> list[object]:
    """The types of the items."""
    return [item["type"] for item in answer.output]


def test_another_prompt_gets_another_answer() -> None:
    """Text, call ids, item ids and encrypted content depend on the prompt, and on nothing else."""
    fields: dict[str, Any] = {"tools": [TOOL], "include": ["reasoning.encrypted_content"]}
    for said in ("[[rounds=0]]", "[[rounds=1]]"):
        one, same, other = ask(said, **fields), ask(said, **fields), ask(said, **fields, temperature=1)
        assert one == same
        for mine, foreign in zip(one.output, other.output, strict=True):
            assert mine["id"] != foreign["id"]
            for key in ("content", "encrypted_content", "call_id"):
                assert key not in mine or mine[key] != foreign[key]


def test_what_the_model_is_not_shown_changes_no_answer() -> None:
    """Clients put ids and times of their own into such fields, new in each run: the same is answered to all."""
    unshown = {name: {"turn": name} for name in UNSHOWN_FIELDS}
    assert ask("[[rounds=0]]", **unshown) == ask("[[rounds=0]]")


def test_rounds_are_counted_since_the_last_user_message() -> None:
    """With tools, N rounds of calls come first, then the message; the next user message starts again."""
    after: list[dict[str, Any]] = []
    for _ in range(3):
        answer = ask("[[rounds=3 calls=2]]", after, tools=[TOOL])
        assert kinds(answer) == ["function_call", "function_call"]
        after += [dict(item) for item in answer.output]
    assert kinds(ask("[[rounds=3 calls=2]]", after, tools=[TOOL])) == ["message"]
    after.append({"role": "user", "content": [{"type": "input_text", "text": "more"}]})
    assert kinds(ask("[[rounds=3 calls=2]]", after, tools=[TOOL])) == ["function_call"]


def test_the_default_is_two_rounds_of_one_call() -> None:
    """Without a directive: two rounds; without tools, none."""
    call = {"type": "function_call", "call_id": "c"}
    assert [kinds(ask("x", [call] * n, tools=[TOOL])) for n in (0, 1, 2)] == [
        ["function_call"],
        ["function_call"],
        ["message"],
    ]
    assert kinds(ask("x")) == ["message"]


def test_the_tool_settings_are_obeyed() -> None:
    """`tool_choice: none` stops calls, `required` insists, `parallel_tool_calls: false` allows one."""
    assert kinds(ask("x", tools=[TOOL], tool_choice="none")) == ["message"]
    assert kinds(ask("[[rounds=0]]", tools=[TOOL], tool_choice="required")) == ["function_call"]
    assert kinds(ask("[[calls=3]]", tools=[TOOL], parallel_tool_calls=False)) == ["function_call"]


def test_custom_tools_and_namespaces() -> None:
    """Custom tools get custom calls; tools may come in a namespace, or as an item of the input."""
    assert kinds(ask("x", tools=[CUSTOM])) == ["custom_tool_call"]
    namespace = {"type": "namespace", "name": "functions", "tools": [CUSTOM]}
    offered = {"type": "additional_tools", "role": "developer", "tools": [namespace]}
    (call,) = ask("x", [offered]).output
    assert (call["type"], call["namespace"], call["name"]) == ("custom_tool_call", "functions", "run")
    assert kinds(ask("x", tools=[{"type": "web_search"}])) == ["message"]


def test_arguments_fit_the_schema_in_varied_spelling() -> None:
    """Arguments are JSON with the schema's properties; tight, spaced, escaped and indented ones all occur."""
    spellings = set()
    for n in range(64):
        (call,) = ask(f"x{n}", tools=[TOOL]).output
        text = str(call["arguments"])
        value = json.loads(text)
        assert isinstance(value["key"], str)
        assert isinstance(value["n"], int)
        spellings.add(("\n" in text, ": " in text, "\\u" in text))
    assert len(spellings) == 4


def test_reasoning_comes_when_asked_for() -> None:
    """By directive, by the `reasoning` setting, or by `include`, which alone brings encrypted content."""
    assert kinds(ask("[[reasoning=2]]")) == ["reasoning", "reasoning", "message"]
    assert "encrypted_content" not in ask("x", reasoning={"effort": "low"}).output[0]
    include = ["reasoning.encrypted_content"]
    assert str(ask("x", include=include).output[0]["encrypted_content"]).startswith("gAAAAA")
    assert kinds(ask("[[reasoning=0]]", include=include)) == ["message"]
    assert kinds(ask("x", reasoning={"effort": "none"}, include=include)) == ["message"]
    summaries = {len(list(ask(f"x{n}", include=include).output[0]["summary"])) for n in range(32)}  # type: ignore[call-overload]
    assert summaries == {0, 2}


def test_phases_label_messages() -> None:
    """With phase=1, rounds begin with commentary and the last message is the final answer."""
    first = ask("[[phase=1]]", tools=[TOOL])
    assert (kinds(first), first.output[0]["phase"]) == (["message", "function_call"], "commentary")
    assert ask("[[phase=1]]").output[0]["phase"] == "final_answer"
    assert "phase" not in ask("x").output[0]


def test_size_and_hosted_tools() -> None:
    """`size` pads the message, `hosted` puts web searches before it."""
    (message,) = ask("[[size=4000]]").output
    assert isinstance(message["content"], list)
    assert len(message["content"][0]["text"]) == pytest.approx(4000, abs=8)
    assert kinds(ask("[[hosted=2]]")) == ["web_search_call", "web_search_call", "message"]


def test_the_message_has_awkward_characters() -> None:
    """Accents, a check mark, U+2028, an emoji and both kinds of line ends are in every final message."""
    (message,) = ask("x").output
    assert isinstance(message["content"], list)
    assert all(character in message["content"][0]["text"] for character in "é✓\u2028🙂\n\r")


def test_structured_answers_fit_their_schema() -> None:
    """A `text.format` with a schema gets JSON."""
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    for form, keys in (({"type": "json_schema", "schema": schema}, {"ok"}), ({"type": "json_object"}, set())):
        (message,) = ask("x", text={"format": form}).output
        assert isinstance(message["content"], list)
        assert json.loads(message["content"][0]["text"]).keys() == keys
    assert kinds(ask("x", text={"format": {"type": "text"}})) == ["message"]


def test_few_tokens_cut_the_answer_short() -> None:
    """A `max_output_tokens` below 16 ends incomplete."""
    answer = ask("x", max_output_tokens=2)
    assert answer.status == "incomplete"
    assert isinstance(answer.output[0]["content"], list)
    assert len(answer.output[0]["content"][0]["text"]) == 8
    assert ask("x", max_output_tokens=16).status == "completed"


def test_unknown_directives_and_odd_content_are_ignored() -> None:
    """Words that mean nothing, and parts that are no text, change nothing."""
    assert kinds(ask("[[colour=3]] [[]]", tools=[TOOL])) == ["function_call"]
    body = {"model": "m"}
    items = [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}, "odd"]}]
    assert kinds(Oracle().answer("p", body, items)) == ["message"]
    assert kinds(Oracle().answer("p", body, [])) == ["message"]
