"""The relay: one turn's events from its lane to its caller, in the same breath as the read that brought them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from proxy.config import Timeouts
from proxy.core.answer import Answer
from proxy.core.events import NAMES_RESPONSE, TERMINAL, Event, Kind, NotAnEvent, restored
from proxy.core.recovery import Fault
from proxy.core.refusal import Refusal, refusal
from proxy.errors import TurnFault
from proxy.turns.sink import CallerGone, Sink
from proxy.upstream.lease import Lease


@dataclass(slots=True)
class Relay:
    """The hot path: a read's events are written to the caller without a task being woken.

    `run` sleeps meanwhile: it wakes when the turn is over, when the caller does not keep up, and in silence.
    `on_end` runs when the terminal event is there and before the caller gets it.
    """

    lease: Lease
    sink: Sink
    timeouts: Timeouts
    answer: Answer
    on_end: Callable[[], None]
    sequence: int = -1
    _over: bool = False
    _refused: Refusal | None = None
    _failure: TurnFault | CallerGone | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _heard: float = field(default_factory=time.monotonic)
    _shown: float = 0.0
    """When the caller was last shown that the stream is alive."""

    async def run(self, batch: Sequence[Event]) -> Refusal | None:
        """Relay from the first batch to the end. Returns the error that ended the stream, if one did.

        Raises:
            TurnFault: the line's end, silence, or a frame that is no event.
            CallerGone: the caller hung up, or is too slow.
        """
        self.events(batch)
        try:
            while not self._over:
                if self.sink.full:
                    await self.sink.drain()
                self.lease.listen(self)
                await self._wait()
                self.lease.listen(None)
        finally:
            self.lease.listen(None)
        if self._failure:
            try:
                raise self._failure
            finally:
                self._failure = None  # by its traceback it would hold on to the turn
        return self._refused

    def events(self, events: Sequence[Event]) -> None:
        """Pass these on, all in one write."""
        if self._over:
            return
        self._heard = time.monotonic()
        ready: list[Event] = []
        try:
            for event in events:
                if event.kind is Kind.PASS:
                    ready.append(event)
                elif event.kind is Kind.ERROR:
                    self._break_off(event, ready)
                    return
                else:
                    ready.append(self._mark(event))
                    if event.kind in TERMINAL:
                        self.on_end()
                        self._write(ready)
                        self._end()
                        return
            self._write(ready)
        except (TurnFault, CallerGone) as failure:
            self._end(failure)

    def pieces(self, kind: str, frames: list[bytes]) -> None:
        """The same for events of one type that only pass: most of all."""
        if self._over:
            return
        self._heard = time.monotonic()
        self.sequence += len(frames)
        if self.sink.wants_json:
            return
        try:
            self.sink.write((Event(kind, Kind.PASS, frames[0], frames[1:]),))
        except CallerGone as failure:
            self._end(failure)
        if self.sink.full:
            self._news.set()

    def ended(self, fault: TurnFault) -> None:
        """The line's end."""
        self._end(fault)

    def _mark(self, event: Event) -> Event:
        """Take in what the event says of the answer; give back what the caller is to see."""
        try:
            event = restored(event) if event.kind in NAMES_RESPONSE else event
            self.answer.see(event)
        except NotAnEvent as error:
            raise TurnFault(Fault.GARBAGE, str(error)) from error
        return event

    def _break_off(self, event: Event, ready: list[Event]) -> None:
        """An error in mid-stream: the turn ends with it."""
        said = refusal(event.frame)
        before = self.sequence + sum(one.events for one in ready)
        self._write([*ready, said.in_stream(before + 1)])
        self._refused = said
        self._end()

    def _write(self, events: list[Event]) -> None:
        for event in events:
            self.sequence += event.events
        if events and not self.sink.wants_json:
            self.sink.write(events)
            if self.sink.full:
                self._news.set()

    def _end(self, failure: TurnFault | CallerGone | None = None) -> None:
        if not self._over:
            self._over, self._failure = True, failure
            self._news.set()

    async def _wait(self) -> None:
        """Until something is to be done. In silence a streaming caller is shown that the line is alive."""
        limits, now = self.timeouts, time.monotonic()
        silent_at = self._heard + limits.silence_seconds
        shown_at = max(self._heard, self._shown) + limits.keepalive_seconds
        try:
            async with asyncio.timeout(max(0.0, min(silent_at, shown_at) - now)):
                await self._news.wait()
                self._news.clear()
        except TimeoutError:
            now = time.monotonic()
            if now - self._heard >= limits.silence_seconds:
                raise TurnFault(Fault.SILENCE, f"{limits.silence_seconds:g} s of silence") from None
            if now - max(self._heard, self._shown) >= limits.keepalive_seconds and not self.sink.wants_json:
                self._shown = now
                self.sink.keep_alive()
