"""pydantic-ai with OpenAI's Responses model; the history is its list of messages."""

import importlib
from typing import cast

from tests.clients.drivers.protocol import INSTRUCTIONS, MODEL, Task, lookup, serve

# By name: the development environment has no such package.
pydantic_ai = importlib.import_module("pydantic_ai")
messages = importlib.import_module("pydantic_ai.messages")


class _Conversation:
    """`mode`: run (store off, the reasoning sent back), stream (the same, streaming), stored (the API's defaults)."""

    def __init__(self, task: Task, history: object) -> None:
        settings = {} if task.mode == "stored" else {"openai_store": False}
        self._mode = task.mode
        self._agent = pydantic_ai.Agent(
            f"openai-responses:{MODEL}",
            instructions=INSTRUCTIONS,
            tools=[lookup],
            model_settings=settings,
        )
        self._messages = messages.ModelMessagesTypeAdapter.validate_python(history or [])

    async def say(self, prompt: str) -> str:
        """One run of the agent."""
        if self._mode != "stream":
            result = await self._agent.run(prompt, message_history=self._messages)
            self._messages = result.all_messages()
            return cast("str", result.output)
        async with self._agent.iter(prompt, message_history=self._messages) as run:
            async for node in run:
                if pydantic_ai.Agent.is_model_request_node(node):
                    async with node.stream(run.ctx) as stream:
                        async for _ in stream:
                            pass
            self._messages = run.result.all_messages()
            return cast("str", run.result.output)

    def history(self) -> object:
        """The messages in pydantic-ai's own JSON."""
        return messages.ModelMessagesTypeAdapter.dump_python(self._messages, mode="json")


if __name__ == "__main__":
    serve(_Conversation)
