"""A status: what a running Openline tells of itself on its listeners. Counts and names, nothing of any caller."""

import os
from dataclasses import dataclass, field

from proxy import __version__
from proxy.upstream.status import PoolStatus

# Who listens everywhere is reached from here by one of its addresses.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with


def url(host: str, port: int) -> str:
    """How programs of this machine reach what listens there."""
    host = _EVERYWHERE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is here, and where else it listens."""

    name: str = "openline"
    version: str = __version__
    pid: int = field(default_factory=os.getpid)
    api: str | None = None
    """The base URL for callers."""
    admin: str | None = None
    """Where the admin listener is, `http://…` or `unix:…`; None where it is off."""


@dataclass(frozen=True, slots=True)
class Status:
    """How it is doing, now."""

    identity: Identity
    uptime_seconds: float
    mode: str
    upstream: str
    """Scheme, host and port; a path may be a secret."""
    unready: str | None
    """Why nothing new is taken; None where it is."""
    running: int
    """Turns and requests in flight."""
    connections: int
    """Callers' connections."""
    pool: PoolStatus
