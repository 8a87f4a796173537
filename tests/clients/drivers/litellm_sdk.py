"""LiteLLM's SDK: `litellm.aresponses`; the agent loop is its user's."""

import importlib
from typing import Protocol, cast

from tests.clients.drivers.protocol import MODEL, SETTINGS, Item, Loop, serve

# By name: the development environment has no such package.
litellm = importlib.import_module("litellm")


class _Said(Protocol):
    """An item of the answer, a pydantic model."""

    def model_dump(self, *, exclude_none: bool) -> Item:
        """Its fields."""
        ...


class _Response(Protocol):
    """What LiteLLM answers with."""

    output: list[_Said]


class _Conversation(Loop):
    """`mode`: create or stream."""

    async def ask(self, items: list[Item]) -> list[Item]:
        """One call of the SDK."""
        response = await self._response({"model": f"openai/{MODEL}", **SETTINGS, "input": items})
        return [item.model_dump(exclude_none=True) for item in response.output]

    async def _response(self, request: dict[str, object]) -> _Response:
        if self.task.mode == "create":
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
