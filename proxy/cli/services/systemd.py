"""systemd: the manager of this user's services on Linux."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from proxy.cli.services.plan import Plan
from proxy.cli.services.supervisor import CommandFailed, Program, Unavailable, UnitFile
from proxy.cli.services.units import service_unit, socket_unit

_SOCKET = "openline.socket"
_SERVICE = "openline.service"


class Systemd:
    """Two units: the socket, which holds the address, and the service, which systemd starts at the first connection."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        usual = Path.home() / ".config"
        self._folder = Path(environ.get("XDG_CONFIG_HOME") or usual) / "systemd" / "user"
        self._program = Program(("systemctl", "--user"))

    @property
    def paths(self) -> tuple[Path, Path]:
        """Where the units are, or would be."""
        return self._folder / _SOCKET, self._folder / _SERVICE

    @property
    def logs(self) -> str:
        """Where the lines of the service can be read."""
        return "journalctl --user -u openline"

    def files(self, plan: Plan) -> tuple[UnitFile, UnitFile]:
        """The units for this plan."""
        where = " and ".join(plan.listen)
        socket, service = self.paths
        return (
            UnitFile(socket, f"holds {where}, also while Openline is started anew", socket_unit(plan)),
            UnitFile(service, "runs Openline, from the first call on", service_unit(plan)),
        )

    def check(self) -> None:
        """Raise Unavailable unless this user's manager answers."""
        try:
            said = self._program.ask("show", "--property=Version")
        except CommandFailed as failed:
            raise Unavailable(f"{failed}: without systemd, `openline start` runs Openline in the background") from None
        if said.status:
            raise Unavailable(
                f"systemd runs no services for this user now ({said.why}): log in as the user, not by su or sudo (a"
                " server keeps them running after `loginctl enable-linger`), or use `openline start`"
            )

    def install(self, files: Sequence[UnitFile]) -> None:
        """Write the units and enable the socket. One that runs already keeps its place, unless it is another now."""
        socket, _ = files
        moved = socket.path.exists() and not socket.written
        for file in files:
            file.write()
        self._program.do("daemon-reload")
        if moved:  # a socket that is in use cannot be started anew
            self._program.do("stop", _SOCKET, _SERVICE)
        self._program.do("enable", "--now", _SOCKET)
        self._program.do("try-restart", _SERVICE)

    def uninstall(self) -> None:
        """Stop both and take the units away, the latter also where the manager does not answer."""
        try:
            self.check()
        except Unavailable:
            self._remove()
            (self._folder / "sockets.target.wants" / _SOCKET).unlink(missing_ok=True)
            raise
        self._program.do("disable", "--now", _SOCKET)
        self._program.do("stop", _SERVICE)
        self._remove()
        self._program.do("daemon-reload")

    def start(self) -> None:
        """Listen and run, also after failures that made systemd give up."""
        self._program.ask("reset-failed", _SOCKET, _SERVICE)  # it fails where nothing has failed
        self._program.do("start", _SOCKET, _SERVICE)

    def stop(self) -> None:
        """Stop both: a socket that stays would start the service again."""
        self._program.do("stop", _SOCKET, _SERVICE)

    def states(self) -> dict[str, str]:
        """What `systemctl --user is-active` says of each."""
        units = (_SOCKET, _SERVICE)
        said = self._program.ask("is-active", *units)
        words = said.out.split()
        return dict(zip(units, words if len(words) == len(units) else [f"unknown ({said.why})"] * 2, strict=True))

    @property
    def listening(self) -> bool:
        """Whether the socket is there."""
        return self.states()[_SOCKET] == "active"

    def _remove(self) -> None:
        for path in self.paths:
            path.unlink(missing_ok=True)
