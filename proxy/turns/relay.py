"""The relay: one turn's events from its lane to its caller, all that are ready in one write."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.config import Timeouts
from proxy.core.answer import Answer
from proxy.core.events import NAMES_RESPONSE, TERMINAL, Event, Kind, NotAnEvent, restored
from proxy.core.recovery import Fault
from proxy.core.refusal import Refusal, refusal
from proxy.errors import TurnFault
from proxy.turns.sink import Sink
from proxy.upstream.lease import Lease


@dataclass(slots=True)
class Relay:
    """The hot loop. `on_end` runs when the terminal event is there and before the caller gets it."""

    lease: Lease
    sink: Sink
    timeouts: Timeouts
    answer: Answer
    on_end: Callable[[], None]
    sequence: int = -1

    async def run(self, batch: Sequence[Event]) -> Refusal | None:
        """Relay from the first batch to the end. Returns the error that ended the stream, if one did.

        Raises:
            TurnFault: the line's end, silence, or a frame that is no event.
            CallerGone: the caller hung up, or is too slow.
        """
        while True:
            ready: list[Event] = []
            for event in batch:
                if event.kind is Kind.PASS:
                    ready.append(event)
                    continue
                if event.kind is Kind.ERROR:
                    return await self._break_off(event, ready)
                ready.append(self._mark(event))
                if event.kind in TERMINAL:
                    self.on_end()
                    await self._write(ready)
                    return None
            self.sequence += len(batch)
            await self._write(ready)
            batch = await self._next()

    def _mark(self, event: Event) -> Event:
        """Take in what the event says of the answer; give back what the caller is to see."""
        try:
            event = restored(event) if event.kind in NAMES_RESPONSE else event
            self.answer.see(event)
        except NotAnEvent as error:
            raise TurnFault(Fault.GARBAGE, str(error)) from error
        return event

    async def _break_off(self, event: Event, ready: list[Event]) -> Refusal:
        """An error in mid-stream: the turn ends with it."""
        said = refusal(event.frame)
        await self._write([*ready, said.in_stream(self.sequence + len(ready) + 1)])
        return said

    async def _write(self, events: list[Event]) -> None:
        if events and not self.sink.wants_json:
            await self.sink.write(events)

    async def _next(self) -> list[Event]:
        """The next batch. In the meantime a streaming caller is shown that the line is alive."""
        silent_until = time.monotonic() + self.timeouts.silence_seconds
        while True:
            left = silent_until - time.monotonic()
            try:
                return await self.lease.batch(min(left, self.timeouts.keepalive_seconds))
            except TimeoutError:
                if time.monotonic() >= silent_until:
                    raise TurnFault(Fault.SILENCE, f"{self.timeouts.silence_seconds:g} s of silence") from None
            if not self.sink.wants_json:
                await self.sink.keep_alive()
