"""A far end: what the upstream of one socket remembers and does, by protocol.md alone, with nothing of the core."""

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple, TypeAlias

import msgspec

Items: TypeAlias = tuple[str, ...]
"""The JSON of each item."""
Ending: TypeAlias = Literal["completed", "incomplete", "failed", "error", "nameless error", "error, then failed"]

# "At most 16 responses in flight per connection, at most 32 different named lanes in a connection's life."
_MOST_RUNNING = 16
_MOST_NAMED = 32


class Stage(IntEnum):
    """How far a create has come."""

    ON_ITS_WAY = 0
    QUEUED = 1
    CREATED = 2
    RUNNING = 3
    ENDED = 4


class _Create(msgspec.Struct):
    input: list[msgspec.Raw]
    generate: bool = True
    stream_id: str | None = None
    previous_response_id: str | None = None
    store: bool = True


def spelled(item: object) -> str:
    """An item as the caller and the upstream both spell it."""
    return msgspec.json.encode(item).decode()


def answer(context: Items) -> str:
    """What the model says to a context: a text or a call, the same to the same."""
    number = sum(map(ord, context[-1])) + len(context)
    if number % 3:
        return spelled({"type": "message", "role": "assistant", "content": f"answer {number % 5}"})
    return spelled({"type": "function_call", "call_id": f"c{number}", "name": "f", "arguments": "{}"})


@dataclass(eq=False)
class Create:
    """One create, and what became of it."""

    id: str
    lane: str | None
    previous: str | None
    items: Items
    store: bool
    asks: bool = False
    """Whether it names a made-up id, to see what the host makes of that."""
    stage: Stage = Stage.ON_ITS_WAY
    context: Items | None = None
    """What it continues, from the moment when that is held for it, and its own items."""
    ending: Ending | Literal["not found", ""] = ""
    refused: bool = False
    """Whether the first that was said of it is an error."""

    @property
    def point(self) -> Items:
        """What its response stands for."""
        assert self.context is not None
        return (*self.context, answer(self.context))


class Kept(NamedTuple):
    """A response that can be continued."""

    id: str
    items: Items


@dataclass
class Cloud:
    """The host behind all its connections: it numbers the responses, and has those that are stored."""

    count: int = 0
    stored: dict[str, Items] = field(default_factory=dict)


@dataclass(eq=False)
class FarEnd:
    """One connection's. What is written arrives in its order, and what it says is read in its order.

    A lane's latest response is held until the create that follows on the lane has ended or, where `hasty`, until it is
    created: a fork has its parent's context only once it is in progress.
    """

    cloud: Cloud
    lanes: bool
    hasty: bool
    most_named: int = _MOST_NAMED
    latest: dict[str | None, Kept] = field(default_factory=dict)
    queues: dict[str | None, deque[Create]] = field(default_factory=dict)
    coming: deque[Create] = field(default_factory=deque)
    said: deque[tuple[bytes, Create]] = field(default_factory=deque)
    own: set[str] = field(default_factory=set)

    def write(self, frame: bytes) -> Create:
        """The proxy writes a create."""
        create = msgspec.json.decode(frame, type=_Create)
        self.cloud.count += 1
        name = create.stream_id if self.lanes else None
        items = tuple(spelled(msgspec.json.decode(bytes(item))) for item in create.input)
        asks = not create.generate
        one = Create(f"r{self.cloud.count}", name, create.previous_response_id, items, create.store, asks)
        self.coming.append(one)
        return one

    def read(self) -> Create | None:
        """The next create arrives: it keeps to every limit, and names an id of this connection, or a stored one."""
        if not self.coming:
            return None
        create = self.coming.popleft()
        known = self.own | self.cloud.stored.keys()
        assert create.asks or create.previous is None or create.previous in known, "an id crossed over"
        queue = self.queues.setdefault(create.lane, deque())
        assert all(other.asks for other in queue), "two turns on one lane"
        queue.append(create)
        assert sum(map(bool, self.queues.values())) <= _MOST_RUNNING, "too many in flight"
        assert len(self.queues) <= self.most_named, "too many lanes"
        create.stage = Stage.QUEUED
        return create

    def step(self, create: Create, ending: Ending, *, queued: bool = False) -> None:
        """One step on. What was asked before it on its lane is answered first."""
        while self.queues[create.lane][0] is not create:
            self._end(self.queues[create.lane][0], "not found")
        if create.stage is Stage.QUEUED and queued:
            self._say(create, "response.queued")
        elif "error" in ending and create.stage is Stage.QUEUED:
            self._end(create, ending)  # refused
        elif create.stage is Stage.QUEUED:
            self._begin(create)
        elif create.stage is Stage.CREATED:
            self._run(create)
        else:
            self._say(create, "response.output_text.delta")
            self._end(create, ending)

    def _begin(self, create: Create) -> None:
        """Created. What it continues on its own lane nobody takes from it; a fork's parent must be there, no more."""
        found = self._find(create.previous)
        own = self.latest.get(create.lane)
        if found is None:
            self._end(create, "not found")
            return
        if create.previous is None or (own and own.id == create.previous):
            create.context = (*found, *create.items)
        create.stage = Stage.CREATED
        if self.hasty:
            self.latest.pop(create.lane, None)
        self._say(create, "response.created")

    def _run(self, create: Create) -> None:
        """In progress: from here on it has its context."""
        if create.context is None:
            found = self._find(create.previous)
            if found is None:
                self._end(create, "not found")
                return
            create.context = (*found, *create.items)
        create.stage = Stage.RUNNING
        self._say(create, "response.in_progress")

    def _find(self, name: str | None) -> Items | None:
        if name is None:
            return ()
        held = next((kept.items for kept in self.latest.values() if kept.id == name), None)
        return held or self.cloud.stored.get(name)

    def _end(self, create: Create, ending: Ending | Literal["not found"]) -> None:
        began = create.stage is Stage.RUNNING
        create.refused = create.stage is Stage.QUEUED and ending not in ("completed", "failed", "incomplete")
        create.stage, create.ending = Stage.ENDED, ending
        assert self.queues[create.lane].popleft() is create
        own = self.latest.get(create.lane)
        if ending == "not found" or "error" in ending:
            # "A continuation on the same lane that is answered with a 4xx/5xx evicts the id that it named."
            if own and (own.id == create.previous or began):
                del self.latest[create.lane]
            self._refuse(create, ending)
            return
        self.latest.pop(create.lane, None)
        if ending == "completed":
            self.latest[create.lane] = Kept(create.id, create.point)
            self.own.add(create.id)
            if create.store:
                self.cloud.stored[create.id] = create.point
        self._say(create, f"response.{ending}")

    def _refuse(self, create: Create, ending: str) -> None:
        code = "previous_response_not_found" if ending == "not found" else "rate_limit_exceeded"
        name = None if ending == "nameless error" else create.lane
        self._say(create, "error", name=name, error={"code": code, "message": "no"})
        if ending == "error, then failed":
            self._say(create, "response.failed")

    def _say(self, create: Create, kind: str, *, name: str | None = "", **fields: object) -> None:
        name = create.lane if name == "" else name
        lane = {"stream_id": name} if name else {}
        self.said.append((msgspec.json.encode({"type": kind, **lane, **fields}), create))
