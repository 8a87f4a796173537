"""A trace: what is kept of a turn, so that a later one can be compared with it. Keyed digests alone, and no text."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from proxy.core.fingerprint import SIZE
from proxy.core.forms import answered
from proxy.core.outline import Outline

# So many of the last items that were sent tell a conversation whose first ones have changed.
_TELLING = 64


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


@dataclass(frozen=True, slots=True)
class Asked:
    """A new request, as far as it is compared with traces."""

    raws: Sequence[bytes] = field(repr=False)
    items: bytes
    """The digests of what its items mean, under the key of the traces."""
    settings: Mapping[str, bytes]
    outline: Callable[[int], Outline] = field(repr=False)
    """The outline of an item of this request."""
    known: Callable[[bytes], Outline | None] = field(repr=False)
    """The outline of an item by its digest, where it is still remembered."""

    @property
    def answered(self) -> int:
        """How many items it has up to and including the last one that a model said."""
        return answered(self.raws)

    def kind(self, at: int) -> str:
        """The type of one of its items."""
        return self.outline(at).kind


def digests(items: bytes) -> list[bytes]:
    """One digest for each item."""
    return [items[at : at + SIZE] for at in range(0, len(items), SIZE)]


def shared(one: bytes, other: bytes) -> int:
    """How many items two histories have in common before they first differ."""
    least = min(len(one), len(other)) // SIZE
    return bisect_left(range(1, least + 1), 1, key=lambda count: one[: count * SIZE] != other[: count * SIZE])


def nearest(asked: Asked, traces: Iterable[Trace]) -> Trace | None:
    """The trace that has most in common with the request: items that begin both, or its last ones anywhere there.

    Of those that have as much, the one whose answer resembles most what stands in its place; then the latest. The
    traces come in their order.
    """
    have = set(digests(asked.items))
    best: list[Trace] = []
    most = 0
    for trace in traces:
        common = _common(asked.items, have, trace)
        if common > most:
            best, most = [], common
        if most and common == most:
            best.append(trace)
    return max(reversed(best), key=lambda trace: _resemblance(asked, trace), default=None)


def _common(items: bytes, have: set[bytes], trace: Trace) -> int:
    found = 0
    for history in trace.histories:
        last = digests(history[-_TELLING * SIZE :])
        found = max(found, shared(items, history), sum(item in have for item in last))
    return found


def _resemblance(asked: Asked, trace: Trace) -> int:
    """How many parts of the answer come back in the place where it is expected."""
    said = {part for form in trace.forms for item in digests(form) for part in _parts(asked.known(item))}
    longest = max((len(form) // SIZE for form in trace.forms), default=0)
    place = range(trace.count, min(trace.count + longest, len(asked.raws)))
    return len(said & {part for at in place for part in _parts(asked.outline(at))})


def _parts(outline: Outline | None) -> Iterable[bytes]:
    return outline.parts.values() if outline else ()
