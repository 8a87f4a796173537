"""LiteLLM's SDK: `litellm.aresponses`; the agent loop is this file's."""

import importlib
import json
from typing import Protocol, cast

from tests.clients.drivers.protocol import INSTRUCTIONS, MODEL, PARAMETERS, TOOL, TOOL_SAYS, Task, lookup, serve

# By name: the development environment has no such package.
litellm = importlib.import_module("litellm")

_TOOL = {"type": "function", "name": TOOL, "description": TOOL_SAYS, "parameters": PARAMETERS, "strict": True}


class _Item(Protocol):
    """An item of the answer, a pydantic model."""

    def model_dump(self, *, exclude_none: bool) -> dict[str, object]:
        """Its fields."""
        ...


class _Response(Protocol):
    """What LiteLLM answers with."""

    output: list[_Item]


class _Conversation:
    """`mode`: create or stream."""

    def __init__(self, task: Task, history: object) -> None:
        self._task = task
        self._items = cast("list[object]", history or [])

    async def say(self, prompt: str) -> str:
        """The agent's loop: until the model calls no tool."""
        self._items.append({"role": "user", "content": prompt})
        while True:
            output = [item.model_dump(exclude_none=True) for item in (await self._ask()).output]
            self._items += output
            calls = [item for item in output if item["type"] == "function_call"]
            if not calls:
                parts = [part for item in output for part in cast("list[dict[str, object]]", item.get("content", []))]
                return "".join(str(part["text"]) for part in parts)
            for call in calls:
                said = lookup(**json.loads(str(call["arguments"])))
                self._items.append({"type": "function_call_output", "call_id": call["call_id"], "output": said})

    def history(self) -> object:
        """The items, which are JSON already."""
        return self._items

    async def _ask(self) -> "_Response":
        request = {
            "model": f"openai/{MODEL}",
            "instructions": INSTRUCTIONS,
            "input": self._items,
            "tools": [_TOOL],
            "store": False,
            "include": ["reasoning.encrypted_content"],
        }
        if self._task.mode == "create":
            return cast("_Response", await litellm.aresponses(**request))
        final = None
        async for event in await litellm.aresponses(**request, stream=True):
            if event.type == "response.completed":
                final = event.response
        if final is None:
            raise RuntimeError("the stream ended without response.completed")
        return cast("_Response", final)


if __name__ == "__main__":
    serve(_Conversation)
