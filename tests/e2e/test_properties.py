"""The main proof: whatever callers do, the model is given exactly what their own full requests spell out."""

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from proxy.config import Settings, Upstream
from proxy.simulator import Fault, render_request
from proxy.simulator.behaviour import CompletedOutput
from tests.e2e.stack import TOOLS, Body, Chat, Item, Reply, Stack, chat, comparable, prompt_of, stack
from tests.e2e.styles import FAITHFUL, STYLES, Style

# The host's traits are given: what an unknown host is asked first has tests of its own.
LIKE_OPENAI = Upstream(verifies_ids="yes", summaries_count="no")
DEEP = os.environ.get("OPENLINE_DEEP") == "1"
EXAMPLES, STEPS = (600, 50) if DEEP else (100, 25)

# Few, so that conversations often begin alike.
OPENINGS = (
    "Look things up. [[rounds=3 calls=2 reasoning=1 phase=1]]",
    "Look things up. [[rounds=2 calls=1 reasoning=2]]",
    "Say é ✓. [[rounds=0 reasoning=1 phase=1]]",
    "Search. [[rounds=1 hosted=1 reasoning=0]]",
)
CUSTOM: Item = {"type": "custom", "name": "shell"}
FREE: tuple[Mapping[str, object], ...] = (
    {"tool_choice": "none"},
    {"tool_choice": "auto"},
    {"tools": [*TOOLS, CUSTOM]},
    {"instructions": "Be terse."},
    {"instructions": None},
    {"temperature": 0.5},
    {"metadata": {"turn": "2"}},
    {"include": ["reasoning.encrypted_content"]},
    {"include": []},
    {"reasoning": {"effort": "high", "summary": "auto"}},
    {"text": {"verbosity": "low"}},
    {"max_output_tokens": 10},
    {"max_output_tokens": None},
)
BINDING: tuple[Mapping[str, object], ...] = (
    {"model": "gpt-5.5"},
    {"parallel_tool_calls": False},
    {"service_tier": "flex"},
    {"prompt_cache_key": "mine"},
    {"truncation": "auto"},
    {"truncation": None},
    {"store": True},
    {"store": None},
    {"store": False},
    {"a_field_of_tomorrow": {"b": 1, "a": None}},
)


@dataclass
class Talk:
    """A caller: its conversation, how it writes answers back, and the states that it may return to."""

    chat: Chat
    style: Style
    key: str
    stream: bool
    past: list[Chat] = field(default_factory=list)

    @property
    def body(self) -> Body:
        """Its next request."""
        body = self.chat.body
        return {**body, "stream": True} if self.stream else body

    def answered(self, output: Sequence[Item]) -> None:
        """Go on after an answer."""
        self.past.append(self.chat)
        self.chat = self.chat.followed(self.style(output))


@dataclass
class World:
    """What lives as long as the test: the stack, its loop, and what was seen of it."""

    runner: asyncio.Runner
    stack: Stack
    serial: Iterator[int] = field(default_factory=itertools.count)
    routes: Counter[str] = field(default_factory=Counter)
    stored: dict[str, Item] = field(default_factory=dict)

    def ask(self, talks: Sequence[Talk]) -> list[Reply]:
        """Send the next request of each at once through the proxy; check what the model was given and what came."""
        return self.runner.run(self._ask(talks))

    async def _ask(self, talks: Sequence[Talk]) -> list[Reply]:
        self.stack.sim.journal.clear()
        bodies = [talk.body for talk in talks]
        replies = await asyncio.gather(
            *(self.stack.ask(body, key=talk.key) for talk, body in zip(talks, bodies, strict=True))
        )
        given = set(self.stack.prompts())
        self.stack.sim.faults.clear()
        expected = set()
        for talk, body, reply in zip(talks, bodies, replies, strict=True):
            await self._compare(talk, body, reply)
            if reply.status == 200:
                expected.add(render_request(body, stored=self.stored))
                self.stored |= {str(item["id"]): item for item in reply.output if "id" in item}
                self.routes[reply.route] += 1
        assert given == expected
        return replies

    async def _compare(self, talk: Talk, body: Body, reply: Reply) -> None:
        direct = await self.stack.ask(body, key=talk.key, base=self.stack.direct)
        assert (reply.status, reply.streamed, reply.cut) == (direct.status, direct.streamed, direct.cut)
        if reply.status != 200:
            assert reply.error == direct.error
        elif reply.streamed:
            assert self._events(reply) == self._events(direct)
        else:
            assert self._response(reply.response) == self._response(direct.response)

    def _events(self, reply: Reply) -> list[dict[str, object]]:
        events = [msgspec.json.decode(frame, type=dict[str, object]) for frame in reply.frames]
        # Over a socket some hosts leave the output of the last event empty, or write it differently.
        shown = {} if self.stack.sim.behaviour.completed_output == "full" else {"output": None}
        for event in events:
            response = event.get("response")
            if isinstance(response, dict):
                event["response"] = {**self._response(response), **shown}
        return events

    def _response(self, response: Mapping[str, object]) -> dict[str, object]:
        shown = comparable(response)
        if self.stack.sim.behaviour.completed_output == "differing":
            del shown["output"]
        return shown

    def act(self, fault: Fault) -> None:
        """Let something happen to every open socket."""
        self.runner.run(self.stack.sim.strike(fault))


class Callers(RuleBasedStateMachine):
    """Some callers, and a host that forgets and drops."""

    talks = Bundle("talks")

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        # The keys of one example are its own: nothing of an earlier one can be continued.
        self.prefix = f"example-{next(self.world.serial)}"

    @initialize(
        output=st.sampled_from(["full", "empty", "differing"]),
        once=st.booleans(),
        status=st.sampled_from([400, 404]),
    )
    def host(self, output: CompletedOutput, once: bool, status: int) -> None:  # noqa: FBT001 - drawn by name
        """The host is one of those that the protocol allows."""
        sim = self.world.stack.sim
        sim.behaviour = replace(sim.behaviour, completed_output=output, once_only_parents=once, not_found_status=status)

    @rule(
        target=talks,
        opening=st.sampled_from(OPENINGS),
        style=st.sampled_from(sorted(STYLES)),
        stream=st.booleans(),
        key=st.sampled_from("ab"),
        encrypted=st.booleans(),
        store=st.sampled_from([False, None, True]),
    )
    def begin(
        self,
        opening: str,
        style: str,
        stream: bool,  # noqa: FBT001 - drawn by name
        key: str,
        encrypted: bool,  # noqa: FBT001 - drawn by name
        store: bool | None,  # noqa: FBT001 - drawn by name
    ) -> Talk:
        """A caller begins."""
        include = ["reasoning.encrypted_content"] if encrypted else []
        # Where the final response differs from the stream, JSON callers hold another encrypted_content by right.
        stream = stream or self.world.stack.sim.behaviour.completed_output == "differing"
        return Talk(chat(opening, include=include, store=store), STYLES[style], f"{self.prefix}-{key}", stream)

    @rule(talk=talks)
    def say(self, talk: Talk) -> None:
        """A caller takes its next turn."""
        self._say([talk])

    @rule(talk=talks, rounds=st.integers(2, 5))
    def loop(self, talk: Talk, rounds: int) -> None:
        """A caller takes some turns in a row."""
        for _ in range(rounds):
            self._say([talk])

    @rule(talks=st.lists(talks, min_size=2, max_size=4))
    def say_at_once(self, talks: list[Talk]) -> None:
        """Several callers take their turns at once; one of them may be in a hurry and ask twice."""
        self._say(talks)

    @rule(talk=talks, fault=st.sampled_from(["abort", "close", "forget", "age_limit"]))
    def lose(self, talk: Talk, fault: str) -> None:
        """The line goes, or the host forgets, when the create has arrived."""
        self.world.stack.sim.faults.add(Fault(fault, "start", transport="ws"))  # type: ignore[arg-type] # drawn from names
        self._say([talk])

    @rule(talk=talks)
    def retry(self, talk: Talk) -> None:
        """A caller asks again what it asked last."""
        if talk.past:
            self.world.ask([replace(talk, chat=talk.past[-1])])

    @rule(target=talks, talk=talks, back=st.integers(0, 4))
    def fork(self, talk: Talk, back: int) -> Talk:
        """A caller splits in two at some point of its history."""
        states = [*talk.past, talk.chat]
        at = max(0, len(states) - 1 - back)
        return replace(talk, chat=states[at], past=states[:at])

    @rule(talk=talks)
    def undo(self, talk: Talk) -> None:
        """A caller takes its last round back."""
        if talk.past:
            talk.chat = talk.past.pop()

    @rule(talk=talks, at=st.integers(0, 30), text=st.sampled_from(["edited", "é", ""]))
    def edit(self, talk: Talk, at: int, text: str) -> None:
        """A caller changes an item of its history."""
        items = list(talk.chat.items)
        at %= len(items)
        items[at] = _edited(items[at], text)
        talk.chat = replace(talk.chat, items=tuple(items))

    @rule(talk=talks, first=st.integers(1, 12))
    def truncate(self, talk: Talk, first: int) -> None:
        """A caller drops the oldest items; the host may refuse what is left."""
        if first < len(talk.chat.items):
            talk.chat = replace(talk.chat, items=talk.chat.items[first:])

    @rule(talk=talks, style=st.sampled_from(sorted(FAITHFUL)))
    def respell(self, talk: Talk, style: str) -> None:
        """A caller writes its whole history in another style, and goes on in it."""
        talk.style = STYLES[style]
        items = [item for old in talk.chat.items for item in (talk.style([old]) if _said(old) else [old])]
        talk.chat = replace(talk.chat, items=tuple(items))

    @rule(talk=talks, change=st.sampled_from(FREE) | st.sampled_from(BINDING))
    def set(self, talk: Talk, change: Mapping[str, object]) -> None:
        """A caller changes a setting."""
        talk.chat = talk.chat.set(**change)

    @rule(talk=talks, key=st.sampled_from("ab"))
    def change_key(self, talk: Talk, key: str) -> None:
        """A caller goes on with another credential."""
        talk.key = f"{self.prefix}-{key}"

    @rule(talk=talks)
    def change_stream(self, talk: Talk) -> None:
        """A caller wants a stream where it wanted JSON, or the other way round."""
        talk.stream = not talk.stream or self.world.stack.sim.behaviour.completed_output == "differing"

    @rule()
    def drop(self) -> None:
        """Every socket is reset."""
        self.world.runner.run(self.world.stack.sim.drop_connections())

    @rule()
    def forget(self) -> None:
        """The host forgets every response, stored ones too."""
        self.world.act(Fault("forget", "now"))

    def teardown(self) -> None:
        """No socket is left to the next example."""
        self.drop()

    def _say(self, talks: Sequence[Talk]) -> None:
        replies = self.world.ask(talks)
        answered: list[Talk] = []
        for talk, reply in zip(talks, replies, strict=True):
            if any(talk is other for other in answered):
                continue
            answered.append(talk)
            if reply.status == 200:
                talk.answered(reply.output)
            elif talk.past:
                talk.chat = talk.past.pop()
            else:
                talk.chat = chat(OPENINGS[0])


def _said(item: Item) -> bool:
    return item.get("type") in {"reasoning", "function_call", "custom_tool_call"} or item.get("role") == "assistant"


def _edited(item: Item, text: str) -> Item:
    """The item with other words."""
    if "output" in item:
        return {**item, "output": text}
    if "arguments" in item:
        return {**item, "arguments": msgspec.json.encode({"key": text}).decode()}
    if item.get("role") == "user":
        return {**item, "content": text}
    if isinstance(item.get("content"), list):
        return {**item, "content": [{"type": "output_text", "text": text}]}
    return {**item, "phase": "commentary"} if item.get("role") == "assistant" else item


@pytest.fixture(params=["on", "off"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A stack with or without lanes, in a loop of its own: hypothesis drives it from outside."""
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        upstream = msgspec.structs.replace(LIKE_OPENAI, lanes=request.param)
        running = runner.run(opened.enter_async_context(stack(settings=Settings(upstream=upstream))))
        try:
            yield World(runner, running)
        finally:
            runner.run(opened.aclose())


@pytest.mark.timeout(3_600 if DEEP else 60)
def test_the_model_is_given_what_the_caller_spelled_out(world: World) -> None:
    """In any history of callers and faults, every prompt and every answer is that of the caller's own full request."""

    class CallersHere(Callers):
        """The callers of this world."""

    CallersHere.world = world
    run_state_machine_as_test(
        CallersHere,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=list(Phase) if DEEP else [Phase.generate],  # shrinking has no limit that fits a budget
            derandomize=not DEEP,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # Without deltas the property would hold of itself.
    assert world.routes["delta"] > world.routes.total() / 5


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("style", sorted(FAITHFUL))
async def test_a_loop_sends_deltas_after_its_first_turn(style: str, *, stream: bool) -> None:
    """An agent that writes answers back as a real client does has every turn but its first sent as a delta."""
    talk = chat(include=["reasoning.encrypted_content"], stream=stream)
    routes = []
    async with stack(settings=Settings(upstream=LIKE_OPENAI)) as running:
        for _ in range(6):
            reply = await running.ask(talk.body)
            routes.append(reply.route)
            talk = talk.followed(FAITHFUL[style](reply.output))
    assert routes == ["full", *["delta"] * 5]


@pytest.mark.parametrize("lanes", ["on", "off"])
async def test_agents_that_begin_alike_all_get_deltas(lanes: Literal["on", "off"]) -> None:
    """Four agents with the same history, turn by turn at once, each have a line of their own to go on with."""
    talks = [chat(include=["reasoning.encrypted_content"])] * 4
    async with stack(settings=Settings(upstream=msgspec.structs.replace(LIKE_OPENAI, lanes=lanes))) as running:
        for turn in range(5):
            replies = await asyncio.gather(*(running.ask(talk.body) for talk in talks))
            assert [reply.route for reply in replies] == ["delta" if turn else "full"] * 4
            assert running.prompts()[-4:] == [prompt_of(talks[0])] * 4
            talks = [talk.followed(reply.output) for talk, reply in zip(talks, replies, strict=True)]
