"""A passing proxy: one for a single command, gone when the command has ended."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import BinaryIO

from proxy.cli.execution.berth import Berth
from proxy.cli.execution.journal import Journal
from proxy.config import Settings
from proxy.server.app import Openline
from proxy.settings_sources import Origin

# The command is gone: what still runs is of something that it left behind.
_DRAIN_SECONDS = 0.5
_CLOSE_SECONDS = 2.0


@contextlib.asynccontextmanager
async def passing(
    berth: Berth, settings: Settings, origins: Mapping[str, Origin], file: BinaryIO | None
) -> AsyncIterator[Openline]:
    """Serve at the berth until the end of the block; the lines of turns go to `file`."""
    journal = Journal(file, settings.log_format)
    heard = _Heard(journal)
    logging.getLogger().addHandler(heard)
    if berth.trouble:
        journal.notice(berth.trouble)
    app = Openline(settings, journal.turn, journal.notice, control=berth.instance.control)
    app.origins = origins
    try:
        await app.start(sockets=[berth.sockets.api], admin=berth.sockets.admin)
        yield app
        await app.drain(_DRAIN_SECONDS)
    finally:
        # The command has ended, and so do we: a close that hangs must not keep anybody waiting.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await app.close()
        logging.getLogger().removeHandler(heard)
        journal.close()


class _Heard(logging.Handler):
    """What libraries and we ourselves would write on the command's terminal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.WARNING)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """One more line."""
        self._journal.notice(record.getMessage())
