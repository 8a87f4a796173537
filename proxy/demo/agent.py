"""The agent: a plain client of the Responses API over one kept-alive HTTP connection, without state on the server."""

import time
from dataclasses import dataclass
from typing import TypedDict

import aiohttp
import msgspec

from proxy.demo.task import Task

Item = dict[str, object]


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True)
class Conversation:
    """How it went: the last message, each turn's wait for its first event, the HTTP connections that were opened."""

    answer: str
    first_event_seconds: tuple[float, ...]
    seconds: float
    connections: int


class _Response(TypedDict):
    output: list[Item]


class _Completed(TypedDict):
    response: _Response


async def converse(base_url: str, task: Task, silence: float) -> Conversation:
    """Carry out `task` at `base_url`. Raises DemoError for an error answer, and after `silence` seconds of nothing."""
    opened: list[object] = []
    trace = aiohttp.TraceConfig()

    async def on_open(*event: object) -> None:
        opened.append(event)

    trace.on_connection_create_end.append(on_open)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=silence)
    async with aiohttp.ClientSession(timeout=timeout, trace_configs=[trace]) as session:
        agent = _Agent(session, f"{base_url}/responses", task)
        began = time.perf_counter()
        try:
            answer = await agent.run()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DemoError(f"turn {agent.turn}: {type(error).__name__}: {error}") from error
        return Conversation(answer, tuple(agent.waits), time.perf_counter() - began, len(opened))


class _Agent:
    """Sends its whole history on every turn, answers each tool call, and stops at the first turn without one."""

    def __init__(self, session: aiohttp.ClientSession, url: str, task: Task) -> None:
        self.waits: list[float] = []
        self.turn = 0
        self._session = session
        self._url = url
        self._task = task

    async def run(self) -> str:
        history: list[Item] = [{"role": "user", "content": self._task.prompt}]
        for output in (*self._task.outputs, ""):
            said = await self._turn(history)
            history += said
            calls = [item["call_id"] for item in said if item["type"] == "function_call"]
            if not calls:
                return msgspec.json.encode([item for item in said if item["type"] == "message"]).decode()
            history += [{"type": "function_call_output", "call_id": name, "output": output} for name in calls]
        raise DemoError(f"the model asked for more than {len(self._task.outputs)} tool rounds")

    async def _turn(self, history: list[Item]) -> list[Item]:
        """One streamed create; gives the items of the final response."""
        body = msgspec.json.encode({**self._task.settings, "input": history})
        headers = {"Authorization": "Bearer none", "Content-Type": "application/json"}
        stream = bytearray()
        self.turn += 1
        began = time.perf_counter()
        async with self._session.post(self._url, data=body, headers=headers) as response:
            first = True
            async for chunk in response.content.iter_any():
                if first:
                    self.waits.append(time.perf_counter() - began)
                    first = False
                stream += chunk
        if response.status != 200:
            raise DemoError(f"turn {self.turn}: HTTP {response.status}: {stream[:500].decode(errors='replace')}")
        return _output(bytes(stream), self.turn)


def _output(stream: bytes, turn: int) -> list[Item]:
    """The items of the response that the stream ended with."""
    event, _, data = stream.removesuffix(b"\n\n").rpartition(b"\n\n")[2].partition(b"\n")
    if event != b"event: response.completed":
        raise DemoError(f"turn {turn}: the stream ended with {event.decode(errors='replace') or 'nothing'!r}")
    return msgspec.json.decode(data.removeprefix(b"data: "), type=_Completed)["response"]["output"]
