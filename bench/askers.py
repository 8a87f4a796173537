"""Askers: so many at a time, each on a line of its own, who go on with many conversations of which nothing is kept."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from bench.chat import Chat, chat, text
from bench.plan import Plan
from bench.prepared import item
from bench.process import BenchError
from bench.taker import Taken, opened, request, take
from bench.upstream import Tick

_RESULT_BYTES = 4_000


class Askers:
    """They ask the hose, or a proxy in front of it: what it answers is known."""

    def __init__(self, plan: Plan, lines: Sequence[socket.socket], threads: ThreadPoolExecutor, tick: Tick) -> None:
        self._plan = plan
        self._lines = lines
        self._threads = threads
        self._tick = tick
        self._asked = 0
        self._sent_bytes = 0
        self._filler = text(_RESULT_BYTES, "crowd", plan.seed)
        self._output = (item(),)

    async def turns(self, numbers: Iterable[int], after: int) -> list[Taken]:
        """One turn of each of these conversations, which goes on from so many others. Raises BenchError."""
        taken: list[Taken] = []
        left = iter(numbers)
        await asyncio.gather(*(self._ask(line, left, after, taken) for line in self._lines))
        return taken

    async def _ask(self, line: socket.socket, left: Iterator[int], after: int, taken: list[Taken]) -> None:
        """On one line, until nothing is left."""
        loop, port = asyncio.get_running_loop(), line.getpeername()[1]
        for number in left:
            body = msgspec.json.encode(self._chat(number, after).body)
            try:
                taken.append(await loop.run_in_executor(self._threads, take, line, request(port, body)))
            except OSError as failure:
                raise BenchError(f"crowd: a turn of conversation {number} broke off: {failure}") from None
            self._asked, self._sent_bytes = self._asked + 1, self._sent_bytes + len(body)
            self._tick(self._asked, self._sent_bytes)

    def _chat(self, number: int, after: int) -> Chat:
        """Made again for each turn: its tools' results, which are no other conversation's, fill it."""
        history = chat().said(f"Task {number}.")
        for at in range(max(1, self._plan.crowd_bytes // _RESULT_BYTES)):
            call = {"type": "function_call", "call_id": f"call_{number}_{at}", "name": "read_file", "arguments": "{}"}
            history = history.followed([call], f"{number}/{at} {self._filler}")
        for _ in range(after):
            history = history.followed(self._output).said("Go on.")
        return history


@contextlib.asynccontextmanager
async def askers(plan: Plan, port: int, tick: Tick) -> AsyncIterator[Askers]:
    """Their lines to a port, open from the first turn to the last."""
    with contextlib.ExitStack() as open_lines, ThreadPoolExecutor(plan.crowd_at_once) as threads:
        lines = [open_lines.enter_context(opened(port)) for _ in range(plan.crowd_at_once)]
        yield Askers(plan, lines, threads, tick)
