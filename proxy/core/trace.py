"""A trace: what is kept of a turn, so that a later one can be compared with it. Keyed digests alone, and no text."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxy.core.fingerprint import SIZE, Fingerprints
from proxy.core.forms import answered, labelled
from proxy.core.meaning import Rules
from proxy.core.outline import Outline, shown

READ = 262_144
"""The bytes of items that are read anew to compare one request: all callers wait meanwhile."""
# So many of the last items that were sent tell a conversation whose first ones have changed.
_TELLING = 64
# So many of the traces that have as much in common are compared part by part.
_CLOSELY = 8


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One turn that was answered."""

    point: bytes
    """The fingerprint of its history, with its answer where that is known whole."""
    pool_key: bytes
    outcome: str
    """The id of its outcome."""
    stored: bool
    """Under which of the two keys the digests of its items are."""
    scope: bytes
    settings: Mapping[str, bytes]
    """The digests of the settings that count, by the names that may be shown."""
    items: bytes
    """The digests of what its items mean, in one piece: objects of their own would take five times as much."""
    forms: tuple[bytes, ...]
    """So too what the model said then, in each form in which it may come back; empty where that is not known."""

    @property
    def count(self) -> int:
        """How many items were sent."""
        return len(self.items) // SIZE

    @property
    def histories(self) -> tuple[bytes, ...]:
        """What the next request may begin with: what was sent, and what was said."""
        return tuple(self.items + form for form in self.forms) or (self.items,)

    def alike(self, items: bytes) -> int:
        """How many items a history has in common with what may come next, before it first differs."""
        sent = len(self.items)
        count = shared(items, self.items)
        if count < self.count:
            return count
        return count + max((shared(items[sent : sent + len(form)], form) for form in self.forms), default=0)

    def follows(self, other: "Trace") -> bool:
        """Whether it goes on from the other turn: from what was said there too, where that is known."""
        sent, said = len(other.items), other.forms or (b"",)
        more = len(self.items) > sent and self.items.startswith(other.items)
        return more and any(self.items.startswith(form, sent) for form in said)


class Asked:
    """A new request, as far as it is compared with traces."""

    def __init__(
        self,
        raws: Sequence[bytes],
        meant: Sequence[bytes],
        settings: Mapping[str, bytes],
        prints: Fingerprints,
        rules: Rules,
    ) -> None:
        self.raws = raws
        self.items = b"".join(meant)
        """The digests of what its items mean, under the key of the traces."""
        self.settings = settings
        self._meant = meant
        self._prints = prints
        self._rules = rules
        self._outlines: dict[int, Outline] = {}
        self._left = READ

    @property
    def answered(self) -> int:
        """How many items it has up to and including the last one that a model said."""
        return answered(self.raws)

    def kind(self, at: int) -> str:
        """The type of one of its items."""
        return self.outline(at).kind

    def outline(self, at: int) -> Outline:
        """The outline of one of its items. Where that would take more reading than is due, its type is all there is."""
        found = self._outlines.get(at)
        if found is None:
            found = self._outlines[at] = self.known(self._meant[at]) or self._read(self.raws[at])
        return found

    def known(self, item: bytes) -> Outline | None:
        """The outline of an item by its digest, where it is still remembered."""
        return self._prints.outline(item)

    def _read(self, raw: bytes) -> Outline:
        if len(raw) > self._left:
            return Outline(shown(labelled(raw)))
        self._left -= len(raw)
        return self._prints.outlined(raw, self._rules)


def digests(items: bytes) -> list[bytes]:
    """One digest for each item."""
    return [items[at : at + SIZE] for at in range(0, len(items), SIZE)]


def shared(one: bytes, other: bytes) -> int:
    """How many items two histories have in common before they first differ."""
    same, end = 0, min(len(one), len(other)) // SIZE
    while same < end:
        middle = (same + end + 1) // 2
        if one[same * SIZE : middle * SIZE] == other[same * SIZE : middle * SIZE]:
            same = middle
        else:
            end = middle - 1
    return same


def nearest(asked: Asked, traces: Iterable[Trace]) -> Trace | None:
    """The trace that has most in common with the request: items that begin both, or its last ones anywhere there.

    Of those that have as much, the latest ones are looked at: the one whose answer resembles most what stands in its
    place; then the latest. The traces come in their order.
    """
    have = set(digests(asked.items))
    best: list[Trace] = []
    most = 1
    for trace in traces:
        common = _common(asked.items, have, trace, most)
        if common > most:
            best, most = [], common
        if common == most:
            best.append(trace)
    if len(best) < 2:
        return best[0] if best else None
    return max(reversed(best[-_CLOSELY:]), key=lambda trace: _resemblance(asked, trace))


def _common(items: bytes, have: set[bytes], trace: Trace, most: int) -> int:
    """How much the two have in common; where it cannot be as much as `most`, it may be told as less."""
    first, answer = trace.alike(items), max(map(len, trace.forms), default=0) // SIZE
    possible = min(trace.count, _TELLING) + answer
    if possible < most or possible <= first:
        return first
    last = sum(item in have for item in digests(trace.items[-_TELLING * SIZE :]))
    return max(first, last + max((sum(item in have for item in digests(form)) for form in trace.forms), default=0))


def _resemblance(asked: Asked, trace: Trace) -> int:
    """How many parts of the answer come back in the place where it is expected."""
    said = {part for form in trace.forms for item in digests(form) for part in _parts(asked.known(item))}
    longest = max((len(form) // SIZE for form in trace.forms), default=0)
    place = range(trace.count, min(trace.count + longest, len(asked.raws)))
    return len(said & {part for at in place for part in _parts(asked.outline(at))})


def _parts(outline: Outline | None) -> Iterable[bytes]:
    return outline.parts.values() if outline else ()
