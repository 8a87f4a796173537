"""A storm: agents that call, fork, edit, retry and hang up at once, under faults; every choice follows from a seed."""

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import aiohttp
import msgspec

from proxy.simulator import Fault
from proxy.simulator.faults import What, Where
from proxy.tasks import Tasks
from tests.chaos.judge import Judge
from tests.e2e.stack import Body, Chat, Item, Reply, Stack, chat

KEYS = 6
_MOST_WAITING = 25
_TRANSPORT: tuple[What, ...] = (
    "close",
    "abort",
    "forget",
    "age_limit",
    "delay",
    "hang",
    "error",
    "failed",
    "incomplete",
)
_NOISE: tuple[What, ...] = ("foreign_lane", "garbage", "binary")  # without lanes nobody can tell a stray event
_OVER_HTTP: tuple[What, ...] = ("abort", "delay", "hang", "error", "failed", "incomplete")
_NOW: tuple[What, ...] = ("abort", "close", "forget", "age_limit")
_OPENINGS = (
    "Look things up. [[rounds=3 calls=2 reasoning=1 phase=1]]",
    "Look things up. [[rounds=2 calls=1 reasoning=2]]",
    "Say é ✓. [[rounds=0 size=700 phase=1]]",
    "Look far. [[rounds=9 calls=1]]",
)
Moment = Literal["unanswered", "headers", "body"]


@dataclass
class Storm:
    """The weather: which faults come, drawn one by one."""

    noise: bool
    forgets: bool = True
    slow_seconds: float = 0.02

    def turn(self, draw: random.Random) -> Fault:
        """A fault for a turn or an upgrade to come."""
        if draw.random() < 0.2:
            return self._upgrade(draw)
        if draw.random() < 0.15:
            return self._fault(draw, draw.choice(_OVER_HTTP), "http")
        return self._fault(draw, self._what(draw, _TRANSPORT), "ws")

    def now(self, draw: random.Random) -> Fault:
        """A fault of all open sockets."""
        return Fault(self._what(draw, _NOW), "now")

    def _what(self, draw: random.Random, usual: tuple[What, ...]) -> What:
        what = draw.choice(usual + (_NOISE if self.noise else ()))
        return what if what != "forget" or self.forgets else "abort"

    def _upgrade(self, draw: random.Random) -> Fault:
        whats: tuple[What, ...] = ("refuse", "delay", "hang", "close", "abort")
        status = draw.choice([404, 426, 401, 403, 429, 500, 503])
        return Fault(draw.choice(whats), "upgrade", status=status, seconds=self.slow_seconds)

    def _fault(self, draw: random.Random, what: What, transport: Literal["http", "ws"]) -> Fault:
        places: list[Where] = ["start", "events", "terminal", "end"]
        if what in {"error", "failed", "incomplete"}:
            places.remove("end")
        status, code = draw.choice([(400, "invalid_prompt"), (429, "rate_limit_exceeded"), (500, "server_error")])
        return Fault(
            what,
            draw.choice(places),
            after=draw.randrange(1, 8),
            transport=transport,
            status=status,
            code=code,
            seconds=self.slow_seconds,
            close_code=draw.choice([1000, 1001, 1009, 1011, 1012]),
        )


@dataclass
class Callers:
    """All agents of one storm: what they share."""

    running: Stack
    storm: Storm
    asked: list[tuple[Body, Reply]] = field(default_factory=list)
    left: int = 0
    """How many callers hung up."""
    _serial: "itertools.count[int]" = field(default_factory=itertools.count)

    def signed(self, body: Body, key: str) -> Body:
        """The body with a number of its own, and whose it is: at the upstream that is compared with the credential."""
        return {**body, "metadata": {"call": str(next(self._serial)), "key": key}}

    def arrived(self) -> int:
        """How many calls arrived at the upstream, however often each; every create came under its caller's key."""
        calls: set[object] = set()
        for entry in self.running.sim.journal:
            if entry.body and entry.generate:
                signature = msgspec.convert(entry.body["metadata"], dict[str, str])
                shown = [value for name, value in entry.headers if name.lower() == "authorization"]
                assert shown == [f"Bearer {signature['key']}"], "a create went out under another caller's key"
                calls.add(signature["call"])
        return len(calls)

    def judged(self) -> Judge:
        """The judge, after every reply has been judged."""
        judge = Judge(list(self.running.sim.journal))
        for body, reply in self.asked:
            judge.judge(body, reply)
        return judge

    def routes(self) -> Counter[str]:
        """How the answers with status 200 went."""
        return Counter(reply.route for _, reply in self.asked if reply.status == 200)


class Agent:
    """One stateless caller. Its draws are its own, so that a seed names the same choices in any order of events."""

    def __init__(self, callers: Callers, number: int, seed: str) -> None:
        self._callers = callers
        self._draw = random.Random(f"{seed}-{number}")  # noqa: S311 - repeatable, no secret
        self._key = f"key-{number % KEYS}"
        opening = self._draw.choice(_OPENINGS)
        name = "" if self._draw.random() < 0.2 else f"I am agent {number}. "  # some begin alike
        self._chat = chat(name + opening, store=self._draw.choice([False, False, None, True]))
        self._past: list[Chat] = []
        self._tasks = Tasks()

    async def take(self, turns: int) -> None:
        """That many turns in bad weather."""
        for _ in range(turns):
            await self._weather()
            act = self._draw.random()
            if act < 0.12:
                await self._leave()
            elif act < 0.22:
                self._edit()
            elif act < 0.32 and self._past:
                self._chat = self._past.pop()
            if act > 0.9:
                await self._fork()
            elif act > 0.85:
                await self._twice()
            else:
                await self._go_on()

    async def calm(self) -> str:
        """One turn in good weather: it must be answered and be right. Returns its route."""
        body = self._body()
        reply = await self._ask(body)
        assert (reply.status, reply.cut) == (200, False), (reply.status, reply.reason, reply.body[:300])
        self._answered(reply)
        return reply.route

    async def siblings(self) -> int:
        """Three children of one history at once, in good weather. Returns how many of an unstored one were deltas."""
        bodies = [{**self._body(), "input": [*self._chat.items, _branch(number)]} for number in range(3)]
        replies = await asyncio.gather(*map(self._ask, bodies))
        assert all((reply.status, reply.cut) == (200, False) for reply in replies), replies
        return [reply.route for reply in replies].count("delta") if self._chat.settings["store"] is False else 0

    def _body(self) -> Body:
        return {**self._chat.body, **({"stream": True} if self._draw.random() < 0.6 else {})}

    async def _weather(self) -> None:
        sim = self._callers.running.sim
        if self._draw.random() < 0.3:
            fault = self._callers.storm.turn(self._draw)
            if len(sim.faults) < _MOST_WAITING:
                sim.faults.add(fault)
        if self._draw.random() < 0.02:
            with contextlib.suppress(ConnectionError):  # a socket that was just closing
                await sim.strike(self._callers.storm.now(self._draw))

    async def _ask(self, body: Body) -> Reply:
        body = self._callers.signed(body, self._key)
        reply = await self._callers.running.ask(body, key=self._key)
        self._callers.asked.append((body, reply))
        return reply

    async def _go_on(self) -> None:
        self._answered(await self._ask(self._body()))

    async def _twice(self) -> None:
        """In a hurry: the same request twice at once."""
        body = self._body()
        replies = await asyncio.gather(self._ask(body), self._ask(body))
        self._answered(replies[0])

    async def _fork(self) -> None:
        """Two children of one history at once."""
        items = [_branch(number) for number in range(2)]
        bodies = [{**self._body(), "input": [*self._chat.items, item]} for item in items]
        if self._owing():
            await self._go_on()
            return
        replies = await asyncio.gather(*map(self._ask, bodies))
        self._chat = replace(self._chat, items=(*self._chat.items, items[0]))
        self._answered(replies[0])

    def _owing(self) -> bool:
        """Whether the model waits for tool outputs that a new message must not overtake."""
        return self._chat.items[-1].get("type") == "function_call"

    def _edit(self) -> None:
        """Other words in an item of the history that is the caller's own."""
        own = [n for n, item in enumerate(self._chat.items) if item.get("role") == "user" or "output" in item]
        at = self._draw.choice(own)
        items = list(self._chat.items)
        key = "output" if "output" in items[at] else "content"
        items[at] = {**items[at], key: f"{items[at][key]} edited {self._draw.randrange(100)}"}
        self._chat = replace(self._chat, items=tuple(items))

    def _answered(self, reply: Reply) -> None:
        """Go on after a whole answer; after any other, ask again next time, as SDKs do."""
        whole = reply.status == 200 and not reply.cut
        if whole and (not reply.streamed or reply.types[-1:] == ["response.completed"]):
            response = reply.response
            if response.get("status") == "completed":
                self._past.append(self._chat)
                self._chat = self._chat.followed(reply.output)

    async def _leave(self) -> None:
        """Ask, and hang up at some moment."""
        self._callers.left += 1
        moment: Moment = self._draw.choice(["unanswered", "headers", "body"])
        body, yields = self._callers.signed(self._body(), self._key), self._draw.randrange(600)
        if moment == "unanswered":
            asked = self._tasks.start(self._callers.running.ask(body, key=self._key), "caller")
            for _ in range(yields):
                await asyncio.sleep(0)
            await self._tasks.close()
            assert asked.done()
            return
        running = self._callers.running
        headers = {"authorization": f"Bearer {self._key}"}
        async with running.session.post(f"{running.base}/responses", json=body, headers=headers) as response:
            if moment == "body":
                try:
                    for _ in range(yields % 4):
                        await response.content.readany()
                except aiohttp.ClientPayloadError:
                    pass
            response.close()


def _branch(number: int) -> Item:
    return {"role": "user", "content": f"branch {number} [[rounds=0]]"}


async def all_of(work: Sequence[Agent], turns: int) -> None:
    """All agents at once; the first failure is the storm's."""
    async with asyncio.TaskGroup() as group:
        for agent in work:
            group.create_task(agent.take(turns))
