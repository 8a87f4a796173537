"""A berth: where a proxy for one command is going to be. Who connects before it is there waits, and is not refused."""

import os
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from secrets import token_urlsafe
from types import TracebackType

import click

from proxy import __version__
from proxy.instance import Instance, InstanceFile
from proxy.lock import Held

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Sockets:
    """What callers, and the command line, connect to."""

    api: socket.socket
    admin: socket.socket


class Berth:
    """Sockets on free ports of loopback, and the file by which what runs within the command finds the proxy.

    So the command starts at once, while the server's libraries are still being imported.
    """

    def __init__(self) -> None:
        """Take the ports. Raises ClickException."""
        self._opened = ExitStack()
        with self._opened:
            self.sockets = Sockets(self._listening(), self._listening())
            self._opened = self._opened.pop_all()
        api, admin = (sock.getsockname()[1] for sock in (self.sockets.api, self.sockets.admin))
        self.instance = Instance(
            pid=os.getpid(),
            version=__version__,
            api=f"http://{_HOST}:{api}/v1",
            admin=f"http://{_HOST}:{admin}",
            control=token_urlsafe(24),
            started_at=time.time(),
            passing=True,
        )
        self._file = InstanceFile(self.instance)
        self.trouble = ""
        """Why nobody will find it, where that is so."""

    def __enter__(self) -> "Berth":
        """Leave the file."""
        try:
            self._file.write()
        except Held:
            self.trouble = "another process has the place: the command line will not find this one"
        except OSError as error:
            self.trouble = f"no file for the command line can be left ({error.strerror}): it will not find this process"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it away, and give the ports back."""
        self._file.remove()
        self._opened.close()

    def _listening(self) -> socket.socket:
        try:
            return self._opened.enter_context(socket.create_server((_HOST, 0)))
        except OSError as error:
            raise click.ClickException(f"no port of {_HOST} can be listened on: {error.strerror or error}") from None
