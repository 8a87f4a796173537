"""Turn: one create from its arrival to its terminal event, by whichever transport it came."""

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import Protocol

from proxy.simulator import events, validation
from proxy.simulator.errors import ApiError, RefusedError, not_found, not_persisted
from proxy.simulator.faults import Fault
from proxy.simulator.host import Host
from proxy.simulator.images import policy
from proxy.simulator.journal import Entry
from proxy.simulator.memory import Memory, Remembered, Stored
from proxy.simulator.model import Answer, Status
from proxy.simulator.prompt import Item, items_of, reference, render, resolve
from proxy.simulator.response import Response, Usage
from proxy.simulator.steering import Steering


class Sink(Protocol):
    """Where a turn's events go."""

    async def event(self, event: Item, *, terminal: bool) -> None:
        """Send one event."""
        ...

    async def error(self, error: ApiError, sequence_number: int) -> None:
        """End the turn with an error, before (`sequence_number` 0) or after its first event."""
        ...

    async def strike(self, fault: Fault) -> bool:
        """Let a fault of the transport happen; True when that ended the turn."""
        ...


@dataclass(frozen=True)
class _Said:
    """An answer ready to be sent."""

    response: Response
    answer: Answer
    context: tuple[Item, ...]


class Turn:
    """Runs one create, once `order` lets it.

    `memory` is its connection's, and so is `steering`; None over HTTP, where only stored responses are known and
    nothing can be steered.
    """

    def __init__(
        self,
        host: Host,
        entry: Entry,
        memory: Memory | None,
        sink: Sink,
        order: AbstractAsyncContextManager[None] | None = None,
        steering: Steering | None = None,
    ) -> None:
        self._order = order or nullcontext()
        self._host = host
        self._entry = entry
        self._memory = memory
        self._sink = sink
        self._steering = steering or Steering()
        self._continues = False
        self._sent = 0
        self._body: Item = entry.body or {}

    async def run(self) -> None:
        """Answer the create, then the successors that steering starts, before the lane goes on to its next create.

        Cancelling it means that the line is gone: the journal then says `cut`.
        """
        turn: Turn | None = self
        async with AsyncExitStack() as lane:
            while turn is not None:
                await turn.take(lane)
                turn = turn.successor()

    async def take(self, lane: AsyncExitStack) -> None:
        """Answer this create alone, and leave the lane in the hands of `lane`."""
        fault = self._host.faults.of_turn(self._entry.transport)
        arrives = 0.0 if self._entry.successor else self._host.crossing(self._entry.size)
        try:
            await lane.enter_async_context(self._order)
            await self._host.until(arrives)
            try:
                await self._answer(fault)
            except RefusedError as refused:
                await self._refuse(refused.error)
        finally:
            if self._entry.outcome == "running":
                self._note(outcome="cut")
            self._host.saw(self._entry)

    def successor(self) -> "Turn | None":
        """The turn that follows by itself with the input that steered this one, journaled; None when there is none."""
        if not self._continues:
            return None
        entry = self._entry.followed_by(self._host.journal.next_number())
        self._host.journal.add(entry)
        return Turn(self._host, entry, self._memory, self._sink, steering=self._steering)

    async def _answer(self, fault: Fault | None) -> None:
        self._check()
        self._context()
        await asyncio.sleep(self._host.behaviour.think_seconds)
        if fault is None or fault.where != "start":
            await self._send(self._begin(None), fault)
            return
        ending = await self._strike(fault)
        if ending != "gone":
            await self._send(self._begin(_ended_by(fault, ()) if ending else None), None)

    def _check(self) -> None:
        validation.check_fields(self._body)
        validation.check_items(self._body.get("input"))
        if self._entry.transport == "ws":
            validation.check_frame(self._body)

    def _context(self) -> tuple[Item, ...]:
        """The items of the context; RefusedError when what it builds on is not known (any more)."""
        new = resolve(items_of(self._body.get("input")), self._host.store.items)
        for item in new:
            if (missing := reference(item)) is not None:
                raise RefusedError(ApiError(404, f"Item with id '{missing}' not found.", None, "input"))
            if (gone := self._host.store.lacks(item)) is not None:
                raise RefusedError(not_persisted(gone))
        previous = self._entry.previous_response_id
        base = self._find(previous) if previous is not None else ()
        context = (*(base or ()), *self._steering.waiting(self._entry), *new)
        if base is not None:
            validation.check_pairs(context)
        return context

    def _find(self, previous: str) -> Sequence[Item] | None:
        """The items of the context so far; None where a lenient host has lost it and goes on without a word."""
        found = self._memory.find(previous) if self._memory else None
        if found is None and (stored := self._host.store.find(previous)):
            found = stored.remembered
        if found is not None and not self._host.consumed(previous):
            return found.items
        if self._host.behaviour.lenient_ids:
            return None
        raise RefusedError(not_found(previous, self._host.behaviour.not_found_status))

    def _begin(self, instead: Answer | None) -> _Said:
        """The response starts: its context is taken now, and the lane moves on if this host is that strict."""
        behaviour, entry = self._host.behaviour, self._entry
        context = self._context()
        if entry.previous_response_id is not None:
            self._host.consume(entry.previous_response_id)
            if behaviour.once_only_parents and self._memory:
                self._memory.consume(entry.previous_response_id)
        if behaviour.parent_gone_at == "next_created" and self._memory:
            self._memory.move_on(entry.lane, None)
        store = self._body.get("store") is not False and behaviour.honours_store
        images = policy(self._body, context, entry.transport)
        response = Response(f"resp_{secrets.token_hex(24)}", self._body, store, int(time.time()), images=images)
        answer, prompt = Answer(()), None
        if entry.generate:
            prompt = render(self._body, context, summaries_count=behaviour.summaries_count)
            answer = behaviour.model.answer(prompt, self._body, context)
        self._note(context=context, prompt=prompt, response_id=response.id, steered=self._steering.waiting(entry))
        self._steering.begin(response.id, entry, self._event)
        return _Said(response, instead or answer, context)

    async def _send(self, said: _Said, fault: Fault | None) -> None:
        stream = [*events.opening(said.response)]
        stream += events.output_events(said.answer.output, self._host.behaviour.delta_chars)
        for position, event in enumerate(stream):
            if fault and position == fault.position(len(stream) + 1):
                ending, struck, fault = await self._strike(fault), fault, None
                if ending == "gone":
                    return
                if ending is not None:
                    said = replace(said, answer=_ended_by(struck, stream[:position]))
                    break
            if self._stops(said, event):
                del stream[position:]
                said = replace(said, answer=Answer(list(_whole_items(stream)), "incomplete", "steered"))
                break
            await self._event(event)
        if fault and len(stream) == fault.position(len(stream) + 1):
            ending = await self._strike(fault)
            if ending == "gone":
                return
            said = replace(said, answer=_ended_by(fault, stream)) if ending else said
        await self._finish(said)
        if fault and fault.where == "end":
            self._continues = await self._strike(fault) != "gone" and self._continues

    def _stops(self, said: _Said, event: Item) -> bool:
        """Whether steering stops the response before this event: only where an item would begin."""
        if event["type"] != "response.output_item.added":
            return False
        begins = event["output_index"]
        return isinstance(begins, int) and self._steering.stops(said.response.id, said.answer.output[:begins])

    async def _finish(self, said: _Said) -> None:
        """Remember the response, journal it, then send the terminal event: the caller may be quick."""
        answer, usage = said.answer, Usage()
        if self._entry.prompt is not None:
            usage = self._host.prompt_cache.usage(self._body, self._entry.prompt, answer.output)
        response = said.response.ended(answer.status, answer.output, usage)
        if answer.status == "failed":
            response = replace(response, error={"code": answer.error_code, "message": answer.error_message})
        elif answer.status == "incomplete":
            response = replace(response, incomplete_reason=answer.reason)
        self._remember(response, said.context)
        self._note(outcome=answer.status)
        told, self._continues = self._steering.end(response)
        await self._event(events.terminal(response, self._shown(response)), terminal=True)
        for event in told:
            await self._event(event)

    def _remember(self, response: Response, context: tuple[Item, ...]) -> None:
        remembered = Remembered(response.id, (*context, *response.output))
        failed = response.status == "failed"
        if self._memory:
            self._memory.move_on(self._entry.lane, None if failed else remembered)
            if self._host.forgets(response.id):
                self._memory.consume(response.id)
        if response.store and not failed:
            self._host.store.add(Stored(remembered, response.described(), context))
        elif not response.store:
            self._host.store.pass_by(response.output)

    def _shown(self, response: Response) -> Sequence[Item] | None:
        """The output list of the terminal event, which some servers leave empty or write differently."""
        how = self._host.behaviour.completed_output
        if self._entry.transport == "http" or how == "full":
            return None
        return () if how == "empty" else [events.rewritten(item) for item in response.output]

    async def _event(self, event: Item, *, terminal: bool = False) -> None:
        if "delta" in event:
            await asyncio.sleep(self._host.behaviour.event_seconds)
        numbered = {**event, "sequence_number": self._sent}
        options = self._body.get("stream_options")
        if not (isinstance(options, dict) and options.get("include_obfuscation") is False):
            numbered = events.obfuscate(numbered, self._sent)
        self._sent += 1
        await self._sink.event(numbered, terminal=terminal)

    async def _strike(self, fault: Fault) -> str | None:
        """Let the fault happen: `gone` when the turn is over, a status when it is to end with that."""
        self._host.faults.strike(fault)
        if fault.what == "error":
            await self._refuse(fault.error())
            return "gone"
        if fault.what in {"failed", "incomplete"}:
            return fault.what
        if fault.what == "delay":
            await asyncio.sleep(fault.seconds)
        elif fault.what == "hang":
            await self._host.faults.hang()
        elif fault.what == "forget":
            self._host.forget()
        elif await self._sink.strike(fault):
            return "gone"
        return None

    async def _refuse(self, error: ApiError) -> None:
        """The turn is answered with an error: what it wanted to continue on its own lane is gone."""
        if self._memory and self._entry.previous_response_id is not None:
            self._memory.evict(self._entry.previous_response_id, self._entry.lane)
        self._note(outcome="failed" if self._sent else "rejected", status=error.status, error_code=error.code)
        told = self._steering.refuse(self._entry)
        if self._sent or not self._entry.successor:  # nobody sent a create that this error could answer
            await self._sink.error(error, self._sent)
        for event in told:
            await self._event(event)

    def _note(self, **news: object) -> None:
        self._entry = self._host.journal.note(self._entry, **news)


def _ended_by(fault: Fault, sent: Sequence[Item]) -> Answer:
    """The answer when a fault ends it after these events: only whole items count."""
    status: Status = "failed" if fault.what == "failed" else "incomplete"
    code = fault.code or "server_error"
    return Answer(list(_whole_items(sent)), status, error_code=code, error_message=fault.message)


def _whole_items(sent: Sequence[Item]) -> Iterator[Item]:
    for event in sent:
        item = event.get("item")
        if event["type"] == "response.output_item.done" and isinstance(item, dict):
            yield item
