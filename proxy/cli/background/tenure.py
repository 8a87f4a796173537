"""A tenure: the time in which a process answers for a place, from its elder's hand to its heir's."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from proxy.cli.background.succession import Elder, Heir, NoHeir
from proxy.errors import StartFault
from proxy.instance import Instance, InstanceFile, instances
from proxy.lock import Held
from proxy.server.app import Openline

# One that ends leaves its place a moment after it has closed its port.
_LOOK_SECONDS = 0.05


class Tenure:
    """The file and the lock by which the command line finds this process, and those before and after it.

    A daemon has an elder, and may have an heir: what runs `command`, with its lines in `log`.
    """

    def __init__(
        self, command: Sequence[str] = (), log: Path | None = None, elder: Elder | None = None, lock: int | None = None
    ) -> None:
        self.log = log
        self.heir: Heir | None = None
        self.passed_on = asyncio.Event()
        self._command = command
        self._elder = elder
        self._inherited = lock
        self._file: InstanceFile | None = None
        self._coming: Heir | None = None
        self._settled = False
        self._busy = False
        self._ending = False

    @property
    def control(self) -> str | None:
        """The secret of the process that it takes over from: while both accept, either may be asked."""
        before = (one.control for one in instances() if one.pid == os.getppid())
        return next(before, None) if self._elder else None

    @property
    def can_pass_on(self) -> bool:
        """Whether another process can take over: this one was started as it would be."""
        return self._elder is not None

    async def begin(self, instance: Instance) -> None:
        """Leave what the command line finds this process by, once who has the place has ended. Raises OSError."""
        if self._inherited is not None:
            os.set_inheritable(self._inherited, False)  # noqa: FBT003 - takes no keyword
        file = InstanceFile(instance, lock=self._inherited)
        while self._file is None:
            try:
                file.write()
                self._file = file
            except Held:
                await asyncio.sleep(_LOOK_SECONDS)

    def serves(self) -> None:
        """Say so to the elder, who serves no more."""
        self._settled = True
        if self._elder:
            self._elder.serves()

    async def pass_on(self, app: Openline) -> int:
        """Have an heir take over; gives its pid once it serves.

        Raises:
            StartFault: it does not come to serve, and this process goes on.
        """
        lock = self._file.lock if self._file else None
        if self._busy or self._ending or self.log is None or lock is None:
            raise StartFault("another restart or a stop is under way")
        self._busy = True
        try:
            await app.lay_down()
            self._coming = Heir(self._command, app.handed, lock, self.log)
            said = await asyncio.to_thread(self._coming.wait)
            self.heir = self._coming
        except (NoHeir, OSError) as failure:
            raise StartFault(str(failure)) from None
        finally:
            if self.heir is None:  # also where whoever asked for it has gone
                self._go_on(app)
            self._coming = None
        sys.stderr.write(said)
        lock.leave()
        self.passed_on.set()
        return self.heir.pid

    def stop(self, *, now: bool) -> None:
        """Have no heir, and have the elder end its turns too."""
        self._ending = True
        if self._coming:
            self._coming.kill()
        if self._elder:
            self._elder.stop(now=now)

    async def alone(self) -> None:
        """Wait until the elder has ended."""
        if self._elder:
            await self._elder.gone()

    def end(self) -> None:
        """Take away what the command line finds this process by, unless that is another's by now."""
        if self._file and self._settled and self.heir is None:
            self._file.remove()

    def _go_on(self, app: Openline) -> None:
        """As if nobody had been to take over."""
        if self._coming:
            self._coming.kill()
        if self._file:
            with contextlib.suppress(OSError):  # it was said at the start
                self._file.write()
        app.take_up()
        self._busy = False
