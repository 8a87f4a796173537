"""llama-index: its FunctionAgent on its OpenAIResponses model; the history is its memory."""

import importlib

from tests.clients.drivers.protocol import INSTRUCTIONS, MODEL, TOOL, TOOL_SAYS, Task, lookup, serve

# By name: the development environment has no such packages.
llms = importlib.import_module("llama_index.llms.openai")
workflow = importlib.import_module("llama_index.core.agent.workflow")
types = importlib.import_module("llama_index.core.llms")
memories = importlib.import_module("llama_index.core.memory")
tools = importlib.import_module("llama_index.core.tools")


class _Conversation:
    """`mode`: run (the agent's default: streaming), or whole (`streaming=False`)."""

    def __init__(self, task: Task, history: object) -> None:
        model = llms.OpenAIResponses(
            model=MODEL,
            include=["reasoning.encrypted_content"],
        )
        self._agent = workflow.FunctionAgent(
            tools=[tools.FunctionTool.from_defaults(lookup, name=TOOL, description=TOOL_SAYS)],
            llm=model,
            system_prompt=INSTRUCTIONS,
            streaming=task.mode == "run",
        )
        self._memory = memories.ChatMemoryBuffer.from_defaults(token_limit=1_000_000)
        for message in history if isinstance(history, list) else []:
            self._memory.put(types.ChatMessage.model_validate(message))

    async def say(self, prompt: str) -> str:
        """One run of the agent."""
        return str(await self._agent.run(user_msg=prompt, memory=self._memory))

    def history(self) -> object:
        """The messages of the memory."""
        return [message.model_dump(mode="json") for message in self._memory.get_all()]


if __name__ == "__main__":
    serve(_Conversation)
