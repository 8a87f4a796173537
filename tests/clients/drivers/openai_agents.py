"""openai-agents for Python: its own loop, its own tools; `session` keeps the history in its SQLite session."""

import importlib
from typing import cast

from tests.clients.drivers.protocol import INSTRUCTIONS, MODEL, Task, lookup, serve

# By name: the development environment has no such package.
agents = importlib.import_module("agents")


class _Conversation:
    """`mode`: run, stream, session (store off, the reasoning sent back), or stored (the API's defaults)."""

    begun = 0

    def __init__(self, task: Task, history: object) -> None:
        agents.set_tracing_disabled(True)
        stateless = {"store": False, "response_include": ["reasoning.encrypted_content"]}
        self._mode = task.mode
        self._agent = agents.Agent(
            name="reader",
            instructions=INSTRUCTIONS,
            model=MODEL,
            model_settings=agents.ModelSettings(**({} if task.mode == "stored" else stateless)),
            tools=[agents.function_tool(lookup)],
        )
        self._items = cast("list[object]", [] if task.mode == "session" else history or [])
        _Conversation.begun += 1
        self._name = cast("str", history or f"session-{_Conversation.begun}") if task.mode == "session" else ""
        self._session = agents.SQLiteSession(self._name, task.folder / "sessions.db") if self._name else None

    async def say(self, prompt: str) -> str:
        """One run of the agent."""
        if self._session:
            return str((await agents.Runner.run(self._agent, prompt, session=self._session)).final_output)
        asked = [*self._items, {"role": "user", "content": prompt}]
        if self._mode == "stream":
            result = agents.Runner.run_streamed(self._agent, asked)
            async for _ in result.stream_events():
                pass
        else:
            result = await agents.Runner.run(self._agent, asked)
        self._items = result.to_input_list()
        return str(result.final_output)

    def history(self) -> object:
        """The items, or the name of the session in its file."""
        return self._name or self._items


if __name__ == "__main__":
    serve(_Conversation)
