"""Journal: what arrived, and which prompt the model was given for it. Bounded; the oldest go first."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, overload

from proxy.simulator.prompt import Item
from proxy.simulator.watch import Watch

Outcome = Literal["running", "completed", "incomplete", "failed", "rejected", "cut"]
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Entry:
    """One create. `n` counts from 1; `connection` numbers the socket (0 over HTTP); `raw` is the body or frame.

    A `successor` is no create that arrived: the host began it by itself after a steered response. It has no `raw`,
    and its `body` is the steered create's with an empty `input`. `steered` is the input that steering put in front
    of the turn's own.

    `context` and `prompt` are what the model was given: None when the create was rejected or not reached yet. Fields
    that no model is shown stand in `prompt` too, ahead of the rest.
    `status` is the HTTP status, or what it would have been; `cut` means that no terminal event was sent.
    Of a create on a socket: `at_work` is on how many, with it, that socket was at work when it arrived (warm-ups do
    not count), and `echoed` whether an event had carried a lane's name there before.
    """

    n: int
    transport: Literal["http", "ws"]
    connection: int
    lane: str | None
    headers: Headers
    raw: bytes
    body: Item | None
    previous_response_id: str | None = None
    generate: bool = True
    successor: bool = False
    steered: Sequence[Item] = ()
    context: Sequence[Item] | None = None
    prompt: str | None = None
    outcome: Outcome = "running"
    status: int = 200
    error_code: str | None = None
    response_id: str | None = None
    at_work: int = 0
    echoed: bool = False

    @property
    def size(self) -> int:
        """Bytes of the body as it came (compressed, if so), or of the frame after decompression."""
        return len(self.raw)

    def followed_by(self, number: int) -> "Entry":
        """The entry of the successor that the host begins after this create was steered."""
        body = {**(self.body or {}), "input": [], "previous_response_id": self.response_id}
        return Entry(
            number,
            self.transport,
            self.connection,
            self.lane,
            self.headers,
            b"",
            body,
            self.response_id,
            successor=True,
        )


@dataclass(frozen=True)
class Handshake:
    """One request to upgrade to a WebSocket: `connection` is its number when it was granted (`status` 101)."""

    path: str
    headers: Headers
    status: int
    connection: int | None = None


@dataclass(frozen=True)
class Request:
    """One other HTTP request, byte for byte."""

    method: str
    path: str
    headers: Headers
    body: bytes


class Journal(Sequence[Entry]):
    """The creates, oldest first. An entry is replaced as its turn goes on; look again for the news."""

    def __init__(self, limit: int, watch: Watch) -> None:
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._watch = watch
        self._count = 0

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        return list(self._entries)[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries))

    def clear(self) -> None:
        """Forget all entries; numbers go on."""
        self._entries.clear()

    def next_number(self) -> int:
        """The number of the entry to come."""
        self._count += 1
        return self._count

    def at_work(self, connection: int) -> int:
        """On how many creates that are no warm-ups this connection is at work."""
        mine = (entry for entry in self._entries if entry.connection == connection)
        return sum(entry.generate and entry.outcome == "running" for entry in mine)

    def add(self, entry: Entry) -> None:
        """Note a create."""
        self._entries.append(entry)
        self._watch.notify()

    def note(self, entry: Entry, **news: object) -> Entry:
        """`entry` with the news, also in the journal unless it has left it."""
        changed = replace(entry, **news)  # type: ignore[arg-type] # the names are checked by the dataclass
        if self._entries:
            index = entry.n - self._entries[0].n
            if 0 <= index < len(self._entries) and self._entries[index].n == entry.n:
                self._entries[index] = changed
        self._watch.notify()
        return changed
