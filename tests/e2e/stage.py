"""A stage: a proxy in front of a host, and a caller who tells of each turn how it went, in the words of the docs."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from proxy.server.app import Openline
from proxy.simulator import Fault
from proxy.tasks import Tasks
from tests.e2e.stack import Chat, Item, Stack, chat, prompt_of
from tests.e2e.test_hosts import Clock
from tests.upstream.peer import over

TALK = "Talk. [[rounds=0]]"
LOOK = "Look things up. [[rounds=3 reasoning=1]]"
_SAID = ("reasoning", "function_call")
FURTHER_BACK = "delta, from further back"


@dataclass(frozen=True)
class Went:
    """How a turn went, in the page's words, and the history after its answer."""

    way: str
    talk: Chat


@dataclass
class Stage:
    """A proxy in front of a host, a caller who has his responses stored or not, a clock, a folder and a port."""

    running: Stack
    store: bool
    clock: Clock
    folder: Path
    port: int
    lives: contextlib.AsyncExitStack

    def talk(self, text: str = TALK) -> Chat:
        """A conversation that begins."""
        return chat(text, stream=True, store=self.store, include=["reasoning.encrypted_content"])

    async def turn(self, talk: Chat) -> Went:
        """A turn with the context and the answer that its request spells out."""
        reply = await self.running.ask(talk.body)
        assert (reply.status, reply.cut) == (200, False), reply.body
        assert self.running.prompts()[-1] == prompt_of(talk)
        sent = (self.running.creates()[-1].body or {})["input"]
        assert reply.output == (await self.running.ask(talk.body, base=self.running.direct)).output
        await self.running.outcome()
        return Went(way(reply.route, reply.reason, sent), talk.followed(reply.output, TALK))

    async def begun(self, text: str = TALK, turns: int = 1) -> Chat:
        """The history after so many turns."""
        talk = self.talk(text)
        for number in range(turns):
            went = await self.turn(talk)
            assert went.way == ("delta" if number else "full (`first`)")
            talk = went.talk
        return talk

    async def together(self, talks: Sequence[Chat], *, apart: bool = False) -> list[Went]:
        """The next turn of each: all are in flight at once, from one breath, or each begun before the next comes."""
        sim, told, struck = self.running.sim, len(self.running.creates()), len(self.running.sim.faults.struck)
        sim.faults.add(Fault("hang", "events", after=3, times=99, transport="ws"))  # a made-up id takes one, too
        tasks, asked = Tasks(), []
        for number, talk in enumerate(talks, 1):
            asked.append(tasks.start(self.running.ask(talk.body), "caller"))
            if apart or number == len(talks):
                await sim.until(lambda most=number: len(sim.faults.struck) == struck + most)  # type: ignore[misc] # its default
        sim.faults.clear()
        replies = [await each for each in asked]
        ran = [entry.prompt for entry in self.running.creates()[told:] if entry.prompt]
        assert Counter(ran) == Counter(map(prompt_of, talks))
        for _ in talks:
            await self.running.outcome()
        return [
            Went(way(reply.route, reply.reason, []), talk.followed(reply.output, TALK))
            for talk, reply in zip(talks, replies, strict=True)
        ]

    async def broken_off(self, talk: Chat) -> None:
        """A turn whose caller hangs up in the middle of the answer, while the model still speaks."""
        sim, struck = self.running.sim, len(self.running.sim.faults.struck)
        sim.faults.add(Fault("hang", "events", after=5, transport="ws"))
        asked = Tasks().start(self.running.ask(talk.body), "caller")
        await sim.until(lambda: len(sim.faults.struck) > struck)
        asked.cancel()
        await over(asked)
        await self.running.outcome()

    async def starts(self) -> None:
        """Another Openline, at the stage's port: it has a state file."""
        settings = msgspec.structs.replace(self.running.app.settings, listen=f"127.0.0.1:{self.port}")
        app = Openline(settings, self.running.outcomes.put_nowait)
        self.lives.push_async_callback(app.close)
        self.running = replace(self.running, app=app, base=await app.start())


def way(route: str, reason: str, sent: object) -> str:
    """How a turn went, in the words of the page; `sent` are the items that went upstream."""
    if reason:
        return f"{route} (`{reason}`)"
    items = msgspec.convert(sent, list[dict[str, object]])
    said = any(item.get("role") == "assistant" or item.get("type") in _SAID for item in items)
    return FURTHER_BACK if said else route


def says(talk: Chat, text: str) -> Chat:
    """The same history, with something else said last."""
    return replace(talk, items=(*talk.items[:-1], {"role": "user", "content": f"{text} [[rounds=0]]"}))


def changed(talk: Chat, index: int, **fields: object) -> Chat:
    """The same history, with another item at this place."""
    items = list(talk.items)
    items[index] = {**items[index], **fields}
    return replace(talk, items=tuple(items))


def asks(talk: Chat, text: str = TALK, *before: Item) -> Chat:
    """The history, and a question behind it."""
    return replace(talk, items=(*talk.items, *before, {"role": "user", "content": text}))
