"""A sink: where a turn's answer goes. A turn does not know by which transport it came."""

from collections.abc import Sequence
from typing import Protocol

import aiohttp
from multidict import CIMultiDictProxy

from proxy.core.events import Event
from proxy.errors import Answer
from proxy.turns.outcome import Outcome


class CallerGone(Exception):
    """The caller hung up, or takes nothing any more."""


class Sink(Protocol):
    """One caller's end of a turn.

    Every call may raise CallerGone, and does so when the caller takes nothing for too long: a lane waits for it.
    """

    @property
    def wants_json(self) -> bool:
        """Whether only the final response counts: then nothing is delivered before it."""

    @property
    def full(self) -> bool:
        """Whether so much waits for the caller that he is to be waited for before more is written."""

    async def begin(self, outcome: Outcome) -> None:
        """The first event is there: the answer is a stream with status 200."""

    def write(self, events: Sequence[Event]) -> None:
        """Deliver events. It does not wait: see `full`."""

    async def drain(self) -> None:
        """Wait until the caller has taken most of what was written."""

    def keep_alive(self) -> None:
        """Show that the stream is alive while the upstream is silent."""

    async def end(self) -> None:
        """The stream is complete."""

    async def answer(self, answer: Answer, outcome: Outcome) -> None:
        """A complete answer, before anything else was delivered."""

    async def forward(self, response: aiohttp.ClientResponse, outcome: Outcome) -> None:
        """The upstream's answer over plain HTTP, as it comes."""

    def cut(self) -> None:
        """End the stream as a lost line would: visibly incomplete."""


class Onlooker(Protocol):
    """Sees an answer that is forwarded, each piece before the caller gets it. It raises nothing."""

    def answered(self, status: int, headers: CIMultiDictProxy[str]) -> None:
        """The answer's head is there."""

    def see(self, piece: bytes) -> None:
        """The next piece of the body, as it came."""

    def whole(self) -> None:
        """The body is whole."""
