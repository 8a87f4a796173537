"""The upstream: what arrived at the simulator, read from the lines that it says."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import aiohttp
import msgspec

_CREATE = re.compile(
    r"create \d+ (?:http|ws#\d+)(?: lane \S+)? (?:delta|full)(?P<probe> warm-up)? (?P<size>\d+) bytes: "
)
_LOOK_SECONDS = 0.02
_QUIET_SECONDS = 0.05
_LONGEST_SECONDS = 120.0
Tick = Callable[[int, int], None]


class _Open(msgspec.Struct):
    connections: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What there was up to one moment."""

    sockets: int = 0
    """WebSockets that were opened."""
    creates: int = 0
    """Creates that were answered; what Openline asks an unknown host by itself is none."""
    up_bytes: int = 0
    """Of bodies and frames, before compression and without headers; what Openline asks by itself is in them."""


class Upstream:
    """Listens to one simulator."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.counts = Counts()
        self.most_sockets = 0
        """The most that were seen open at once."""
        self.tick: Tick = lambda _creates, _up_bytes: None
        self._url = f"{base.removesuffix('/v1')}/_simulator/connections"
        self._session = session
        self._news = asyncio.Event()

    def hear(self, line: str) -> None:
        """One line of the simulator."""
        sockets, creates, up_bytes = self.counts.sockets, self.counts.creates, self.counts.up_bytes
        if line.startswith("upgrade 101"):
            self.counts = replace(self.counts, sockets=sockets + 1)
        elif create := _CREATE.match(line):
            creates, up_bytes = creates + (create["probe"] is None), up_bytes + int(create["size"])
            self.counts = Counts(sockets, creates, up_bytes)
            self.tick(creates, up_bytes)
        self._news.set()

    async def watch(self) -> None:
        """Look again and again how many sockets are open, until nobody answers: turns then fail, and tell."""
        with contextlib.suppress(aiohttp.ClientError):
            while True:
                await self.open()
                await asyncio.sleep(_LOOK_SECONDS)

    async def open(self) -> int:
        """How many sockets are open now."""
        async with self._session.get(self._url) as answer:
            count = msgspec.json.decode(await answer.read(), type=_Open).connections
        self.most_sockets = max(self.most_sockets, count)
        return count

    async def settled(self, creates: int) -> None:
        """Wait until so many creates have been told of in all, and until no more comes for a moment.

        The caller may read the end of its answer before the simulator says its line; without a caller one ends later.
        """
        async with asyncio.timeout(_LONGEST_SECONDS):
            while not await self._quiet() or self.counts.creates < creates:
                pass

    async def _quiet(self) -> bool:
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), _QUIET_SECONDS)
        except TimeoutError:
            return True
        return False
