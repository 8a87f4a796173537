"""langchain-openai under LangChain's `create_agent`; the history is a list of its messages."""

import importlib
from typing import cast

from tests.clients.drivers.protocol import INSTRUCTIONS, MODEL, Task, lookup, serve

# By name: the development environment has no such packages.
chat = importlib.import_module("langchain_openai")
agents = importlib.import_module("langchain.agents")
messages = importlib.import_module("langchain_core.messages")


class _Conversation:
    """`mode`: invoke, stream (a model that streams), v1 (`output_version="v1"`, streaming)."""

    def __init__(self, task: Task, history: object) -> None:
        version = {"output_version": "v1"} if task.mode == "v1" else {}
        model = chat.ChatOpenAI(
            model=MODEL,
            use_responses_api=True,
            store=False,
            include=["reasoning.encrypted_content"],
            streaming=task.mode != "invoke",
            **version,
        )
        self._agent = agents.create_agent(model, tools=[lookup], system_prompt=INSTRUCTIONS)
        self._messages = messages.messages_from_dict(history or [])

    async def say(self, prompt: str) -> str:
        """One run of the agent."""
        asked = [*self._messages, messages.HumanMessage(prompt)]
        self._messages = (await self._agent.ainvoke({"messages": asked}))["messages"]
        return cast("str", self._messages[-1].text)

    def history(self) -> object:
        """The messages in LangChain's own JSON."""
        return [messages.message_to_dict(message) for message in self._messages]


if __name__ == "__main__":
    serve(_Conversation)
