"""An answer: what the model said in one turn, gathered from the streamed items and checked against the end."""

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from proxy.core.events import TERMINAL, Event, Kind, NotAnEvent, compact, loosely
from proxy.core.forms import client_side, forms, hidden, item_id, kind
from proxy.core.meaning import Object, Rules
from proxy.core.reasons import Whole
from proxy.core.spans import NotJson, Span, array_spans, object_fields, splice

_COMPACTION = frozenset({"compaction", "compaction_summary", "context_compaction"})


# A count; anything else is as odd as a text.
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None


class Usage(msgspec.Struct):
    """The tokens of one response, as the upstream counted them."""

    input_tokens: _Count = 0
    output_tokens: _Count = 0
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None

    @property
    def cached_tokens(self) -> int:
        """Input tokens that the provider had in its prompt cache."""
        return (self.input_tokens_details and self.input_tokens_details.cached_tokens) or 0

    @property
    def reasoning_tokens(self) -> int:
        """Output tokens that were reasoning."""
        return (self.output_tokens_details and self.output_tokens_details.reasoning_tokens) or 0


class _Final(msgspec.Struct):
    id: str = ""
    status: str | None = None
    store: bool | None = None
    usage: Usage | None = None
    output: list[msgspec.Raw] | None = None


class _Ended(msgspec.Struct):
    response: _Final


class _Item(msgspec.Struct):
    item: msgspec.Raw
    output_index: int


# What decoding raises: MsgspecError and UnicodeDecodeError are ValueErrors.
_ODD = (ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a response ended, and what can be continued from it."""

    response_id: str
    status: str
    stored: bool
    usage: Usage
    spoken: tuple[tuple[Object, ...], ...] = field(default=(), repr=False)
    """The forms in which a caller may send the output back; empty where nothing can be continued."""
    reason: Whole | None = None
    """Why nothing can be continued."""


@dataclass(slots=True)
class Answer:
    """The output of one turn while it streams."""

    added: set[int] = field(default_factory=set)
    done: dict[int, bytes] = field(default_factory=dict, repr=False)
    begun: Event | None = None
    ended: Event | None = None
    muddled: bool = False
    unread: bool = False
    """Whether an item came that could not be read: the stream cannot make up for an empty final output then."""

    def see(self, event: Event) -> None:
        """Take in an event that says what the answer is; others do not matter."""
        if event.kind in (Kind.ITEM_ADDED, Kind.ITEM_DONE):
            self._see_item(event)
        elif event.kind in TERMINAL:
            self.ended = event
        elif event.kind is Kind.NAMES_CHAIN:
            self.begun = event

    def _see_item(self, event: Event) -> None:
        try:
            item = msgspec.json.decode(event.frame, type=_Item)
        except _ODD:
            # The caller may know what to do with it; to continue from it would be a guess.
            self.muddled = self.unread = True
            return
        if event.kind is Kind.ITEM_ADDED:
            self.muddled |= item.output_index in self.added
            self.added.add(item.output_index)
        else:
            self.muddled |= item.output_index not in self.added or item.output_index in self.done
            self.done[item.output_index] = bytes(item.item)

    def failed(self, message: str, sequence_number: int) -> Event | None:
        """A `response.failed` for an answer that was cut off, made of how it began; None where it had not begun."""
        try:
            fields = object_fields(self.begun.frame) if self.begun else {}
            response = fields.get("response")
            text = self.begun.frame[response.start : response.end] if self.begun and response else b"{}"
            inner = {name: msgspec.Raw(text[start:end]) for name, (_, start, end) in object_fields(text).items()}
        except NotJson:
            return None
        if not inner:
            return None
        error = {"code": "server_error", "message": message}
        frame = {
            "type": "response.failed",
            "sequence_number": sequence_number,
            "response": {**inner, "status": "failed", "error": error},
        }
        return Event("response.failed", Kind.ENDED_SHORT, msgspec.json.encode(frame))

    @property
    def items(self) -> list[bytes]:
        """The items as streamed, in order."""
        return [self.done[index] for index in sorted(self.done)]

    @property
    def ids(self) -> list[str]:
        """The items' ids, in order; empty for an item without a usable one."""
        return [item_id(item) for item in self.items]

    @property
    def whole(self) -> bool:
        """Whether every item from the first was seen to begin and to end."""
        return not self.muddled and self.done.keys() == set(range(len(self.added)))

    def ending(self, rules: Rules) -> Ending:
        """What the terminal event says, and the forms of the output that the next turn may begin with."""
        if self.ended is None:
            raise NotAnEvent("the response has not ended")
        try:
            final = msgspec.json.decode(self.ended.frame, type=_Ended).response
        except _ODD:
            final = _Final()
        spoken, reason = self._spoken(final, rules)
        return Ending(
            final.id,
            final.status or self.ended.type.removeprefix("response."),
            final.store is True,
            final.usage or Usage(),
            spoken=spoken,
            reason=reason,
        )

    def _spoken(self, final: _Final, rules: Rules) -> tuple[tuple[tuple[Object, ...], ...], Whole | None]:
        reason = self._doubt(final, rules)
        if reason:
            return (), reason
        stored = final.store is True
        try:
            written = forms(self.items, [bytes(item) for item in final.output or []], rules, stored=stored)
        except _ODD:
            return (), Whole.UNCLEAR_OUTPUT
        if written:
            return written, None
        return (), Whole.UNCLEAR_OUTPUT if stored or not any(map(hidden, self.items)) else Whole.HIDDEN_REASONING

    def _doubt(self, final: _Final, rules: Rules) -> Whole | None:
        """Why what was streamed need not be all that the upstream remembers, if it need not."""
        if self.ended is None or self.ended.kind is not Kind.COMPLETED or final.status not in (None, "completed"):
            return Whole.UNFINISHED
        kinds = {kind(item) for item in self.items}
        if not self.whole or not final.id or "" in kinds or self._began_as_another(final.id):
            return Whole.UNCLEAR_OUTPUT
        if kinds & _COMPACTION:
            return Whole.COMPACTION
        hosted = not all(map(client_side, self.items))
        return Whole.HOSTED_TOOLS if hosted and rules.match != "relaxed" else None

    def _began_as_another(self, response_id: str) -> bool:
        """Whether the response that ended is not the one that began: then its items are of who knows which."""
        if self.begun is None:
            return False
        try:
            return msgspec.json.decode(self.begun.frame, type=_Ended).response.id not in ("", response_id)
        except _ODD:
            return True

    def response(self) -> bytes:
        """The final response object for a JSON caller: verbatim, its `output` from the stream where it came empty.

        Raises:
            NotAnEvent: the terminal event holds no response object, or the response has not ended.
        """
        if self.ended is None:
            raise NotAnEvent("the response has not ended")
        frame = self.ended.frame
        try:
            field = object_fields(frame)["response"]
            text = frame[field.start : field.end]
            output = object_fields(text).get("output")
            if output is None or not _hollow(text, Span(output.start, output.end)):
                return text
        except KeyError as error:
            raise NotAnEvent(f"{self.ended.type} without a response") from error
        except NotJson:
            return self._rewritten(frame)
        if self.unread:
            raise NotAnEvent("an item could not be read, and the response ends without its output")
        if not self.done:
            return text
        return splice(text, [(output.start, output.end, b"[" + b",".join(self.items) + b"]")])

    @staticmethod
    def _rewritten(frame: bytes) -> bytes:
        """The response of a frame that the strict parser does not take: written anew."""
        response = loosely(frame).get("response")
        if not isinstance(response, dict) or not response.get("output"):
            raise NotAnEvent("the response cannot be read")
        return compact(response)


def _hollow(text: bytes, place: Span) -> bool:
    """Whether the value there is null or an empty array. Raises NotJson where it is no array at all."""
    return text[place.start : place.end] == b"null" or not array_spans(text, place)
