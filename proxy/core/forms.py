"""Forms: the ways in which a caller may write an answer back, each of which the next turn may continue."""

from collections.abc import Sequence
from itertools import product

import msgspec

from proxy.core.meaning import Ambiguous, Object, Rules, meaning

# Items that hold all that the model is given of them (reasoning: see `hidden`). Any other item is one that the upstream
# made or ran itself: what it remembers of it need not be what it told.
CLIENT_SIDE = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
# What may differ between an item as streamed and in the final response without its meaning another thing.
_MAY_DIFFER = ("id", "status", "encrypted_content")
# What decoding raises: MsgspecError and UnicodeDecodeError are ValueErrors.
_ODD = (ValueError, RecursionError)


class _Labels(msgspec.Struct):
    type: object = None
    id: object = None
    role: object = None
    caller: object = None


class _Part(msgspec.Struct):
    text: str = ""


class _Thought(msgspec.Struct):
    encrypted_content: str | None = None
    content: list[_Part] | None = None


def _labels(raw: bytes) -> _Labels:
    try:
        return msgspec.json.decode(raw, type=_Labels)
    except _ODD:
        return _Labels()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def kind(raw: bytes) -> str:
    """The item's type; empty where it has none."""
    return _text(_labels(raw).type)


def labelled(raw: bytes) -> str:
    """The type as far as it shows without reading the item: what has none and has a role is a message."""
    labels = _labels(raw)
    return "message" if labels.type is None and isinstance(labels.role, str) else _text(labels.type)


def item_id(raw: bytes) -> str:
    """The item's id; empty where it has no usable one."""
    return _text(_labels(raw).id)


def client_side(raw: bytes) -> bool:
    """Whether the item holds all that the model is given of it. What a program of the upstream's calls does not."""
    labels = _labels(raw)
    return _text(labels.type) in CLIENT_SIDE and labels.caller in (None, {"type": "direct"})


def hidden(raw: bytes) -> bool:
    """Whether it is reasoning that is neither in the item, in clear or encrypted, nor anywhere but at the upstream.

    A summary is not what was thought.
    """
    if kind(raw) != "reasoning":
        return False
    try:
        inside = msgspec.json.decode(raw, type=_Thought)
    except _ODD:
        return True
    return not inside.encrypted_content and not any(part.text for part in inside.content or ())


def thought(raw: bytes) -> int | None:
    """The bytes of reasoning that it stands for, at most; None where it only names some, or may."""
    sort = labelled(raw)
    if sort in {"", "item_reference"} or hidden(raw):
        return None
    return len(raw) if sort == "reasoning" or b'"encrypted_content"' in raw else 0


def said(raw: bytes) -> bool:
    """Whether the item is one that models say, or names one; an odd one is not."""
    labels = _labels(raw)
    sort = _text(labels.type)
    if labels.role is not None:
        return labels.role == "assistant" and sort in {"", "message"}
    return sort in {"reasoning", "item_reference"} or sort.endswith("_call") or (not sort and bool(_text(labels.id)))


def answered(items: Sequence[bytes]) -> int:
    """How many items a history has up to and including the last one that a model said."""
    return next((count for count in range(len(items), 0, -1) if said(items[count - 1])), 0)


def _meaning(raw: bytes, rules: Rules) -> Object:
    meant = meaning(raw, rules)
    if not isinstance(meant, dict):
        raise Ambiguous("a response holds something that is no item, or a reference")
    return meant


def forms(
    streamed: Sequence[bytes], final: Sequence[bytes], rules: Rules, *, stored: bool = True
) -> tuple[tuple[Object, ...], ...]:
    """The streamed form, the final one where it differs in what may differ, and in relaxed mode the reduced ones.

    Where the response is not `stored`, none with hidden reasoning: the API would not know what a caller means by it.
    Empty where the two differ in anything else. Raises ValueError, RecursionError: an item may be read in two ways.
    """
    whole = [streamed]
    if final and list(final) != list(streamed):
        if len(final) != len(streamed) or any(map(_differs, streamed, final)):
            return ()
        whole.append(final)
    said = [tuple(_meaning(raw, rules) for raw in form) for form in whole]
    written = [form for form, raws in zip(said, whole, strict=True) if stored or not any(map(hidden, raws))]
    if rules.match == "relaxed":
        reduced = [form for base in said for form in _reduced(base, streamed, thoughts=base in written)]
        written += reduced
    return tuple(written)


def _differs(streamed: bytes, final: bytes) -> bool:
    return streamed != final and _bare(streamed) != _bare(final)


def _bare(raw: bytes) -> Object:
    return {key: value for key, value in _meaning(raw, Rules()).items() if key not in _MAY_DIFFER}


def _reduced(said: Sequence[Object], raw: Sequence[bytes], *, thoughts: bool) -> list[tuple[Object, ...]]:
    """The forms that callers make of an answer when they drop reasoning, phases, messages or hosted-tool items.

    Without `thoughts` all of them do without reasoning.
    """
    reduced: list[tuple[Object, ...]] = []
    kinds = [kind(item) for item in raw]
    either = (False, True)
    choices = product(either if thoughts else (True,), *[either] * 4)
    for no_reasoning, no_phase, no_hosted, no_empty, no_messages in choices:
        form: list[Object] = []
        left: list[str] = []
        for sort, item in zip(kinds, said, strict=True):
            dropped = (
                (no_reasoning and sort == "reasoning")
                or (no_hosted and sort not in CLIENT_SIDE)
                or (sort == "message" and (no_messages or (no_empty and _empty(item))))
            )
            if not dropped:
                form.append(_without_phase(item) if no_phase and sort == "message" else item)
                left.append(sort)
        if _sound(left, no_messages=no_messages) and tuple(form) != tuple(said) and tuple(form) not in reduced:
            reduced.append(tuple(form))
    return reduced


def _sound(left: Sequence[str], *, no_messages: bool) -> bool:
    """Something must be left to recognise the answer by; where messages are dropped, a call."""
    return bool(left) and (not no_messages or any(sort.endswith("_call") for sort in left))


def _empty(message: Object) -> bool:
    content = message.get("content")
    return isinstance(content, list) and all(part == {"type": "output_text", "text": ""} for part in content)


def _without_phase(message: Object) -> Object:
    return {key: value for key, value in message.items() if key != "phase"}
