"""An answer: what the model said in one turn, gathered from the streamed items and checked against the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Annotated

import msgspec

from proxy.core.events import Event, Kind, NotAnEvent
from proxy.core.meaning import Ambiguous, Object, Rules, meaning
from proxy.core.reasons import Whole
from proxy.core.spans import NotJson, Span, array_spans, object_fields, splice

# Items that hold all that the model is given of them. Any other item is one that the upstream made or ran itself:
# what it remembers of it need not be what it told.
_CLIENT_SIDE = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
_COMPACTION = frozenset({"compaction", "compaction_summary", "context_compaction"})
# What may differ between an item as streamed and in the final response without its meaning another thing.
_MAY_DIFFER = ("id", "status", "encrypted_content")


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


class _Labels(msgspec.Struct):
    type: object = None
    id: object = None


# What decoding raises: MsgspecError and UnicodeDecodeError are ValueErrors.
_ODD = (ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a response ended, and what can be continued from it."""

    response_id: str
    status: str
    stored: bool
    usage: Usage
    spoken: tuple[tuple[Object, ...], ...] = ()
    """The forms in which a caller may send the output back; empty where nothing can be continued."""
    reason: Whole | None = None
    """Why nothing can be continued."""


@dataclass(slots=True)
class Answer:
    """The output of one turn while it streams."""

    added: set[int] = field(default_factory=set)
    done: dict[int, bytes] = field(default_factory=dict)
    ended: Event | None = None
    muddled: bool = False

    def see(self, event: Event) -> None:
        """Take in an item or terminal event; others do not matter. Raises NotAnEvent."""
        if event.kind is Kind.ITEM_ADDED:
            index = self._item(event).output_index
            self.muddled |= index in self.added
            self.added.add(index)
        elif event.kind is Kind.ITEM_DONE:
            item = self._item(event)
            self.muddled |= item.output_index not in self.added or item.output_index in self.done
            self.done[item.output_index] = bytes(item.item)
        elif event.kind in (Kind.COMPLETED, Kind.ENDED_SHORT):
            self.ended = event

    @staticmethod
    def _item(event: Event) -> _Item:
        try:
            return msgspec.json.decode(event.frame, type=_Item)
        except _ODD as error:
            raise NotAnEvent(f"{event.type} without item or output_index") from error

    @property
    def items(self) -> list[bytes]:
        """The items as streamed, in order."""
        return [self.done[index] for index in sorted(self.done)]

    @property
    def ids(self) -> list[str]:
        """The items' ids, in order; empty for an item without a usable one."""
        return [_text(_labels(item).id) for item in self.items]

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
        try:
            forms = _forms(self.items, [bytes(item) for item in final.output or []], rules)
        except _ODD:
            forms = ()
        return forms, None if forms else Whole.UNCLEAR_OUTPUT

    def _doubt(self, final: _Final, rules: Rules) -> Whole | None:
        """Why what was streamed need not be all that the upstream remembers, if it need not."""
        if self.ended is None or self.ended.kind is not Kind.COMPLETED or final.status not in (None, "completed"):
            return Whole.UNFINISHED
        kinds = {_kind(item) for item in self.items}
        if not self.whole or not final.id or "" in kinds:
            return Whole.UNCLEAR_OUTPUT
        if kinds & _COMPACTION:
            return Whole.COMPACTION
        return Whole.HOSTED_TOOLS if kinds - _CLIENT_SIDE and rules.match != "relaxed" else None

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
            if output is None or not self.done or not _hollow(text, Span(output.start, output.end)):
                return text
        except (NotJson, KeyError) as error:
            raise NotAnEvent(f"{self.ended.type} without a response") from error
        return splice(text, [(output.start, output.end, b"[" + b",".join(self.items) + b"]")])


def _labels(raw: bytes) -> _Labels:
    try:
        return msgspec.json.decode(raw, type=_Labels)
    except _ODD:
        return _Labels()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _kind(raw: bytes) -> str:
    return _text(_labels(raw).type)


def _hollow(text: bytes, place: Span) -> bool:
    """Whether the value there is null or an empty array. Raises NotJson where it is no array at all."""
    return text[place.start : place.end] == b"null" or not array_spans(text, place)


def _meaning(raw: bytes, rules: Rules) -> Object:
    meant = meaning(raw, rules)
    if not isinstance(meant, dict):
        raise Ambiguous("a response holds something that is no item, or a reference")
    return meant


def _forms(streamed: Sequence[bytes], final: Sequence[bytes], rules: Rules) -> tuple[tuple[Object, ...], ...]:
    """The streamed form, the final one where it differs in what may differ, and in relaxed mode the reduced ones.

    Empty where the two differ in anything else. Raises ValueError, RecursionError: an item may be read in two ways.
    """
    said = tuple(_meaning(raw, rules) for raw in streamed)
    whole = [said]
    if final and list(final) != list(streamed):
        if len(final) != len(streamed) or any(map(_differs, streamed, final)):
            return ()
        whole.append(tuple(_meaning(raw, rules) for raw in final))
    if rules.match == "relaxed":
        whole += [form for base in list(whole) for form in _reduced(base, streamed)]
    return tuple(whole)


def _differs(streamed: bytes, final: bytes) -> bool:
    return streamed != final and _bare(streamed) != _bare(final)


def _bare(raw: bytes) -> Object:
    return {key: value for key, value in _meaning(raw, Rules()).items() if key not in _MAY_DIFFER}


def _reduced(said: Sequence[Object], raw: Sequence[bytes]) -> list[tuple[Object, ...]]:
    """The forms that callers make of an answer when they drop reasoning, phases, messages or hosted-tool items."""
    forms: list[tuple[Object, ...]] = []
    kinds = [_kind(item) for item in raw]
    for no_reasoning, no_phase, no_hosted, no_empty, no_messages in product((False, True), repeat=5):
        form: list[Object] = []
        left: list[str] = []
        for kind, item in zip(kinds, said, strict=True):
            dropped = (
                (no_reasoning and kind == "reasoning")
                or (no_hosted and kind not in _CLIENT_SIDE)
                or (kind == "message" and (no_messages or (no_empty and _empty(item))))
            )
            if not dropped:
                form.append(_without_phase(item) if no_phase and kind == "message" else item)
                left.append(kind)
        if _sound(left, no_messages=no_messages) and tuple(form) != tuple(said) and tuple(form) not in forms:
            forms.append(tuple(form))
    return forms


def _sound(left: Sequence[str], *, no_messages: bool) -> bool:
    """Something must be left to recognise the answer by; where messages are dropped, a call."""
    return bool(left) and (not no_messages or any(kind.endswith("_call") for kind in left))


def _empty(message: Object) -> bool:
    content = message.get("content")
    return isinstance(content, list) and all(part == {"type": "output_text", "text": ""} for part in content)


def _without_phase(message: Object) -> Object:
    return {key: value for key, value in message.items() if key != "phase"}


def said_before(body: bytes) -> bool:
    """Whether the request may hold something that a model said: where not, the conversation only starts."""
    return any(mark in body for mark in (b'"assistant"', b'"call_id"', b'"reasoning"', b'"item_reference"'))
