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
SAME_ID = "its id names another response, too"
"""What is said of responses with one id."""
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

    response_id: str
    pool_key: bytes
    fingerprints: tuple[bytes, ...]
    tokens: int
    settings_size: int
    age: float
    """Seconds since it was made."""


class StoredItem(NamedTuple):
    """What the item with this id means to its owner: those with one pool key, under one set of rules."""

    owner: bytes
    id: str
    meaning: bytes
    age: float


class _Response(NamedTuple):
    """Whose an id is: a head's; None where several responses have it."""

    head: Head | None
    since: float


class _Item(NamedTuple):
    meaning: bytes
    since: float


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
        self._ago = 0.0
        """How old that is already which is taken in now."""
        self._outer_clock, clock = clock, self._clock
        self._heads: cachetools.TTLCache[bytes, tuple[Head, ...]] = cachetools.TTLCache(most, max_age, clock)
        # By pool key and response id: an id that names two responses continues neither.
        self._responses: cachetools.TTLCache[tuple[bytes, str], _Response] = cachetools.TTLCache(most, max_age, clock)
        # Why there is nothing to continue from where there could have been: for the reason of the next turn.
        self._graves: cachetools.TTLCache[bytes, Grave] = cachetools.TTLCache(min(most, _MOST_GRAVES), max_age, clock)
        # What the items of stored responses mean, by owner and id: callers may send references instead.
        self._stored_items: cachetools.TTLCache[tuple[bytes, str], _Item] = cachetools.TTLCache(most, max_age, clock)

    def __len__(self) -> int:
        return len(self._heads)

    def _clock(self) -> float:
        return self._outer_clock() - self._ago

    def admits(self, pool_key: bytes, response_id: str) -> bool:
        """Whether a new response can be continued by this id. Not if another has it; nor can that one any more."""
        known = self._responses.get((pool_key, response_id))
        if known is None:
            return True
        if known.head:
            self.bury(known.head, Whole.UNCLEAR_OUTPUT, SAME_ID)
        self._responses[pool_key, response_id] = _Response(None, self._clock())
        return False

    def add(self, head: Head) -> None:
        """Make `head` findable. A fingerprint keeps its newest heads; a head that dies is buried."""
        for fingerprint in head.fingerprints:
            alike = (*self._heads.get(fingerprint, ()), head)
            for older in alike[:-_MOST_ALIKE]:
                self.bury(older, Whole.EVICTED)
            self._heads[fingerprint] = alike[-_MOST_ALIKE:]
            self._graves.pop(fingerprint, None)
        self._responses[head.pool_key, head.response_id] = _Response(head, self._clock())

    def bury(self, head: Head, reason: Whole, detail: str = "") -> None:
        """`head` cannot be continued any more; `reason` is what a turn that misses it will be told."""
        head.place.drop(head)
        known = self._responses.get((head.pool_key, head.response_id))
        if known and known.head is head:
            self._responses.pop((head.pool_key, head.response_id), None)
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
            heads = self._heads.get(chain[covers])
            if heads:
                # One whose line is gone is buried at once: the newest of those that cannot be continued just now.
                return Grave(heads[-1].place.barred(heads[-1]), covers=covers)
            grave = self._graves.get(chain[covers])
            if grave:
                return grave._replace(covers=covers)
        return Grave(Whole.NO_MATCH)

    def remember_items(self, owner: bytes, items: Iterable[tuple[str, bytes]]) -> None:
        """Note what the items of a response known to be stored mean, by their ids. One without an id has no name."""
        for name, meant in items:
            if name:
                known = self._stored_items.get((owner, name))
                meaning = meant if known is None or known.meaning == meant else _AMBIGUOUS
                self._stored_items[owner, name] = _Item(meaning, self._clock())

    def item(self, owner: bytes, name: str) -> bytes | None:
        """What the stored item with this id means to its owner, where that is known without doubt."""
        known = self._stored_items.get((owner, name))
        return (known and known.meaning) or None

    def stored(self) -> tuple[list[StoredHead], list[StoredItem]]:
        """What outlives the process: the stored heads, and what the items of stored responses mean."""
        now = self._clock()
        heads = [
            StoredHead(head.response_id, head.pool_key, head.fingerprints, head.tokens, head.settings_size, now - since)
            for head, since in self._responses.values()
            if head and head.stored
        ]
        items = [StoredItem(*key, meaning, now - since) for key, (meaning, since) in self._stored_items.items()]
        return heads, items

    def restore(self, heads: Iterable[StoredHead], items: Iterable[StoredItem]) -> None:
        """Take in what an earlier process kept: the oldest first, as the caches expect it."""
        for kept in sorted(heads, key=lambda kept: -kept.age):
            self._ago = kept.age
            name, pool_key, fingerprints, tokens, size, _ = kept
            self.add(Head(name, fingerprints, pool_key, Nowhere(), stored=True, tokens=tokens, settings_size=size))
        for item in sorted(items, key=lambda item: -item.age):
            self._ago = item.age
            self._stored_items[item.owner, item.id] = _Item(item.meaning, self._clock())
        self._ago = 0.0
