"""An engine: all that takes turns to the upstream under one set of settings. A reload may put another in its place."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from secrets import token_bytes
from urllib.parse import urlsplit

from proxy.config import Settings
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Heads
from proxy.core.meaning import Rules
from proxy.server.terms import ENGINE, way
from proxy.state import State
from proxy.turns.memory import Keyed, Memory
from proxy.turns.observer import Observer
from proxy.turns.turns import Turns
from proxy.upstream.capabilities import Host, capabilities
from proxy.upstream.dial import dialler
from proxy.upstream.http import PlainHttp
from proxy.upstream.pool import Pool
from proxy.upstream.way import way_upstream


class Engine:
    """One upstream's pool, memory and turns.

    Turns ─▶ Pool ─▶ upstream
      └──▶ PlainHttp ──┘
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        marker: str,
        notice: Callable[[str], None],
        *,
        before: "Engine | None" = None,
    ) -> None:
        """One that goes on where `before` was: what that has found of the same host is known.

        Raises StartFault where a setting cannot be used.
        """
        self.settings = settings
        self.way = way(settings, os.environ)
        road = way_upstream(settings, os.environ)
        heads = Heads(most=settings.heads.max_count, max_age=settings.heads.max_age_seconds, clock=time.monotonic)
        known = capabilities(settings.upstream)
        host = Host(known, recheck_seconds=settings.pool.recheck_seconds, clock=time.monotonic)
        if before and before.settings.upstream == settings.upstream:
            host = copy(before.host)
            host.recheck_seconds = settings.pool.recheck_seconds
        keyed = Keyed(passing=Fingerprints(token_bytes(32)), stored=Fingerprints(state.key))
        heads.restore(state.heads, state.items)
        self.host: Host = host
        self.address = road.address
        self.fingerprints = keyed.stored
        self.pool = Pool(settings, host, dialler(settings, road), heads, notice)
        self.http = PlainHttp(road, settings, marker)
        rules = Rules(settings.match, known.summaries_count)
        self.memory = Memory(rules, keyed, heads, host)
        self.turns = Turns(settings, self.memory, host, self.pool, self.http)
        self.observer = Observer(settings, rules, keyed, host, time.monotonic)
        self.running = 0
        self._idle = asyncio.Event()

    @property
    def upstream(self) -> str:
        """Scheme, host and port; a path may be a secret."""
        parts = urlsplit(self.settings.upstream.url)
        return f"{parts.scheme}://{parts.netloc}"

    def suits(self, settings: Settings) -> bool:
        """Whether one that is made by these settings would be the same."""
        return all(getattr(self.settings, name) == getattr(settings, name) for name in ENGINE)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A request is served by it."""
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()

    async def retire(self) -> None:
        """Close it once nothing is served by it any more: nothing new may be."""
        try:
            while self.running:
                self._idle.clear()
                await self._idle.wait()
        finally:  # also where the process ends first
            await self.close()

    async def close(self) -> None:
        """Close every connection to the upstream."""
        try:
            await self.pool.close()
        finally:
            await self.http.close()
