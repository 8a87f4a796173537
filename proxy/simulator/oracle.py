"""Oracle: the default model. Its answer is a function of what the model is shown: a bent context changes the answer.

A directive in the last user message steers it: `[[rounds=6 calls=2 reasoning=1 size=400 phase=1 hosted=0]]`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from proxy.simulator.model import Answer
from proxy.simulator.prompt import shown
from proxy.simulator.schema import example

Item = Mapping[str, object]
_DIRECTIVE = re.compile(r"\[\[((?:\s*\w+=\d+)+)\s*\]\]")
_CALLS = frozenset({"function_call", "custom_tool_call"})


@dataclass(frozen=True)
class Directive:
    """What the last user message asks of the model. `rounds`: tool rounds before the final message; `calls`:
    parallel calls in each; `reasoning`: reasoning items in front of each round; `size`: least characters of a
    message; `phase`: label messages as commentary or final answer; `hosted`: web searches in the final answer.
    """

    rounds: int = 2
    calls: int = 1
    reasoning: int = 0
    size: int = 0
    phase: int = 0
    hosted: int = 0


class Oracle:
    """Answers with tool rounds while tools are offered and rounds are left, then with a message."""

    def answer(self, prompt: str, settings: Item, items: Sequence[Item]) -> Answer:
        """The one answer to this prompt."""
        text, after = _last_user(items)
        directive = _directive(text, reasoning=int(_reasons(settings)))
        digest = _Digest(shown(prompt))
        writer = _Writer(digest, directive, encrypted=_encrypted(settings))
        tools = [] if settings.get("tool_choice") == "none" else list(_tools(settings, items))
        calls = 1 if settings.get("parallel_tool_calls") is False else max(directive.calls, 1)
        rounds = sum(item.get("type") in _CALLS for item in after) / calls
        if tools and (rounds < directive.rounds or settings.get("tool_choice") == "required"):
            return Answer(writer.round(tools, calls))
        limit = settings.get("max_output_tokens")
        if isinstance(limit, int) and limit < 16:
            return Answer(writer.cut_short(limit), "incomplete")
        return Answer(writer.final(_schema(settings)))


class _Digest:
    """Everything random-looking in an answer, derived from the prompt."""

    def __init__(self, prompt: str) -> None:
        self._seed = hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=32).digest()

    def hex(self, label: str, length: int) -> str:
        """`length` hexadecimal characters for `label`."""
        return hashlib.shake_128(self._seed + label.encode()).hexdigest((length + 1) // 2)[:length]

    def number(self, label: str) -> int:
        """A number from 0 to 65535 for `label`."""
        return int(self.hex(label, 4), 16)


class _Writer:
    def __init__(self, digest: _Digest, directive: Directive, *, encrypted: bool) -> None:
        self._digest = digest
        self._directive = directive
        self._encrypted = encrypted

    def round(self, tools: Sequence[Item], calls: int) -> list[Item]:
        """One round of tool calls, after reasoning and, with phases, a commentary message."""
        output = self._reasoning()
        if self._directive.phase:
            output.append(self._message("Looking into it … ✓", "commentary"))
        chosen = self._digest.number("tool")
        return output + [self._call(tools[(chosen + n) % len(tools)], n) for n in range(calls)]

    def final(self, schema: Item | None) -> list[Item]:
        """The last message: it quotes the prompt's digest, or is JSON when the caller set a schema."""
        output = self._reasoning()
        for n in range(self._directive.hosted):
            query = {"type": "search", "query": f"digest {self._digest.hex(f'query{n}', 8)}"}
            identifier = f"ws_{self._digest.hex(f'search{n}', 48)}"
            output.append({"id": identifier, "type": "web_search_call", "status": "completed", "action": query})
        if schema is None:
            text = f"Café ✓ prompt {self._digest.hex('quote', 32)}\n\n- one\u2028- two 🙂\r\n"
            text += "".join(f"{n:07x} " for n in range(max(0, self._directive.size - len(text)) // 8))
        else:
            text = json.dumps(example(schema, self._digest.hex), ensure_ascii=False)
        return [*output, self._message(text, "final_answer")]

    def cut_short(self, tokens: int) -> list[Item]:
        """A message that ends after so few tokens."""
        return [
            {
                **self._message("Café ✓ " * 16, "final_answer", limit=max(tokens, 1) * 4),
                "status": "incomplete",
            }
        ]

    def _reasoning(self) -> list[Item]:
        return [self._thought(n) for n in range(self._directive.reasoning)]

    def _thought(self, n: int) -> Item:
        parts = 2 * (self._digest.number(f"summary{n}") % 2)
        summary = [
            {
                "type": "summary_text",
                "text": f"**Step {part + 1}** {self._digest.hex(f'step{n}.{part}', 8)} é",
            }
            for part in range(parts)
        ]
        thought: dict[str, object] = {"id": f"rs_{self._digest.hex(f'rs{n}', 48)}", "type": "reasoning"}
        thought["summary"] = summary
        if self._encrypted:
            thought["encrypted_content"] = "gAAAAA" + self._digest.hex(f"encrypted{n}", 180) + "=="
        return thought

    def _message(self, text: str, phase: str, *, limit: int | None = None) -> Item:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text[:limit]}
        message: dict[str, object] = {
            "id": f"msg_{self._digest.hex(f'msg{phase}', 48)}",
            "type": "message",
            "status": "completed",
            "content": [part],
            "role": "assistant",
        }
        return {**message, "phase": phase} if self._directive.phase else message

    def _call(self, tool: Item, n: int) -> Item:
        call_id = f"call_{self._digest.hex(f'call{n}', 24)}"
        named: dict[str, object] = {"call_id": call_id, "name": tool["name"]}
        if "namespace" in tool:
            named["namespace"] = tool["namespace"]
        if tool.get("type") == "custom":
            identifier = f"ctc_{self._digest.hex(f'ctc{n}', 48)}"
            text = f'text("é {self._digest.hex(f"input{n}", 8)}");\n'
            return {
                "id": identifier,
                "type": "custom_tool_call",
                "status": "completed",
                **named,
                "input": text,
            }
        identifier = f"fc_{self._digest.hex(f'fc{n}', 48)}"
        arguments = self._arguments(tool.get("parameters"), n)
        return {
            "id": identifier,
            "type": "function_call",
            "status": "completed",
            "arguments": arguments,
            **named,
        }

    def _arguments(self, schema: object, n: int) -> str:
        """JSON in one of the spellings that models use: tight, spaced, escaped, indented."""

        def label(text: str, length: int) -> str:
            return self._digest.hex(f"arguments{n}.{text}", length)

        value = example(schema if isinstance(schema, dict) else {"type": "object"}, label)
        spelling = self._digest.number(f"spelling{n}") % 4
        if spelling == 0:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if spelling == 1:
            return json.dumps(value, ensure_ascii=False)
        return json.dumps(value) if spelling == 2 else json.dumps(value, ensure_ascii=False, indent=2)


def _last_user(items: Sequence[Item]) -> tuple[str, Sequence[Item]]:
    """The text of the last user message, and the items after it."""
    for index in range(len(items) - 1, -1, -1):
        if items[index].get("role") == "user":
            content = items[index].get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            texts = [part.get("text") for part in parts if isinstance(part, dict)]
            return "\n".join(text for text in texts if isinstance(text, str)), items[index + 1 :]
    return "", items


def _directive(text: str, *, reasoning: int) -> Directive:
    found = _DIRECTIVE.search(text)
    asked = dict(pair.split("=") for pair in found[1].split()) if found else {}
    names = {entry.name for entry in fields(Directive)}
    numbers = {name: min(int(number), 1_000_000) for name, number in asked.items() if name in names}
    return Directive(**{"reasoning": reasoning, **numbers})


def _reasons(settings: Item) -> bool:
    """Whether the request asks for reasoning. An effort of "none" asks for none."""
    asked = settings.get("reasoning")
    if isinstance(asked, dict) and asked.get("effort") == "none":
        return False
    return bool(asked) or _encrypted(settings)


def _encrypted(settings: Item) -> bool:
    include = settings.get("include")
    return isinstance(include, list) and "reasoning.encrypted_content" in include


def _tools(settings: Item, items: Sequence[Item]) -> Iterator[Item]:
    """The tools that can be called, of the request and of its `additional_tools` items, namespaces opened."""
    offers = [settings.get("tools")] + [item.get("tools") for item in items if item.get("type") == "additional_tools"]
    for offer in offers:
        for tool in offer if isinstance(offer, list) else []:
            if tool.get("type") == "namespace":
                inner = [{**member, "namespace": tool.get("name")} for member in tool["tools"]]
            else:
                inner = [tool]
            yield from (member for member in inner if member.get("type") in {"function", "custom"})


def _schema(settings: Item) -> Item | None:
    text = settings.get("text")
    form = text.get("format") if isinstance(text, dict) else None
    if not isinstance(form, dict) or form.get("type") not in {"json_schema", "json_object"}:
        return None
    schema = form.get("schema")
    return schema if isinstance(schema, dict) else {"type": "object"}
