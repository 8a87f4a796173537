"""The `openai` package for Python, each way of calling it; the agent loop is its user's, as in the SDK's own guide."""

import asyncio
from typing import cast

from openai import AsyncOpenAI, OpenAI
from openai.types.responses import ParsedResponse, Response
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import BaseModel

from tests.clients.drivers.protocol import MODEL, SETTINGS, Item, Loop, Task, serve


class _Found(BaseModel):
    """What `parse` is to answer with."""

    title: str
    count: int


class _Conversation(Loop):
    """`mode`: sync, raw (with_raw_response), parse, async, stream, helper (responses.stream())."""

    def __init__(self, task: Task, history: object) -> None:
        super().__init__(task, history)
        self._mode = task.mode
        self._sync = OpenAI()
        self._async = AsyncOpenAI()

    async def ask(self, items: list[Item]) -> list[Item]:
        """One call of the SDK."""
        response = await self._response(cast("ResponseCreateParamsBase", {"model": MODEL, **SETTINGS, "input": items}))
        return [item.to_dict() for item in response.output]

    async def _response(self, request: ResponseCreateParamsBase) -> Response | ParsedResponse[_Found]:
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
