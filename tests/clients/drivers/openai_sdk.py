"""The `openai` package for Python, each way of calling it; the agent loop is this file's, as in the SDK's own guide."""

import asyncio
from typing import cast

from openai import AsyncOpenAI, OpenAI
from openai.types.responses import ParsedResponse, Response, ResponseInputItemParam, ToolParam
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import BaseModel

from tests.clients.drivers.protocol import INSTRUCTIONS, MODEL, PARAMETERS, TOOL, TOOL_SAYS, Task, lookup, serve

_TOOL: ToolParam = {
    "type": "function",
    "name": TOOL,
    "description": TOOL_SAYS,
    "parameters": PARAMETERS,
    "strict": True,
}


class _Found(BaseModel):
    """What `parse` is to answer with."""

    title: str
    count: int


class _Arguments(BaseModel):
    key: str
    n: int


class _Conversation:
    """`mode`: sync, raw (with_raw_response), parse, async, stream, helper (responses.stream())."""

    def __init__(self, task: Task, history: object) -> None:
        self._mode = task.mode
        self._sync = OpenAI()
        self._async = AsyncOpenAI()
        self._items = cast("list[ResponseInputItemParam]", history or [])

    async def say(self, prompt: str) -> str:
        """The agent's loop: until the model calls no tool. An error leaves the history as the last answer left it."""
        self._items.append({"role": "user", "content": prompt})
        while True:
            response = await self._ask()
            self._items += cast("list[ResponseInputItemParam]", [item.to_dict() for item in response.output])
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                return response.output_text
            for call in calls:
                arguments = _Arguments.model_validate_json(call.arguments)
                output = lookup(arguments.key, arguments.n)
                self._items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})

    def history(self) -> object:
        """The items, which are JSON already."""
        return self._items

    async def _ask(self) -> Response | ParsedResponse[_Found]:
        request: ResponseCreateParamsBase = {
            "model": MODEL,
            "instructions": INSTRUCTIONS,
            "input": self._items,
            "tools": [_TOOL],
            "store": False,
            "include": ["reasoning.encrypted_content"],
        }
        if self._mode == "sync":
            return await asyncio.to_thread(lambda: self._sync.responses.create(**request))
        if self._mode == "raw":
            raw = await asyncio.to_thread(lambda: self._sync.responses.with_raw_response.create(**request))
            return raw.parse()
        if self._mode == "parse":
            return await asyncio.to_thread(lambda: self._sync.responses.parse(**request, text_format=_Found))
        if self._mode == "async":
            return await self._async.responses.create(**request)
        if self._mode == "helper":
            async with self._async.responses.stream(**request) as helped:
                return await helped.get_final_response()
        final: Response | None = None
        async for event in await self._async.responses.create(**request, stream=True):
            if event.type == "response.completed":
                final = event.response
        if final is None:
            raise RuntimeError("the stream ended without response.completed")
        return final


if __name__ == "__main__":
    serve(_Conversation)
