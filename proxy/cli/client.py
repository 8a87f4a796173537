"""A client of a running Openline's admin listener: which one is meant, and what it says."""

import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import click
import msgspec

from proxy.instance import Instance, instances

T = TypeVar("T")
_SECONDS = 5.0


class NotRunning(click.ClickException):
    """There is no such instance, or it cannot be told which one is meant."""

    exit_code = 3


class Several(NotRunning):
    """It has to be said which one is meant."""

    exit_code = 2


class NoAnswer(click.ClickException):
    """The instance did not answer as it should. `code` is that of the error that it answered with."""

    exit_code = 4

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class _Error(msgspec.Struct, frozen=True):
    message: str = ""
    code: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: _Error = _Error()


class _OnFile(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """Asks one instance. An answer may take `seconds`."""

    def __init__(self, instance: Instance, seconds: float = _SECONDS) -> None:
        self.instance = instance
        self._seconds = seconds

    def get(self, path: str, kind: type[T], **query: str) -> T:
        """What a page says. Raises NoAnswer."""
        return self._read(self._ask("GET", f"{path}?{urlencode(query)}" if query else path), kind)

    def post(self, path: str, body: Mapping[str, object], kind: type[T]) -> T:
        """Have something done. Raises NoAnswer."""
        return self._read(self._ask("POST", path, msgspec.json.encode(body)), kind)

    def text(self, path: str) -> str:
        """A page as it is. Raises NoAnswer."""
        return self._ask("GET", path).decode()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        line = self._connection()
        try:
            line.request(method, path, body, {"x-openline-control": self.instance.control})
            response = line.getresponse()
            answer = response.read()
        except (OSError, HTTPException) as error:
            why = f"{type(error).__name__}: is it stopped, or busy?"
            raise NoAnswer(f"the Openline with pid {self.instance.pid} does not answer ({why})") from None
        finally:
            line.close()
        if response.status >= 400 and path != "/readyz":
            told = _error(answer)
            said = told.message or f"it answered {response.status} to {path.partition('?')[0]}"
            raise NoAnswer(said, told.code)
        return answer

    def _connection(self) -> HTTPConnection:
        where = self.instance.admin
        if where is None:
            raise NoAnswer(f'the Openline with pid {self.instance.pid} has no admin listener (admin_listen = "off")')
        if where.startswith("unix:"):
            return _OnFile(where.removeprefix("unix:"), self._seconds)
        parts = urlsplit(where)
        return HTTPConnection(parts.hostname or "", parts.port, timeout=self._seconds)

    def _read(self, answer: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer, type=kind)
        except msgspec.MsgspecError:
            version = f"it is version {self.instance.version}"
            raise NoAnswer(f"its answer cannot be read ({version}): restart it if that differs from yours") from None


def find(port: int | None) -> Instance:
    """The instance whose callers connect at `port`, or the only one. Raises NotRunning, Several.

    Those of `openline exec` are meant where there is no other, or by their port.
    """
    found = list(instances())
    lasting = [one for one in found if not one.passing]
    chosen = (lasting or found) if port is None else [one for one in found if one.port == port]
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        at = "" if port is None else f" at port {port}"
        others = f"; there are some at {_ports(found)}" if found else ""
        raise NotRunning(f"no Openline of yours is running{at}{others}: `openline start` starts one")
    raise Several(f"several are running: choose one with --port ({_ports(chosen)})")


def _ports(found: list[Instance]) -> str:
    return ", ".join(str(one.port) for one in found)


def _error(answer: bytes) -> _Error:
    try:
        return msgspec.json.decode(answer, type=_Answer).error
    except msgspec.MsgspecError:
        return _Error()
