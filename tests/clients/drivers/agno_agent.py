"""agno: its Agent on its OpenAIResponses model; the history is in its SQLite store."""

import importlib
from typing import cast

from tests.clients.drivers.protocol import INSTRUCTIONS, MODEL, Task, lookup, serve

# By name: the development environment has no such packages.
agent = importlib.import_module("agno.agent")
models = importlib.import_module("agno.models.openai")
stores = importlib.import_module("agno.db.sqlite")


class RunFailed(Exception):
    """agno says that the run failed."""


class _Conversation:
    """`mode`: run or stream, with `store=False` (with the API's default agno chains by id itself)."""

    begun = 0

    def __init__(self, task: Task, history: object) -> None:
        _Conversation.begun += 1
        self._session = cast("str", history or f"session-{_Conversation.begun}")
        self._stream = task.mode == "stream"
        self._agent = agent.Agent(
            model=models.OpenAIResponses(
                id=MODEL,
                store=False,
                include=["reasoning.encrypted_content"],
            ),
            instructions=INSTRUCTIONS,
            tools=[lookup],
            session_id=self._session,
            db=stores.SqliteDb(db_file=str(task.folder / "agno.db")),
            add_history_to_context=True,
            num_history_runs=100,
            telemetry=False,
        )

    async def say(self, prompt: str) -> str:
        """One run of the agent. agno raises nothing: it says in its result, or in an event, that the run failed."""
        if not self._stream:
            result = await self._agent.arun(prompt)
            if result.status == "ERROR":
                raise RunFailed(result.content)
            return cast("str", result.content)
        text = ""
        async for event in self._agent.arun(prompt, stream=True):
            kind = getattr(event, "event", "")
            if kind == "RunError":
                raise RunFailed(event.content)
            if kind == "RunContent":
                text += event.content or ""
        return text

    def history(self) -> object:
        """The name of the session in the store."""
        return self._session


if __name__ == "__main__":
    serve(_Conversation)
