"""The occupant: whoever holds the port that we were to listen on."""

import contextlib
import re
from pathlib import Path
from typing import Literal

import aiohttp
import msgspec

_ASK_SECONDS = 1.0
_ANSWER_BYTES = 4_096
_LISTENING = "0A"


class _Health(msgspec.Struct, frozen=True):
    """What another Openline says of itself."""

    name: Literal["openline"]
    version: str
    pid: int


async def describe(host: str, port: int) -> str:
    """One clause: which program listens at `host:port`, as far as it can be told within a second or so."""
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    health = await _health(f"{base}/healthz")
    if health is not None:
        return f"openline is already running (pid {health.pid}, version {health.version}) at {base}/v1"
    return _holder(port) or "another program is listening there"


async def _health(url: str) -> _Health | None:
    """What an Openline answers; None from any other program."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ASK_SECONDS)) as session,
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
