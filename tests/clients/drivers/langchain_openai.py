"""langchain-openai under LangChain's agent, in LangChain 0 LangGraph's; the history is a list of its messages."""

import importlib
import importlib.metadata
from typing import cast

from tests.clients.drivers.protocol import INSTRUCTIONS, MODEL, Task, lookup, serve

# By name: the development environment has no such packages.
chat = importlib.import_module("langchain_openai")
messages = importlib.import_module("langchain_core.messages")
_BEFORE_1 = importlib.metadata.version("langchain-openai").startswith("0.")


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
        if _BEFORE_1:
            prebuilt = importlib.import_module("langgraph.prebuilt")
            self._agent = prebuilt.create_react_agent(model, tools=[lookup], prompt=INSTRUCTIONS)
        else:
            agents = importlib.import_module("langchain.agents")
            self._agent = agents.create_agent(model, tools=[lookup], system_prompt=INSTRUCTIONS)
        self._messages = messages.messages_from_dict(history or [])

    async def say(self, prompt: str) -> str:
        """One run of the agent."""
        asked = [*self._messages, messages.HumanMessage(prompt)]
        self._messages = (await self._agent.ainvoke({"messages": asked}))["messages"]
        text = self._messages[-1].text
        return cast("str", text() if _BEFORE_1 else text)

    def history(self) -> object:
        """The messages in LangChain's own JSON."""
        return [messages.message_to_dict(message) for message in self._messages]


if __name__ == "__main__":
    serve(_Conversation)
