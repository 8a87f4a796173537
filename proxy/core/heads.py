"""Heads: the points that conversations can be continued from, found by fingerprint."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cachetools

from proxy.core.reasons import Whole

# Heads kept for one fingerprint: more than agents that begin alike at the same time, and stored ones never die.
_MOST_ALIKE = 32
# Reasons kept of points that cannot be continued any more. Every turn of every conversation leaves one; what is asked
# for is why the latest were no deltas.
_MOST_GRAVES = 4_096
# A stored id that was seen with two meanings.
_AMBIGUOUS = b""


class Place(Protocol):
    """Where a head lives: a lane of one connection."""

    @property
    def connection(self) -> int:
        """The number of the connection."""

    def holds(self, head: "Head") -> bool:
        """Whether the connection is open, the lane idle, and `head` its latest."""

    def lends(self, head: "Head") -> bool:
        """Whether a sibling may fork from `head` while its first child is in flight."""

    def keeps(self, head: "Head") -> bool:
        """Whether `head` can be continued on another lane, so that it stays here, at nobody's expense."""

    def barred(self, head: "Head") -> Whole:
        """Why `head` is not continued now, where it is neither held nor lent."""

    def remembers(self, head: "Head") -> bool:
        """Whether `head` is the lane's latest, by all that is known, whatever the lane does."""

    def drop(self, head: "Head") -> None:
        """Nobody can find `head` any more."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A response that can be continued: its id, and the fingerprints of the context up to and including its output."""

    response_id: str
    fingerprints: tuple[bytes, ...]
    pool_key: bytes
    place: Place
    stored: bool
    """Known to outlive its connection: the upstream said so, and is known to verify ids."""
    tokens: int = 0
    """The input tokens that the upstream counted for the turn."""
    settings_size: int = 0
    """The bytes of that turn's settings, which the tokens count too."""
    waits: bool = False
    """Whether the response calls a tool of the caller's, who is to go on with its result."""

    @property
    def live(self) -> bool:
        """Whether a turn may continue from here now."""
        return self.stored or self.place.holds(self)


@dataclass(frozen=True, slots=True)
class Found:
    """The longest live head of a history, and how many of its items it covers."""

    head: Head
    covers: int
    fork: bool = False
    """Whether its lane is taken by a first child, so that this one needs a lane of its own."""


class Grave(NamedTuple):
    """Why nothing is continued from a point where something could have been."""

    reason: Whole
    detail: str = ""
    """What happened there, in words that hold nothing private."""
    covers: int = 0
    """How many items of the history that was asked for lead up to it."""


class StoredHead(NamedTuple):
    """A stored head as it outlives the process."""

    fingerprint: bytes
    response_id: str
    tokens: int
    settings_size: int


class StoredItem(NamedTuple):
    """What the item with this id means, for one pool key."""

    pool_key: bytes
    id: str
    meaning: bytes


class Nowhere:
    """The place of a head whose connection belonged to an earlier process."""

    connection = 0

    def holds(self, head: Head) -> bool:  # noqa: ARG002 - as every place
        """Never."""
        return False

    lends = keeps = remembers = holds

    def barred(self, head: Head) -> Whole:  # noqa: ARG002 - as every place
        """With its process."""
        return Whole.CONNECTION_LOST

    def drop(self, head: Head) -> None:
        """Nothing is held."""


class Heads:
    """Many heads may have one fingerprint (two agents may begin alike). Bounded by count and by age."""

    def __init__(self, *, most: int, max_age: float, clock: Callable[[], float]) -> None:
        self._heads: cachetools.TTLCache[bytes, tuple[Head, ...]] = cachetools.TTLCache(most, max_age, clock)
        # Why there is nothing to continue from where there could have been: for the reason of the next turn.
        self._graves: cachetools.TTLCache[bytes, Grave] = cachetools.TTLCache(min(most, _MOST_GRAVES), max_age, clock)
        # What the items of stored responses mean, by pool key and id: callers may send references instead.
        self._stored_items: cachetools.TTLCache[tuple[bytes, str], bytes] = cachetools.TTLCache(most, max_age, clock)

    def __len__(self) -> int:
        return len(self._heads)

    def add(self, head: Head) -> None:
        """Make `head` findable. A fingerprint keeps its newest heads; a head that dies is buried."""
        for fingerprint in head.fingerprints:
            self._heads[fingerprint] = (*self._heads.get(fingerprint, ()), head)[-_MOST_ALIKE:]
            self._graves.pop(fingerprint, None)

    def bury(self, head: Head, reason: Whole, detail: str = "") -> None:
        """`head` cannot be continued any more; `reason` is what a turn that misses it will be told."""
        head.place.drop(head)
        for fingerprint in head.fingerprints:
            left = tuple(other for other in self._heads.get(fingerprint, ()) if other is not head)
            if left:
                self._heads[fingerprint] = left
            else:
                self._heads.pop(fingerprint, None)
        self.mark(head.fingerprints, reason, detail)

    def mark(self, fingerprints: Iterable[bytes], reason: Whole, detail: str = "") -> None:
        """Nothing can be continued from these points, because of `reason`; `detail` says more of what happened."""
        grave = Grave(reason, detail)
        for fingerprint in fingerprints:
            self._graves[fingerprint] = grave

    def find(self, chain: Sequence[bytes], *, least: int = 1) -> Found | Whole:
        """The longest live head that `chain` continues with at least one new item, or why there is none.

        It covers at least `least` items. `chain[0]` covers none: whatever was said there, it would say nothing of this
        history.
        """
        for covers in range(len(chain) - 2, max(least, 1) - 1, -1):
            heads = self._heads.get(chain[covers], ())
            held = next((head for head in heads if head.place.holds(head)), None)
            live = held or next((head for head in heads if head.stored), None)
            lent = live or next((head for head in heads if head.place.lends(head)), None)
            if lent:
                return Found(lent, covers, fork=live is None)
        return self.grave(chain, least=least).reason

    def grave(self, chain: Sequence[bytes], *, least: int = 1) -> Grave:
        """Why `chain` continues nothing, told by the longest part of it of which something is known."""
        for covers in range(len(chain) - 2, max(least, 1) - 1, -1):
            grave = self._graves.get(chain[covers])
            if grave:
                return grave._replace(covers=covers)
            heads = self._heads.get(chain[covers])
            if heads:
                # One whose line is gone is buried at once: the newest of those that cannot be continued just now.
                return Grave(heads[-1].place.barred(heads[-1]), covers=covers)
        return Grave(Whole.NO_MATCH)

    def remember_items(self, pool_key: bytes, items: Iterable[tuple[str, bytes]]) -> None:
        """Note what the items of a response known to be stored mean, by their ids. One without an id has no name."""
        for name, meant in items:
            if name:
                known = self._stored_items.get((pool_key, name), meant)
                self._stored_items[pool_key, name] = meant if known == meant else _AMBIGUOUS

    def item(self, pool_key: bytes, name: str) -> bytes | None:
        """What the stored item with this id means, where that is known without doubt."""
        return self._stored_items.get((pool_key, name)) or None

    def stored(self) -> tuple[list[StoredHead], list[StoredItem]]:
        """What outlives the process: the stored heads, and what the items of stored responses mean."""
        heads = [
            StoredHead(fingerprint, head.response_id, head.tokens, head.settings_size)
            for fingerprint, group in self._heads.items()
            for head in group
            if head.stored
        ]
        return heads, [StoredItem(*key, meant) for key, meant in self._stored_items.items()]

    def restore(self, heads: Iterable[StoredHead], items: Iterable[StoredItem]) -> None:
        """Take in what an earlier process kept."""
        for kept in heads:
            place = Nowhere()
            self.add(
                Head(
                    kept.response_id,
                    (kept.fingerprint,),
                    b"",
                    place,
                    stored=True,
                    tokens=kept.tokens,
                    settings_size=kept.settings_size,
                )
            )
        for item in items:
            self._stored_items[item.pool_key, item.id] = item.meaning
