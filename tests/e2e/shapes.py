"""Shapes: conversations with every kind of item that callers may send, and how each of their turns must go.

The items are as the API documents them, or as clients were recorded with them (tests/data/captures).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy.simulator import Answer
from tests.e2e.stack import Item

FIRST = "full first"
DELTA = "delta"


@dataclass(frozen=True)
class Round:
    """One turn: what the caller adds to its history, what the model says to that, and how the turn goes.

    `anew`: the history is what is added, and nothing before it. `relaxed` is how it goes in relaxed mode, if not alike.
    """

    adds: Sequence[Item]
    says: Sequence[Item]
    goes: str = DELTA
    anew: bool = False
    relaxed: str = ""


@dataclass(frozen=True)
class Script:
    """A model that says what stands in the script for the turn that the request's metadata names."""

    rounds: Sequence[Round]

    def answer(self, prompt: str, settings: Item, items: Sequence[Item]) -> Answer:  # noqa: ARG002 - by protocol
        """The items of that turn."""
        metadata = settings["metadata"]
        if not isinstance(metadata, dict):
            raise TypeError("a scripted turn has its number in the metadata")
        return Answer(self.rounds[int(metadata["turn"])].says)


def user(*content: object) -> Item:
    """A message of the user: texts and parts."""
    return {
        "role": "user",
        "content": [{"type": "input_text", "text": p} if isinstance(p, str) else p for p in content],
    }


def said(text: str, **more: object) -> Item:
    """A message of the model."""
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {
        "id": f"msg_{text}",
        "type": "message",
        "status": "completed",
        "content": [part],
        "role": "assistant",
        **more,
    }


def call(name: str, /, **more: object) -> Item:
    """A function call of the model."""
    named = {"id": f"fc_{name}", "type": "function_call", "status": "completed", "call_id": f"call_{name}"}
    return {**named, "name": name, "arguments": '{"key": "\\u00e9"}', **more}


def result(name: str, output: object, /, **more: object) -> Item:
    """What a function call came to."""
    return {"type": "function_call_output", "call_id": f"call_{name}", "output": output, **more}


THOUGHT: Item = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAAthought=="}
_INLINE: Item = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "high"}
_FILED: Item = {"type": "input_image", "file_id": "file-1", "detail": "original"}
_LINKED: Item = {"type": "input_image", "image_url": "https://example.test/1.png", "detail": None}
_DATA: Item = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
_LENT: Item = {"type": "input_file", "file_id": "file-2", "detail": "low"}
_AT: Item = {
    "type": "input_file",
    "file_url": "https://example.test/b.pdf",
    "prompt_cache_breakpoint": {"mode": "explicit"},
}
_AUDIO: Item = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
OPENING = Round([user("Begin.")], [THOUGHT, said("begun")], FIRST)
ON = Round([user("Go on.")], [said("on")])
TOOLS: Item = {
    "type": "additional_tools",
    "id": "at_1",
    "role": "developer",
    "tools": [
        {
            "type": "namespace",
            "name": "functions",
            "description": "",
            "tools": [{"type": "custom", "name": "exec", "description": "d", "format": {"type": "text"}}],
        }
    ],
}
EXEC: Item = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "exec",
    "namespace": "functions",
    "input": 'text("é");\n',
}
_THOUGHT_ALOUD: Item = {
    "id": "rs_9",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "s"}],
    "content": [{"type": "reasoning_text", "text": "so"}],
}
_COMPACTED: Item = {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAAAAcompacted=="}
TOOL: Item = {
    "type": "function",
    "name": "late",
    "parameters": {"b": None, "a": 1},
    "strict": True,
    "defer_loading": True,
}
_CONFIGURED: Item = {
    "type": "configuration_update",
    "reasoning": {"effort": "high"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object", "b": 1, "a": None}}},
}

# What holds all that the model is given of it: each turn but the first is a delta.
CLIENT_SIDE: Mapping[str, Sequence[Round]] = {
    "custom tools": [
        Round([user("Begin.")], [THOUGHT, EXEC], FIRST),
        Round(
            [{"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"}],
            [said("next", phase="commentary"), {**EXEC, "id": "ctc_2", "call_id": "call_2"}],
        ),
        Round(
            [{"type": "custom_tool_call_output", "id": "ctco_2", "call_id": "call_2", "output": [_INLINE, _LENT]}],
            [said("done", phase="final_answer")],
        ),
        ON,
    ],
    "tools as items": [
        Round([TOOLS, {"role": "developer", "content": "Be brief."}, user("Begin.")], [THOUGHT, EXEC], FIRST),
        Round([{"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"}], [said("done")]),
        Round([{**TOOLS, "id": "at_2", "tools": [TOOL]}, user("With another tool.")], [call("late")]),
        Round([result("late", "x")], [said("late")]),
    ],
    "images": [
        Round([user("Look.", _INLINE, _LINKED)], [call("look")], FIRST),
        Round([result("look", [{"type": "input_text", "text": "seen"}, _FILED, _INLINE])], [said("seen")]),
        Round([user(_FILED, {**_INLINE, "detail": "low"}, "And these?")], [said("those")]),
        ON,
    ],
    "files and audio": [
        Round([user("Read.", _DATA, _AT)], [call("read")], FIRST),
        Round([result("read", [_LENT, {**_DATA, "filename": "b.pdf"}])], [said("read")]),
        Round([user(_LENT, _AUDIO)], [said("heard")]),
        ON,
    ],
    "parallel, namespaced and asynchronous calls": [
        Round(
            [user("Begin.")], [THOUGHT, call("a"), call("b", namespace="files"), call("c", **{"async": True})], FIRST
        ),
        Round([result("b", "2", name="b", namespace="files"), result("a", ""), result("c", "3")], [call("d")]),
        Round([result("d", [], caller={"type": "direct"})], [said("done")]),
        ON,
    ],
    "calls that the model itself made, and says so": [
        Round([user("Begin.")], [THOUGHT, call("a", caller={"type": "direct"})], FIRST),
        Round([result("a", "1", caller={"type": "direct"})], [said("done")]),
        ON,
    ],
    "a configuration that changes": [
        OPENING,
        Round([_CONFIGURED, user("In JSON.")], [said("{}")]),
        Round([{**_CONFIGURED, "reasoning": {"effort": None}}, user("And now?")], [said("{} again")]),
        ON,
    ],
    "open and refused": [
        Round(
            [user("Begin.")],
            [_THOUGHT_ALOUD, call("a")],
            FIRST,
        ),
        Round([result("a", "1")], [{**said("no"), "content": [{"type": "refusal", "refusal": "No."}]}]),
        ON,
    ],
    "a history that begins with a compaction": [
        Round([user("Begin."), _COMPACTED, user("Go on.")], [THOUGHT, call("a")], FIRST),
        Round([result("a", "1")], [said("done")]),
        ON,
    ],
    "a compaction that is asked for": [
        OPENING,
        Round([{"type": "compaction_trigger"}], [_COMPACTED]),
        Round([user("Begin."), _COMPACTED], [call("a")], FIRST, anew=True),
        Round([result("a", "1")], [said("done")]),
        ON,
    ],
    "a compaction by the upstream, whose history goes on whole": [
        OPENING,
        Round([user("More.")], [_COMPACTED, said("compacted")]),
        Round([user("Go on.")], [said("on")], "full compaction"),
        Round([user("Further.")], [said("further")]),
    ],
    "a compaction by the upstream, before which the history is dropped": [
        OPENING,
        Round([user("More.")], [_COMPACTED, said("compacted")]),
        Round([_COMPACTED, said("compacted"), user("Go on.")], [said("on")], "full no_match", anew=True),
        Round([user("Further.")], [said("further")]),
    ],
    "what other tools left in a history of another host": [
        Round(
            [
                user("Begin."),
                {
                    "type": "web_search_call",
                    "id": "ws_1",
                    "status": "completed",
                    "action": {"type": "search", "query": "q"},
                },
                {"type": "from_the_future", "id": "ff_1", "deep": [{"b": None, "a": [1, 1.0, "1"]}]},
                said("found"),
                user("And?"),
            ],
            [call("a")],
            "full no_match",
        ),
        Round([result("a", "1")], [said("done")]),
        ON,
    ],
}
