"""What this machine has for Openline: its addresses, and enough open files."""

import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.config import Settings, is_loopback
from proxy.doctor.checks import Finding, Name, failed, note, ok
from proxy.server.descriptors import affordable, raise_limit
from proxy.server.listener import bind
from proxy.server.socket_file import SocketFile

Place = Path | tuple[str, int]
# Beside two for each caller.
_OTHER_FILES = 100


@dataclass(frozen=True, slots=True)
class Occupant:
    """Whoever listens at a place that is taken."""

    is_openline: bool
    clause: str
    """Who it is, in words."""


Ask = Callable[[Place], Awaitable[Occupant]]


async def port(settings: Settings, ask: Ask) -> Finding:
    """Whether callers can be listened to."""
    place = (settings.listen_host, settings.listen_port)
    return await _place("port", place, ask, "choose another port with --port (0: any free one)")


async def admin(settings: Settings, ask: Ask) -> Finding:
    """Whether the admin listener has its place; `auto` finds one in any case."""
    place, callers = settings.admin_address, (settings.listen_host, settings.listen_port)
    if place == "off":
        return ok("admin", "off, as admin_listen says")
    if place != "auto":
        return await _place("admin", place, ask, 'choose another in admin_listen, or "auto"', callers)
    host = settings.listen_host
    # Where `auto` looks first.
    usual = (host if is_loopback(host) and host != "localhost" else "127.0.0.1", max(settings.listen_port - 1, 0))
    found = await _place("admin", usual, ask, "", callers)
    return found if found.state == "ok" else note("admin", f"{found.text}: another port will be found")


def files(settings: Settings) -> Finding:
    """Whether the system lets this user open as many files as the settings ask for."""
    limit, wanted = raise_limit(), settings.limits.connections
    callers = affordable(wanted)
    if callers == wanted:
        return ok("files", f"{limit} open files are allowed: enough for the {wanted} callers of limits.connections")
    return failed(
        "files",
        f"{limit} open files are allowed: enough for {callers} callers, of {wanted} that limits.connections lets in",
        f"raise the system's limit (ulimit -Hn) to {2 * wanted + _OTHER_FILES}, or lower limits.connections",
    )


async def _place(name: Name, place: Place, ask: Ask, other: str, callers: Place | None = None) -> Finding:
    """Whether it can be listened on; `other` is what to do where it cannot.

    An Openline that has it already is fine: where the place of the callers is given, only the one that has that too.
    """
    shown = str(place) if isinstance(place, Path) else _shown(*place)
    try:
        _try(place)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return failed(name, f"{shown} cannot be listened on: {error.strerror or error}", other)
        occupant = await ask(place)
        if occupant.is_openline and (callers is None or await ask(callers) == occupant):
            return ok(name, f"{shown}: {occupant.clause}")
        return failed(name, f"{shown} is taken: {occupant.clause}", f"end that program, or {other}")
    if isinstance(place, tuple) and not place[1]:
        return ok(name, f"any free port on {place[0]}")
    return ok(name, f"{shown} is free")


def _try(place: Place) -> None:
    """Take it and give it back. Raises OSError."""
    if isinstance(place, Path):
        file = SocketFile(place)
        file.bind().close()
        file.remove()
        return
    for sock in bind(*place):
        sock.close()


def _shown(host: str, number: int) -> str:
    return f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
