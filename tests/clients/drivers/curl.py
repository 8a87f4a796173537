"""curl: one process for each request; the agent loop is this file's."""

import asyncio
import json
import os
from typing import cast

from tests.clients.drivers.protocol import INSTRUCTIONS, MODEL, PARAMETERS, TOOL, TOOL_SAYS, Task, lookup, serve

_SETTINGS = {
    "model": MODEL,
    "instructions": INSTRUCTIONS,
    "tools": [{"type": "function", "name": TOOL, "description": TOOL_SAYS, "parameters": PARAMETERS, "strict": True}],
    "store": False,
    "include": ["reasoning.encrypted_content"],
}
_Item = dict[str, object]


class CurlError(Exception):
    """curl failed: its exit status is part of the message, the HTTP status that of the answer."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status_code = status


class _Conversation:
    """`mode`: json, or stream (`curl -N`, the output gathered from the events)."""

    def __init__(self, task: Task, history: object) -> None:
        self._task = task
        self._items = cast("list[_Item]", history or [])

    async def say(self, prompt: str) -> str:
        """The agent's loop: until the model calls no tool."""
        self._items.append({"role": "user", "content": prompt})
        while True:
            output = await self._ask()
            self._items += output
            calls = [item for item in output if item["type"] == "function_call"]
            if not calls:
                parts = [part for item in output for part in cast("list[_Item]", item.get("content", []))]
                return "".join(str(part["text"]) for part in parts)
            for call in calls:
                said = lookup(**json.loads(str(call["arguments"])))
                self._items.append({"type": "function_call_output", "call_id": call["call_id"], "output": said})

    def history(self) -> object:
        """The items, which are JSON already."""
        return self._items

    async def _ask(self) -> list[_Item]:
        stream = self._task.mode == "stream"
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "-N", "--fail-with-body", "-w", "%{stderr}%{http_code}", "--data-binary", "@-"),
            *("-H", f"Authorization: Bearer {self._task.key}", "-H", "Content-Type: application/json"),
            f"{self._task.base_url}/responses",
            env=dict(os.environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        body = json.dumps({**_SETTINGS, "stream": stream, "input": self._items}).encode()
        out, err = await process.communicate(body)
        if process.returncode:
            code = err.decode()[-3:]
            raise CurlError(f"exit status {process.returncode}: {out.decode()[:300]}", int(code) or None)
        if not stream:
            return cast("list[_Item]", json.loads(out)["output"])
        events = [json.loads(line.removeprefix(b"data: ")) for line in out.split(b"\n") if line.startswith(b"data: ")]
        if not events or events[-1]["type"] != "response.completed":
            raise CurlError("the stream ended without response.completed", 200)
        return cast("list[_Item]", events[-1]["response"]["output"])


if __name__ == "__main__":
    serve(_Conversation)
