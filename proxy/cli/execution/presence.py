"""A presence: who is at an address of plain HTTP, as far as that is said within a moment."""

import errno
import socket
import time
from dataclasses import dataclass
from typing import Literal

import msgspec

Kind = Literal["nobody", "openline", "another", "silent"]
_SECONDS = 5.0
_ANSWER_BYTES = 4_096
# This machine has no such address: nobody can be there.
_NO_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH})
# What counts of several addresses of one name: a client may take any of them.
_WEIGHT: tuple[Kind, ...] = ("silent", "openline", "another", "nobody")


class _Health(msgspec.Struct, frozen=True):
    """What an Openline says of itself; its pid not to everybody."""

    name: Literal["openline"]
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Presence:
    """`nobody`: the connection is refused. `silent`: it is not, and then nothing is said, or it cannot be told."""

    kind: Kind
    pid: int | None = None
    """That of an Openline, where it says so."""


def addresses(host: str, port: int) -> list[str]:
    """Those that the name has; none where it has none, or that cannot be told."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def presence(host: str, port: int) -> Presence:
    """Who is there; of several addresses of the name, at the one that is most to be heeded."""
    found = [_at(address, host, port) for address in addresses(host, port)]
    return min(found, key=lambda one: _WEIGHT.index(one.kind), default=Presence("silent"))


def _at(address: str, host: str, port: int) -> Presence:
    until = time.monotonic() + _SECONDS
    try:
        line = socket.create_connection((address, port), timeout=_SECONDS)
    except ConnectionRefusedError:
        return Presence("nobody")
    except OSError as error:
        return Presence("nobody" if error.errno in _NO_ADDRESS else "silent")
    with line:
        try:
            answer = _answer(line, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", until)
        except TimeoutError:
            return Presence("silent")
        except OSError:  # it hung up: no Openline does
            return Presence("another")
    try:
        return Presence("openline", msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=_Health).pid)
    except msgspec.DecodeError:
        return Presence("another")


def _answer(line: socket.socket, host: str, until: float) -> bytes:
    """What is said in time. Raises TimeoutError: nothing."""
    line.sendall(f"GET /healthz HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    answer = b""
    while len(answer) < _ANSWER_BYTES:
        try:
            line.settimeout(max(0.001, until - time.monotonic()))
            more = line.recv(_ANSWER_BYTES)
        except TimeoutError:
            if answer:  # it keeps the connection, which is its right
                break
            raise
        answer += more
        if not more:
            break
    return answer
