"""Host: what outlives a connection: the behaviour, stored responses, the journal, the faults to come."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

from cachetools import LRUCache

from proxy.simulator.behaviour import Behaviour
from proxy.simulator.faults import Fault, Faults
from proxy.simulator.journal import Entry, Handshake, Journal, Request
from proxy.simulator.memory import Memory, Store
from proxy.simulator.usage import PromptCache
from proxy.simulator.watch import Watch

Seen = Entry | Handshake | Request


class Socket(Protocol):
    """What the host knows of an open WebSocket."""

    memory: Memory

    def abort(self) -> None:
        """Reset the TCP connection."""
        ...

    async def strike(self, fault: Fault) -> bool:
        """Let a fault happen to it; True when that ended it."""
        ...


class Host:
    """The state of one simulator."""

    def __init__(self, behaviour: Behaviour, observer: Callable[[Seen], None] | None) -> None:
        self.behaviour = behaviour
        self.watch = Watch()
        self.faults = Faults(self.watch)
        self.journal = Journal(behaviour.journal_limit, self.watch)
        self.handshakes: deque[Handshake] = deque(maxlen=behaviour.journal_limit)
        self.requests: deque[Request] = deque(maxlen=behaviour.journal_limit)
        self.store = Store(behaviour.store_limit)
        self.prompt_cache = PromptCache()
        self.sockets: dict[int, Socket] = {}
        self._consumed: LRUCache[str, None] = LRUCache(behaviour.store_limit)
        self._random = random.Random(behaviour.seed)  # noqa: S311 - repeatable, not secret
        self._observer = observer
        self._sockets_seen = 0
        self._uplink_free = 0.0

    def next_socket(self) -> int:
        """The number of the connection to come."""
        self._sockets_seen += 1
        return self._sockets_seen

    def saw(self, seen: Seen) -> None:
        """Journal a handshake or another request, and tell the observer of anything that has been answered."""
        if isinstance(seen, Handshake):
            self.handshakes.append(seen)
        elif isinstance(seen, Request):
            self.requests.append(seen)
        if self._observer is not None:
            self._observer(seen)
        self.watch.notify()

    def forget(self) -> None:
        """All remembered responses are gone, stored ones too."""
        self.store.clear()
        for socket in self.sockets.values():
            socket.memory.clear()

    def forgets(self, response_id: str) -> bool:
        """Whether a forgetful host loses this response at once."""
        forgetful = self.behaviour.forgetful
        return forgetful(response_id) if callable(forgetful) else self._random.random() < forgetful

    def consumed(self, response_id: str) -> bool:
        """Whether a host that lets a parent be continued once has seen that for this one."""
        return self.behaviour.once_only_parents and response_id in self._consumed

    def consume(self, response_id: str) -> None:
        """The response has been continued."""
        self._consumed[response_id] = None

    def crossing(self, size: int) -> float:
        """When the answer to `size` bytes that are sent now could begin to arrive, on the loop's clock.

        All share one uplink, in the order in which they came; what is sent behind another does not wait for its answer.
        """
        link, now = self.behaviour.link, asyncio.get_running_loop().time()
        self._uplink_free = max(now, self._uplink_free) + link.sending(size)
        return self._uplink_free + 2 * link.latency

    async def until(self, moment: float) -> None:
        """Wait for a moment on the loop's clock."""
        delay = moment - asyncio.get_running_loop().time()
        if delay > 0:
            await asyncio.sleep(delay)
