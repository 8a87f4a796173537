"""A sink: where a turn's answer goes. A turn does not know by which transport it came."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

import aiohttp

from proxy.core.events import Event
from proxy.errors import Answer
from proxy.turns.outcome import Outcome


class CallerGone(Exception):
    """The caller hung up, or takes nothing any more."""


class Sink(Protocol):
    """One caller's end of a turn. Every call may raise CallerGone."""

    @property
    def wants_json(self) -> bool:
        """Whether only the final response counts: then nothing is delivered before it."""

    async def begin(self, outcome: Outcome) -> None:
        """The first event is there: the answer is a stream with status 200."""

    async def write(self, events: Sequence[Event]) -> None:
        """Deliver events."""

    async def keep_alive(self) -> None:
        """Show that the stream is alive while the upstream is silent."""

    async def end(self) -> None:
        """The stream is complete."""

    async def answer(self, answer: Answer, outcome: Outcome) -> None:
        """A complete answer, before anything else was delivered."""

    async def forward(self, response: aiohttp.ClientResponse, outcome: Outcome) -> None:
        """The upstream's answer over plain HTTP, as it comes."""

    def cut(self) -> None:
        """End the stream as a lost line would: visibly incomplete."""


class PatientSink:
    """A sink whose caller has limited time to take each piece: who takes nothing holds no lane."""

    def __init__(self, sink: Sink, seconds: float) -> None:
        self._sink = sink
        self._seconds = seconds

    @property
    def wants_json(self) -> bool:
        """Whether only the final response counts."""
        return self._sink.wants_json

    async def begin(self, outcome: Outcome) -> None:
        """The first event is there."""
        await self._within(self._sink.begin(outcome))

    async def write(self, events: Sequence[Event]) -> None:
        """Deliver events."""
        await self._within(self._sink.write(events))

    async def keep_alive(self) -> None:
        """Show that the stream is alive."""
        await self._within(self._sink.keep_alive())

    async def end(self) -> None:
        """The stream is complete."""
        await self._within(self._sink.end())

    async def answer(self, answer: Answer, outcome: Outcome) -> None:
        """A complete answer."""
        await self._within(self._sink.answer(answer, outcome))

    async def forward(self, response: aiohttp.ClientResponse, outcome: Outcome) -> None:
        """The upstream's answer over plain HTTP: no lane waits for it."""
        await self._sink.forward(response, outcome)

    def cut(self) -> None:
        """End the stream as a lost line would."""
        self._sink.cut()

    async def _within(self, call: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await call
        except TimeoutError as error:
            raise CallerGone(f"the caller took nothing for {self._seconds:g} s") from error
