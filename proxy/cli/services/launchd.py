"""launchd: the manager of this user's agents on macOS."""

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from proxy.cli.services.plan import Plan
from proxy.cli.services.supervisor import CommandFailed, Program, Unavailable, UnitFile
from proxy.cli.services.units import LABEL, agent

# `bootout` is back before the job has gone, and a new one is refused until then.
_GONE_SECONDS = 60.0
_LOOK_SECONDS = 0.1


class Launchd:
    """One agent, which holds the address, and whose process launchd starts at the first connection."""

    def __init__(self, home: Path | None = None) -> None:
        library = (home or Path.home()) / "Library"
        self._path = library / "LaunchAgents" / f"{LABEL}.plist"
        self._log = library / "Logs" / "openline.log"
        self._domain = f"gui/{os.getuid()}"
        self._job = f"{self._domain}/{LABEL}"
        self._program = Program(("launchctl",))

    @property
    def paths(self) -> tuple[Path]:
        """Where the property list is, or would be."""
        return (self._path,)

    @property
    def logs(self) -> str:
        """Where the lines of the service can be read."""
        return str(self._log)

    def files(self, plan: Plan) -> tuple[UnitFile]:
        """The property list for this plan."""
        where = " and ".join(plan.listen)
        return (
            UnitFile(self._path, f"holds {where}, and runs Openline from the first call on", agent(plan, self._log)),
        )

    def check(self) -> None:
        """Raise Unavailable unless the user is logged in at the Mac itself."""
        try:
            said = self._program.ask("print", self._domain)
        except CommandFailed as failed:
            raise Unavailable(f"{failed}: `openline start` runs Openline in the background") from None
        if said.status:
            raise Unavailable(
                f"launchd runs no agents for this user now ({said.why}): log in at the Mac's screen, or use"
                " `openline start`"
            )

    def install(self, files: Sequence[UnitFile]) -> None:
        """Write the property list and load it. One that is loaded with the same text keeps its address meanwhile."""
        (file,) = files
        if file.written and self.listening:
            self._program.ask("kill", "SIGTERM", self._job)  # the next call starts it anew; it fails where none runs
            return
        self._unload()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        file.write()
        self._program.do("enable", self._job)
        self._program.do("bootstrap", self._domain, str(self._path))

    def uninstall(self) -> None:
        """Unload it and take the property list away. The log stays."""
        self._unload()
        self._path.unlink(missing_ok=True)

    def start(self) -> None:
        """Listen and run."""
        if not self.listening:
            self._program.do("bootstrap", self._domain, str(self._path))
        self._program.do("kickstart", self._job)

    def stop(self) -> None:
        """Unload it: a loaded one would start again at the next call."""
        self._unload()

    def states(self) -> dict[str, str]:
        """What `launchctl print` says of it."""
        said = self._program.ask("print", self._job)
        state = re.search(r"^\s*state = (.+)$", said.out, re.MULTILINE)
        return {LABEL: "not loaded" if said.status else state[1] if state else "loaded"}

    @property
    def listening(self) -> bool:
        """Whether it is loaded."""
        return self.states()[LABEL] != "not loaded"

    def _unload(self) -> None:
        if not self.listening:
            return
        self._program.do("bootout", self._job)
        until = time.monotonic() + _GONE_SECONDS
        while self.listening:
            if time.monotonic() > until:
                raise CommandFailed(f"`launchctl bootout {self._job}`: it still runs after {_GONE_SECONDS:g} s")
            time.sleep(_LOOK_SECONDS)
