"""A caller: a plain client of the Responses API, which knows of Openline by the headers of its answers alone."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import aiohttp
import msgspec

from bench.chat import Chat, Item

_END = b"event: response.completed\ndata: "


@dataclass(frozen=True, slots=True)
class Turn:
    """What was asked, what came of it, and how long that took."""

    asked: Chat
    sent_bytes: int
    """Those of the request as the caller sent it."""
    route: str = ""
    reason: str = ""
    output: Sequence[Item] = ()
    error: str = ""
    """Why there is no whole answer; empty where there is one."""
    wait: float = 0.0
    """Until the first event."""

    @property
    def way(self) -> str:
        """How it went, and why."""
        return f"{self.route} ({self.reason})" if self.reason else self.route

    @property
    def calls(self) -> bool:
        """Whether the model wants a tool."""
        return any(item["type"] == "function_call" for item in self.output)


class _Response(msgspec.Struct):
    output: list[dict[str, object]]


class _Completed(msgspec.Struct):
    response: _Response


class Caller:
    """Asks at one base URL, on as many connections as it has turns at once."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._url = f"{base}/responses"

    async def ask(self, chat: Chat, *, key: str = "bench", leave: bool = False) -> Turn:
        """One streamed create; who is to `leave` hangs up in the middle of the answer."""
        body = msgspec.json.encode(chat.body)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        stream, wait = bytearray(), 0.0
        began = time.perf_counter()
        try:
            async with self._session.post(self._url, data=body, headers=headers) as answer:
                async for chunk in answer.content.iter_any():
                    wait = wait or time.perf_counter() - began
                    stream += chunk
                    if leave and b".delta" in stream:
                        answer.close()
                        break
                route, reason = (answer.headers.get(f"x-openline-{name}", "") for name in ("route", "reason"))
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as failure:
            return Turn(chat, len(body), error=type(failure).__name__, wait=wait)
        output = _output(stream)
        whole = status == 200 and output is not None
        error = "" if whole else f"HTTP {status}, {'left' if leave else 'no completed response'}"
        return Turn(chat, len(body), route, reason, output or (), error, wait)

    async def work(self, chat: Chat, results: Sequence[str], tools: "Tools", *, key: str = "bench") -> list[Turn]:
        """Carry a chat on for as long as the model wants tools, which give these results."""
        return await work(partial(self.ask, key=key), chat, results, tools)


class Tools:
    """What an agent's tools take: a time of at most `longest` seconds, the same for the same seed."""

    def __init__(self, longest: float, *seed: object) -> None:
        self._longest = longest
        self._dice = random.Random("/".join(map(str, seed)))  # noqa: S311 - repeatable, not secret

    async def run(self) -> None:
        """One run of a tool."""
        await asyncio.sleep(self._dice.uniform(0, self._longest))


async def work(ask: Callable[[Chat], Awaitable[Turn]], chat: Chat, results: Sequence[str], tools: Tools) -> list[Turn]:
    """The same of anyone who can ask."""
    turns: list[Turn] = []
    for result in (*results, ""):
        turn = await ask(chat)
        turns.append(turn)
        if turn.error or not turn.calls:
            break
        await tools.run()
        chat = chat.followed(turn.output, result)
    return turns


def _output(stream: bytearray) -> list[dict[str, object]] | None:
    """The items of the response that the stream ended with, if it ended with one."""
    at = stream.rfind(_END)
    if at < 0 or not stream.endswith(b"\n\n"):
        return None
    return msgspec.json.decode(bytes(stream[at + len(_END) :]).strip(), type=_Completed).response.output
