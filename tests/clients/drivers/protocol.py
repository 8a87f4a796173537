"""Protocol: how a driver in Python talks to the harness; tests/clients/README.md describes it.

Runs in the client's own environment: the standard library only.
"""

import asyncio
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, cast

MODEL = "gpt-5.4"
INSTRUCTIONS = "Look things up."
TOOL = "lookup"
TOOL_SAYS = "Look up a key."
PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {"key": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["key", "n"],
    "additionalProperties": False,
}
SETTINGS: dict[str, object] = {
    "instructions": INSTRUCTIONS,
    "tools": [{"type": "function", "name": TOOL, "description": TOOL_SAYS, "parameters": PARAMETERS, "strict": True}],
    "store": False,
    "include": ["reasoning.encrypted_content"],
}
"""A request's fields but for its model and its input."""
Item: TypeAlias = dict[str, object]


def lookup(key: str, n: int) -> str:
    """Look up a key."""
    return f"result of {key} {n}"


@dataclass(frozen=True)
class Task:
    """What a driver is told. `folder`: where it may keep files from one process to the next."""

    base_url: str
    key: str
    mode: str
    folder: Path


class Conversation(Protocol):
    """One conversation with the model, by way of the client."""

    async def say(self, prompt: str) -> str:
        """Let the user say this; gives the model's last text, after all rounds of tools. Raises as the client does."""
        ...

    def history(self) -> object:
        """What has been said so far, as JSON: another process goes on from there."""
        ...


class Loop(ABC):
    """A conversation for clients that leave the agent's loop to their caller: until the model calls no tool."""

    def __init__(self, task: Task, history: object) -> None:
        self.task = task
        self._items = cast("list[Item]", history or [])

    @abstractmethod
    async def ask(self, items: list[Item]) -> list[Item]:
        """What the model says to these items. What it raises leaves the history as the last answer left it."""

    async def say(self, prompt: str) -> str:
        """One prompt, and all rounds of tools."""
        self._items.append({"role": "user", "content": prompt})
        while True:
            output = await self.ask(self._items)
            self._items += output
            calls = [item for item in output if item["type"] == "function_call"]
            if not calls:
                messages = [item for item in output if item["type"] == "message"]
                return "".join(str(part["text"]) for item in messages for part in cast("list[Item]", item["content"]))
            for call in calls:
                said = lookup(**json.loads(str(call["arguments"])))
                self._items.append({"type": "function_call_output", "call_id": call["call_id"], "output": said})

    def history(self) -> object:
        """The items, which are JSON already."""
        return self._items


def serve(start: Callable[[Task, object], Conversation]) -> None:
    """Answer the harness until it closes stdin. `start` begins a conversation: anew (None), or from a `history()`."""
    asyncio.run(_serve(start, Task(**{**json.loads(sys.argv[1]), "folder": Path(json.loads(sys.argv[1])["folder"])})))


async def _serve(start: Callable[[Task, object], Conversation], task: Task) -> None:
    state = task.folder / "state.json"
    histories: list[object] = json.loads(state.read_text("utf-8")) if state.exists() else []
    talks = [start(task, history) for history in histories]
    while line := await asyncio.to_thread(sys.stdin.readline):
        prompts = json.loads(line)
        talks += [start(task, None) for _ in prompts[len(talks) :]]
        said = await asyncio.gather(
            *(talk.say(prompt) for talk, prompt in zip(talks, prompts, strict=True)), return_exceptions=True
        )
        state.write_text(json.dumps([talk.history() for talk in talks]), "utf-8")
        os.write(1, f"=> {json.dumps([_reply(each) for each in said])}\n".encode())


def _reply(said: str | BaseException) -> dict[str, object]:
    """The text, or the error as the client raised it."""
    if isinstance(said, str):
        return {"text": said}
    status = getattr(said, "status_code", None)
    return {
        "error": type(said).__name__,
        "status": status if isinstance(status, int) else None,
        "message": str(said),
    }
