"""A stack: a real simulator, a real proxy in front of it and a plain HTTP caller, all in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import aiohttp
import msgspec

from proxy.config import Settings
from proxy.server.app import Openline
from proxy.simulator import Behaviour, Entry, Simulator, render_request
from proxy.turns.outcome import Outcome

Item: TypeAlias = Mapping[str, object]
Body: TypeAlias = dict[str, object]

TOOLS: list[Item] = [
    {
        "type": "function",
        "name": "lookup",
        "parameters": {
            "type": "object",
            "properties": {"key": {"type": "string"}, "n": {"type": "integer"}},
            "required": ["key", "n"],
        },
    }
]
_SECONDS = 20.0
_CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}


class _Event(msgspec.Struct):
    """The parts of an event that a caller keeps."""

    type: str
    item: dict[str, object] = {}
    response: dict[str, object] = {}


@dataclass(frozen=True)
class Reply:
    """What a caller got. `cut`: the line ended without the last chunk."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False

    @property
    def route(self) -> str:
        """How the proxy says that it went."""
        return self.headers.get("x-openline-route", "")

    @property
    def reason(self) -> str:
        """Why it did not go as a delta."""
        return self.headers.get("x-openline-reason", "")

    @property
    def frames(self) -> list[bytes]:
        """The JSON of each event of a stream."""
        return [line.removeprefix(b"data: ") for line in self.body.split(b"\n") if line.startswith(b"data: ")]

    @property
    def events(self) -> list[_Event]:
        """The events of a stream."""
        return [msgspec.json.decode(frame, type=_Event) for frame in self.frames]

    @property
    def types(self) -> list[str]:
        """The types of the events, in order."""
        return [event.type for event in self.events]

    @property
    def streamed(self) -> bool:
        """Whether it is a stream of events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def response(self) -> dict[str, object]:
        """The final response object; of a stream, that of the last event."""
        return self.events[-1].response if self.streamed else msgspec.json.decode(self.body, type=dict[str, object])

    @property
    def output(self) -> list[Item]:
        """The model's items; of a stream, as the SDKs gather them from it."""
        if self.streamed:
            return [event.item for event in self.events if event.type == "response.output_item.done"]
        return list(msgspec.convert(self.response.get("output") or [], type=list[dict[str, object]]))

    @property
    def error(self) -> dict[str, object]:
        """The error object of an answer that is no response."""
        return msgspec.json.decode(self.body, type=dict[str, dict[str, object]])["error"]


@dataclass
class Stack:
    """The simulator, the proxy's and the simulator's base URL, and the outcomes that the proxy reported."""

    sim: Simulator
    app: Openline
    base: str
    direct: str
    session: aiohttp.ClientSession
    outcomes: "asyncio.Queue[Outcome]" = field(default_factory=asyncio.Queue)

    async def ask(
        self, body: Body, *, key: str = "k", headers: Mapping[str, str] | None = None, base: str | None = None
    ) -> Reply:
        """One create through the proxy (or at `base`)."""
        return await self.ask_raw(msgspec.json.encode(body), key=key, headers=headers, base=base)

    async def ask_raw(
        self, raw: bytes, *, key: str = "k", headers: Mapping[str, str] | None = None, base: str | None = None
    ) -> Reply:
        """One create with exactly these bytes."""
        sent = {"authorization": f"Bearer {key}", "content-type": "application/json", **(headers or {})}
        chunks: list[bytes] = []
        cut = False
        async with self.session.post(f"{base or self.base}/responses", data=raw, headers=sent) as response:
            try:
                while chunk := await response.content.readany():
                    chunks.append(chunk)
            except aiohttp.ClientPayloadError:
                cut = True
            return Reply(response.status, {k.lower(): v for k, v in response.headers.items()}, b"".join(chunks), cut)

    async def outcome(self) -> Outcome:
        """The next outcome that the proxy reported."""
        return await asyncio.wait_for(self.outcomes.get(), _SECONDS)

    def prompts(self) -> list[str]:
        """The prompts that the model was given, oldest first."""
        return [entry.prompt for entry in self.sim.journal if entry.prompt is not None]

    def creates(self) -> list[Entry]:
        """The creates that came over a socket, without the question that unknown hosts are asked."""
        return [entry for entry in self.sim.journal if entry.transport == "ws" and entry.generate]


class Relay(Protocol):
    """What can stand between the proxy and the simulator."""

    async def start(self, base: str) -> str:
        """Listen in front of `base`. Returns the base URL to use instead."""

    async def close(self) -> None:
        """Stop listening and end every connection."""


@contextlib.asynccontextmanager
async def stack(
    behaviour: Behaviour | None = None, settings: Settings | None = None, *, link: Relay | None = None
) -> AsyncIterator[Stack]:
    """Start a stack; `link` goes between the two. The settings' listener and upstream URL are set here."""
    async with (
        Simulator(behaviour) as sim,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session,
    ):
        direct = await sim.start()
        outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        settings = settings or Settings()
        url = await link.start(direct) if link else direct
        upstream = msgspec.structs.replace(settings.upstream, url=url)
        app = Openline(msgspec.structs.replace(settings, listen="127.0.0.1:0", upstream=upstream), outcomes.put_nowait)
        try:
            yield Stack(sim, app, await app.start(), direct, session, outcomes)
        finally:
            await app.close()
            if link:
                await link.close()


@dataclass(frozen=True)
class Chat:
    """A conversation as a caller without state keeps it: settings, and every item so far."""

    items: tuple[Item, ...]
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def body(self) -> Body:
        """The next request."""
        encrypted = {"include": ["reasoning.encrypted_content"]}  # or what is not stored could not be sent back
        own = {"model": "gpt-5.4", "store": False, "tools": TOOLS, **encrypted, **self.settings}
        return {**own, "input": list(self.items)}

    def set(self, **settings: object) -> "Chat":
        """The same conversation under other settings."""
        return replace(self, settings={**self.settings, **settings})

    def followed(self, output: list[Item], follow_up: str = "go on") -> "Chat":
        """The history after an answer: its items, then an output for each call, or what the user says next."""
        results = [
            {"type": _CALLS[str(item["type"])], "call_id": item["call_id"], "output": f"result of {item['call_id']}"}
            for item in output
            if item.get("type") in _CALLS
        ]
        said: list[Item] = [*results] or [{"role": "user", "content": follow_up}]
        return replace(self, items=(*self.items, *output, *said))


def chat(text: str = "Look things up. [[rounds=3 calls=2 reasoning=1 phase=1]]", **settings: object) -> Chat:
    """A conversation that begins."""
    return Chat(({"role": "user", "content": text},), settings)


async def begun(running: Stack, talk: Chat) -> Chat:
    """The history after a first turn that went well, in full."""
    reply = await running.ask(talk.body)
    assert (reply.status, reply.route, reply.cut) == (200, "full", False)
    await running.outcome()
    return talk.followed(reply.output)


async def goes_on(running: Stack, talk: Chat, route: str = "delta", reason: str = "") -> tuple[Chat, Outcome]:
    """The next turn goes by this route, with the context and the answer that its full request spells out."""
    reply = await running.ask(talk.body)
    assert (reply.status, reply.route, reply.reason, reply.cut) == (200, route, reason, False)
    assert running.prompts()[-1] == prompt_of(talk)
    assert reply.output == (await running.ask(talk.body, base=running.direct)).output
    return talk.followed(reply.output), await running.outcome()


def prompt_of(conversation: Chat) -> str:
    """What the model must be given for the conversation's next request."""
    return render_request(conversation.body)


def comparable(response: Mapping[str, object]) -> dict[str, object]:
    """A response without what differs between any two answers to the same request."""
    usage = response.get("usage")
    counts = {key: usage[key] for key in ("input_tokens", "output_tokens")} if isinstance(usage, dict) else None
    own = {"id", "created_at", "completed_at"}
    return {**{key: value for key, value in response.items() if key not in own}, "usage": counts}
