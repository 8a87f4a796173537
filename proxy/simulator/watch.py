"""Watch: lets tests wait for something to have happened, instead of sleeping."""

import asyncio
from collections.abc import Callable


class Watch:
    """Wakes those who wait whenever `notify` is called; each looks at its own condition again."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Something changed."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Return as soon as `condition()` holds; TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while not condition():
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.add(future)
                try:
                    await future
                finally:
                    self._waiting.discard(future)
