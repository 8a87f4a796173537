"""curl: one process for each request; the agent loop is its user's."""

import asyncio
import json
import os
from typing import cast

from tests.clients.drivers.protocol import MODEL, SETTINGS, Item, Loop, serve


class CurlError(Exception):
    """curl failed: its exit status is part of the message, the HTTP status that of the answer."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status_code = status


class _Conversation(Loop):
    """`mode`: json, or stream (`curl -N`, the output gathered from the events)."""

    async def ask(self, items: list[Item]) -> list[Item]:
        """One process, one request."""
        stream = self.task.mode == "stream"
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "-N", "--fail-with-body", "-w", "%{stderr}%{http_code}", "--data-binary", "@-"),
            *("-H", f"Authorization: Bearer {self.task.key}", "-H", "Content-Type: application/json"),
            f"{self.task.base_url}/responses",
            env=dict(os.environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        body = json.dumps({"model": MODEL, **SETTINGS, "stream": stream, "input": items}).encode()
        out, err = await process.communicate(body)
        if process.returncode:
            code = err.decode()[-3:]
            raise CurlError(f"exit status {process.returncode}: {out.decode()[:300]}", int(code) or None)
        if not stream:
            return cast("list[Item]", json.loads(out)["output"])
        events = [json.loads(line.removeprefix(b"data: ")) for line in out.split(b"\n") if line.startswith(b"data: ")]
        if not events or events[-1]["type"] != "response.completed":
            raise CurlError("the stream ended without response.completed", 200)
        return cast("list[Item]", events[-1]["response"]["output"])


if __name__ == "__main__":
    serve(_Conversation)
