"""An explanation: why a turn did not go as a delta, in terms that whoever wrote its caller can act on.

It is made of places, documented names and reasons. No value, and no name that the API does not document, is in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from proxy.core.fingerprint import SIZE
from proxy.core.forms import said
from proxy.core.heads import Grave
from proxy.core.outline import OTHER
from proxy.core.reasons import MEANINGS, Plain, Reason, Whole
from proxy.core.scope import OTHER as ANOTHER_SETTING
from proxy.core.trace import Asked, Trace, digests, shared

Kind: TypeAlias = Literal["item", "setting", "connection", "other"]

SETTLED = frozenset({Whole.FIRST, Whole.FORCED, Whole.TRUNCATION, Whole.HOST_UNVERIFIED, Whole.CONTEXT_SUSPECT})
"""Reasons that no comparison adds to: there was a head, or none is ever looked for."""
_OF_CONNECTIONS: frozenset[Reason] = frozenset(
    {
        *(set(Plain) - {Plain.MODE_OFF, Plain.OBSERVED, Plain.SEMANTIC_HEADER, Plain.IMAGES}),
        Whole.CONNECTION_LOST,
        Whole.ROTATED,
        Whole.EVICTED,
        Whole.REJECTED,
        Whole.NOT_FOUND,
        Whole.LANES_REFUSED,
    }
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a turn was no delta."""

    kind: Kind
    text: str
    """One sentence for a person."""
    item: int | None = None
    """Where in `input` it is, from 0."""
    item_type: str | None = None
    paths: tuple[str, ...] = ()
    """What of the item differs: `content[0].text`, say."""
    settings: tuple[str, ...] = ()
    compared_with: str | None = None
    """The id of the outcome of the earlier turn that it was compared with."""


def happened(reason: Reason, detail: str = "") -> Explanation:
    """What the reason says by itself, and what happened in particular."""
    meaning = MEANINGS[reason]
    text = f"{meaning.removesuffix('.')} ({detail})." if detail else meaning
    if reason is Whole.TRUNCATION:
        return Explanation("setting", text, settings=("truncation",))
    return Explanation("connection" if reason in _OF_CONNECTIONS else "other", text)


def unknown(asked: Asked, near: Trace | None) -> Explanation:
    """The history is not known as it stands: how it differs from `near`, the nearest trace."""
    if near is None:
        return Explanation("other", "The history does not begin like that of any recent turn.")
    at = near.alike(asked.items)
    if not _is_same(asked, near, at):
        beyond = f"Beyond its first {_count(at)}, the history is not that of any recent turn."
        return Explanation("other", beyond if at else "The history does not begin like that of any recent turn.")
    told = _difference(asked, near) or _unseen(asked, at)
    return replace(told, compared_with=near.outcome)


def buried(grave: Grave, asked: Asked, near: Trace | None) -> Explanation:
    """There was something to continue: what became of it, or how the answer to a later turn differs."""
    # That turn came after what the reason tells of, and so did an answer: if it is not known, the reason is its own.
    later = near is not None and near.count >= grave.covers
    found = _difference(asked, near) if near and later and asked.answered > grave.covers else None
    told = found or happened(grave.reason, grave.detail)
    return replace(told, compared_with=near.outcome) if near and later else told


def _is_same(asked: Asked, near: Trace, at: int) -> bool:
    """Whether it is one conversation, and not only one opening: `at` items are alike before the first that differs."""
    if at >= near.count or any(map(said, asked.raws[:at])):
        return True
    rest = set(digests(asked.items[at * SIZE :]))
    return any(not rest.isdisjoint(digests(part)) for part in (near.items[at * SIZE :], *near.forms))


def _unseen(asked: Asked, at: int) -> Explanation:
    """Nothing differs as far as the two can be compared, which is up to `at`."""
    answer = next((index for index in range(at, len(asked.raws)) if said(asked.raws[index])), None)
    if answer is None:
        text = "The history is known, but its head is not remembered: see heads.max_count and heads.max_age_seconds."
        return Explanation("other", text)
    kind = asked.kind(answer)
    text = f"The {_item(kind)} at index {answer} is of an answer that was not seen whole, or came another way."
    return Explanation("item", text, item=answer, item_type=kind)


def _difference(asked: Asked, near: Trace) -> Explanation | None:
    """The settings that differ, and the first item; None where there is no difference."""
    names = sorted({*asked.settings, *near.settings}, key=lambda name: (name == ANOTHER_SETTING, name))
    settings = tuple(name for name in names if asked.settings.get(name) != near.settings.get(name))
    step = _Comparison(asked, near).first
    if not settings:
        return step
    what = f"The {'setting' if len(settings) == 1 else 'settings'} {_listed(settings)}"
    text = f"{'A setting that is not documented' if settings == (ANOTHER_SETTING,) else what} changed."
    if step is None:
        return Explanation("setting", text, settings=settings)
    return replace(step, kind="setting", text=f"{text.removesuffix('.')}; {_lower(step.text)}", settings=settings)


class _Comparison:
    """Of a request with what a trace let expect."""

    def __init__(self, asked: Asked, near: Trace) -> None:
        self._asked = asked
        self._sent = near.count
        self._at = near.alike(asked.items)
        history = max(near.histories, key=self._fit)
        self._came = digests(asked.items[self._at * SIZE :])
        self._expected = digests(history[self._at * SIZE :])

    def _fit(self, history: bytes) -> tuple[bool, bool]:
        """Whether it is alike as far as any is, and goes on with an item of the type that came."""
        at, alike = self._at, shared(self._asked.items, history) == self._at
        there = self._kind(history[at * SIZE : (at + 1) * SIZE])
        return alike, at < len(self._asked.raws) and there == self._asked.kind(at)

    @property
    def first(self) -> Explanation | None:
        """The first difference; None where everything came back that was expected, and more."""
        if not self._came:
            return self._short()
        if not self._expected:
            return None
        if self._came[1:2] == self._expected[1:2] != []:
            return self._changed()  # what follows is as it was: items may be alike, and come again elsewhere
        return self._moved() or self._left_out() or self._changed()

    def _short(self) -> Explanation:
        """The request ends where something is expected yet."""
        if self._at == self._sent:
            return Explanation("item", "The history ends where that of the earlier turn did, before the answer.")
        if not self._expected:
            return Explanation("item", "The history ends with the answer, and nothing new follows it.")
        end = "within the answer" if self._at > self._sent else "before that of the earlier turn"
        return Explanation("item", f"The history ends {end}, after {_count(self._at)}.")

    def _moved(self) -> Explanation | None:
        """One of the two comes later on the other side: items are missing, were put in, or changed places."""
        late, early = self._came[0] in self._expected, self._expected[0] in self._came
        if late and early:
            kind = self._asked.kind(self._at)
            text = f"From index {self._at} on the items come in another order than before."
            return Explanation("item", text, item=self._at, item_type=kind)
        if late:
            return self._missing(self._expected.index(self._came[0]))
        return self._put_in(self._came.index(self._expected[0])) if early else None

    def _left_out(self) -> Explanation | None:
        """What the model said is not all there, by the types of what is: other differences may follow."""
        if self._at < self._sent:
            return None
        if not said(self._asked.raws[self._at]):
            return self._missing(len(self._expected))
        kind, kinds = self._asked.kind(self._at), [self._kind(item) for item in self._expected]
        if kind == kinds[0] or kinds[0] is None:
            return None
        if kind in kinds:
            return self._missing(kinds.index(kind))
        here = [self._asked.kind(self._at + offset) for offset in range(min(len(self._came), len(kinds) + 1))]
        return self._put_in(here.index(kinds[0])) if kinds[0] in here else None

    def _changed(self) -> Explanation:
        """The item is there, and is another."""
        at, was = self._at, "what the model said" if self._at >= self._sent else "what was sent before"
        here, there = self._asked.outline(at), self._asked.known(self._expected[0])
        kind = here.kind
        if there and there.kind != kind:
            text = f"At index {at} is {_a(kind)}, where {was} is {_a(there.kind)}."
            return Explanation("item", text, item=at, item_type=kind)
        paths = there.differs(here) if there else ()
        where = f" in {_listed(paths)}" if paths else ""
        text = f"The {_item(kind)} at index {at} differs from {was}{where}."
        return Explanation("item", text, item=at, item_type=kind, paths=paths)

    def _missing(self, count: int) -> Explanation:
        kind = self._kind(self._expected[0])
        whose = "the model said" if self._at >= self._sent else "was sent before"
        what = f"The {_item(kind)} at index {self._at}"
        text = f"{what}, which {whose}, was left out."
        if count > 1:
            text = f"{what} and the {_count(count - 1)} after it, which {whose}, were left out."
        return Explanation("item", text, item=self._at, item_type=kind)

    def _put_in(self, count: int) -> Explanation:
        kind = self._asked.kind(self._at)
        more = f" and the {_count(count - 1)} after it were" if count > 1 else " was"
        text = f"The {_item(kind)} at index {self._at}{more} put in: nothing was there before."
        return Explanation("item", text, item=self._at, item_type=kind)

    def _kind(self, item: bytes) -> str | None:
        outline = self._asked.known(item)
        return outline.kind if outline else None


def _item(kind: str | None) -> str:
    if kind is None:
        return "item"
    return "item of another type" if kind == OTHER else f"{kind} item"


def _a(kind: str) -> str:
    return f"{'an' if _item(kind)[0] in 'aeio' else 'a'} {_item(kind)}"


def _count(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def _listed(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
