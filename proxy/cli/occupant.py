"""The occupant: whoever holds the port that we were to listen on."""

import contextlib
import re
from pathlib import Path
from typing import Literal

import aiohttp
import msgspec

from proxy.telemetry.logs import printable

_ASK_SECONDS = 1.0
_ANSWER_BYTES = 4_096
_LISTENING = "0A"
_LONGEST = 200
# Where everything is listened on, by which address to ask.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with


class _Health(msgspec.Struct, frozen=True):
    """What another Openline says of itself: to those who show no token, where it wants one, its name alone."""

    name: Literal["openline"]
    version: str | None = None
    pid: int | None = None
    api: str | None = None


async def describe(place: Path | tuple[str, int]) -> str:
    """One clause: which program listens there, as far as it can be told within a second or so."""
    return await openline_at(place) or program_at(place)


async def openline_at(place: Path | tuple[str, int]) -> str | None:
    """The clause about the Openline that answers there; None where none does."""
    health = await _health(place)
    if health is None:
        return None
    about = f" (pid {health.pid}, version {health.version})" if health.pid and health.version else ""
    return printable(f"openline is already running{about} {f'at {health.api}' if health.api else 'there'}", _LONGEST)


def program_at(place: Path | tuple[str, int]) -> str:
    """The clause about any other program, by name where that can be seen."""
    return (None if isinstance(place, Path) else _holder(place[1])) or "another program is listening there"


async def _health(place: Path | tuple[str, int]) -> _Health | None:
    """What an Openline answers; None from any other program."""
    if isinstance(place, Path):
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(str(place))
        url = "http://localhost/healthz"
    else:
        host, port = _LOOPBACK.get(place[0], place[0]), place[1]
        connector = aiohttp.TCPConnector()
        url = f"http://[{host}]:{port}/healthz" if ":" in host else f"http://{host}:{port}/healthz"
    timeout = aiohttp.ClientTimeout(total=_ASK_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            body = await response.content.read(_ANSWER_BYTES)
        return msgspec.json.decode(body, type=_Health)
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
        return None


def _holder(port: int) -> str | None:
    """The program by name and pid, from Linux's /proc; None elsewhere, or where it belongs to another user."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # closed or ended meanwhile, or not ours to look at
            if str(fd.readlink()) in sockets:
                process = fd.parent.parent
                name = re.sub(r"[^\x20-\x7e]", "?", (process / "comm").read_text().strip())
                return f"another program is listening there: {name} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    """The inodes of all sockets that listen on `port`, from the kernel's tables."""
    inodes = set()
    for table in Path("/proc/net").glob("tcp*"):  # tcp and, where there is IPv6, tcp6
        for row in table.read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes
