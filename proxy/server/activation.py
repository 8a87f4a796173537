"""Handed sockets: those that the process was started with, listening already.

systemd and launchd keep them while no process is there: who calls meanwhile waits, and is not refused.
"""

import contextlib
import ctypes
import os
import re
import socket
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from proxy.config import Settings, is_loopback

LAUNCHD_VARIABLE = "LAUNCH_ACTIVATE_SOCKET"
"""Names the keys of `Sockets` in the launchd job that Openline runs as; comma separated."""
API = "api"
ADMIN = "admin"
_WAY = "change one of them (a service: `openline service install` again)"
_FIRST = 3  # sd_listen_fds(3)
_SYSTEMD = ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES")


class BadHandover(Exception):
    """What the process was started with cannot be listened on. The one line says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Handed:
    """The sockets, listening; `api` is empty where none was handed."""

    api: tuple[socket.socket, ...] = ()
    admin: socket.socket | None = None

    def check(self, settings: Settings, way: str = _WAY) -> None:
        """Raise BadHandover unless each socket is where the settings say: who may call is decided by those.

        `way` says what to do then.
        """
        places = {sock.getsockname()[:2] for sock in self.api}
        if places:
            wrong = places - _named(settings.listen_host, settings.listen_port)
            for host, port in sorted(wrong):
                raise BadHandover(
                    f"listen: {settings.listen!r} is another address than {_shown(host, port)}, which Openline was"
                    f" started with: {way}"
                )
        if self.admin is not None and not _may_tell(self.admin, settings):
            raise BadHandover(
                f"admin_listen: {settings.admin_listen!r} is not where the socket {ADMIN!r} is that Openline was"
                f" started with, or others reach it there: {way}"
            )

    def close(self) -> None:
        """Close them here; whoever handed them over still has them."""
        for sock in (*self.api, *((self.admin,) if self.admin else ())):
            sock.close()


def handed(
    environ: MutableMapping[str, str], pid: int, *, first: int = _FIRST, library: ctypes.CDLL | None = None
) -> Handed:
    """Take the sockets that are handed to process `pid`, once: the variables that tell of them go, for its children.

    The protocol is that of sd_listen_fds(3), with descriptors from `first` on, or launchd's where LAUNCHD_VARIABLE asks
    for it. A socket of the name `admin` is for the admin listener, any other for callers.

    Raises:
        BadHandover: a variable cannot be read, or what it tells of is no listening stream socket.
    """
    given = {name: environ.pop(name) for name in (*_SYSTEMD, LAUNCHD_VARIABLE) if name in environ}
    api: list[socket.socket] = []
    admin: list[socket.socket] = []
    with contextlib.ExitStack() as taken:
        for descriptor, name in (*_from_systemd(given, pid, first), *_from_launchd(given, library)):
            sock = taken.enter_context(_listening(descriptor, name))
            (admin if name == ADMIN else api).append(sock)
        if len(admin) > 1:
            raise BadHandover(f"{len(admin)} sockets have the name {ADMIN!r}: the admin listener has one address")
        taken.pop_all()
    return Handed(tuple(api), admin[0] if admin else None)


def _from_systemd(given: dict[str, str], pid: int, first: int) -> Iterator[tuple[int, str]]:
    """Descriptors and their names; none where they are another process's."""
    if given.get("LISTEN_PID") != str(pid):
        return
    count = given.get("LISTEN_FDS", "")
    if not re.fullmatch(r"[0-9]{1,6}", count):
        raise BadHandover(f"LISTEN_FDS: {count!r} is no number of sockets: start Openline by systemd, or unset it")
    names = given["LISTEN_FDNAMES"].split(":") if "LISTEN_FDNAMES" in given else [API] * int(count)
    if len(names) != int(count):
        raise BadHandover(f"LISTEN_FDNAMES: has {len(names)} names for {count} sockets: give one for each, or unset it")
    yield from enumerate(names, first)


def _from_launchd(given: dict[str, str], library: ctypes.CDLL | None) -> Iterator[tuple[int, str]]:
    """What launch_activate_socket(3) gives for each key that the variable names."""
    if not given.get(LAUNCHD_VARIABLE):
        return
    library = library or ctypes.CDLL(None)  # all that the process has loaded: libSystem is always among it
    try:
        activate = library.launch_activate_socket
    except AttributeError:
        raise BadHandover(f"{LAUNCHD_VARIABLE}: only macOS has such sockets: unset it") from None
    activate.restype = ctypes.c_int
    for name in given[LAUNCHD_VARIABLE].split(","):
        descriptors = ctypes.POINTER(ctypes.c_int)()
        count = ctypes.c_size_t()
        error: int = activate(os.fsencode(name), ctypes.byref(descriptors), ctypes.byref(count))
        if error:
            raise BadHandover(
                f"{LAUNCHD_VARIABLE}: launchd has no socket {name!r} for this process ({os.strerror(error)}): it gives"
                " one to the job whose Sockets has that key, and once"
            )
        for at in range(count.value):
            yield descriptors[at], name
        library.free(descriptors)


def _listening(descriptor: int, name: str) -> socket.socket:
    """The socket, kept from children. Raises BadHandover where it is not one that callers can connect to."""
    who = f"descriptor {descriptor} ({name!r}), with which Openline was started,"
    try:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keyword
        sock = socket.socket(fileno=descriptor)
    except OSError as error:
        raise BadHandover(f"{who} is no socket ({error.strerror}): hand over a listening one") from None
    families = {socket.AF_INET, socket.AF_INET6, *([socket.AF_UNIX] if name == ADMIN else [])}
    for problem, found in {
        "is no stream socket: use ListenStream": sock.type != socket.SOCK_STREAM,
        "is not of TCP: callers connect to HOST:PORT": sock.family not in families,
        "does not listen: use Accept=no": not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
    }.items():
        if found:
            sock.close()
            raise BadHandover(f"{who} {problem}")
    return sock


def _named(host: str, port: int) -> set[tuple[str, int]]:
    """The addresses that `listen` stands for. Raises BadHandover where the host has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BadHandover(f"listen: {host!r} has no address here: {error.strerror}") from None
    return {(str(address[0]), int(address[1])) for *_, address in found}


def _may_tell(sock: socket.socket, settings: Settings) -> bool:
    """Whether the admin listener may be there: as `admin_listen` says, and with `auto` where its default could be."""
    wanted = settings.admin_address
    if wanted == "off":
        return False
    if sock.family == socket.AF_UNIX:
        return wanted == "auto" or wanted == Path(os.fsdecode(sock.getsockname()))
    host, port = sock.getsockname()[:2]
    if wanted == "auto":
        return is_loopback(host)
    return isinstance(wanted, tuple) and (host, port) in _named(*wanted)


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
