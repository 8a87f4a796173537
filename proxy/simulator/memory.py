"""Memory: which responses can be continued; `Memory` is one connection's, `Store` the host's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cachetools import LRUCache

from proxy.simulator.prompt import Item


@dataclass(frozen=True)
class Remembered:
    """A response that can be continued: the context `items` up to and including its output."""

    id: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Stored:
    """A response with `store: true`: it lives on, whatever happens to its connection."""

    remembered: Remembered
    response: Mapping[str, object]
    input_items: tuple[Item, ...]

    @property
    def said(self) -> tuple[Item, ...]:
        """The items of its output."""
        return self.remembered.items[len(self.input_items) :]


class Store:
    """All stored responses of the host, and the items that requests may refer to by id."""

    def __init__(self, limit: int) -> None:
        self._responses: LRUCache[str, Stored] = LRUCache(limit)
        self._items: LRUCache[str, Item] = LRUCache(limit * 8)
        self._unkept: LRUCache[str, None] = LRUCache(limit * 8)

    def find(self, identifier: str) -> Stored | None:
        """The stored response with this id."""
        return self._responses.get(identifier)

    @property
    def items(self) -> Mapping[str, Item]:
        """What stored responses said, by id."""
        return self._items

    def add(self, stored: Stored) -> None:
        """Keep a response and make what it said known. What a caller sent under an id of its own is not that item."""
        self._responses[stored.remembered.id] = stored
        for item in stored.said:
            identifier = item.get("id")
            if isinstance(identifier, str):
                self._items[identifier] = item

    def pass_by(self, said: Iterable[Item]) -> None:
        """Note which reasoning was said and not kept: no request can mean it by its id."""
        for item in said:
            identifier = item.get("id")
            if item.get("type") == "reasoning" and isinstance(identifier, str):
                self._unkept[identifier] = None

    def lacks(self, item: Item) -> str | None:
        """The id of reasoning that was not kept and is not in the item either; None for any other."""
        identifier = item.get("id")
        if item.get("type") != "reasoning" or not isinstance(identifier, str) or identifier in self._items:
            return None
        return (
            None
            if item.get("encrypted_content") or item.get("content") or identifier not in self._unkept
            else identifier
        )

    def remove(self, identifier: str) -> bool:
        """Delete a response; False when there was none."""
        return self._responses.pop(identifier, None) is not None

    def clear(self) -> None:
        """Delete all responses; as with single ones, what they said can still be referred to."""
        self._responses.clear()


class Memory:
    """The latest response of each lane of one connection. It dies with the connection."""

    def __init__(self) -> None:
        self._latest: dict[str | None, Remembered] = {}

    def find(self, identifier: str) -> Remembered | None:
        """The response with this id, if it is the latest of some lane."""
        return next((found for found in self._latest.values() if found.id == identifier), None)

    def move_on(self, lane: str | None, latest: Remembered | None) -> None:
        """The lane's latest response is now this one, or none."""
        if latest is None:
            self._latest.pop(lane, None)
        else:
            self._latest[lane] = latest

    def evict(self, identifier: str, lane: str | None) -> None:
        """Forget this response if it is the latest of `lane`: a failed fork from elsewhere keeps it."""
        found = self._latest.get(lane)
        if found is not None and found.id == identifier:
            del self._latest[lane]

    def consume(self, identifier: str) -> None:
        """Forget this response wherever it is."""
        for lane in [lane for lane, found in self._latest.items() if found.id == identifier]:
            del self._latest[lane]

    def clear(self) -> None:
        """Forget all."""
        self._latest.clear()
