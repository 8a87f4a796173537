"""Terms: what becomes of turns in a running Openline, so that another command can tell whether it may share it."""

import hashlib
from collections.abc import Mapping

import msgspec

from proxy.config import Mode, Settings
from proxy.upstream.forward import forward_proxy

ENGINE = ("match", "replay", "after_loss", "upstream", "pool", "heads", "timeouts")
"""The settings that an engine is made by; all others are the server's."""
_DIGEST_SIZE = 8


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What it goes by now. For the owner alone: an upstream's path may be a secret."""

    digest: str
    """Equal where the same would become of a turn."""
    upstream: str
    """The whole URL."""
    token: bool
    """Whether callers must show one."""
    ready: bool
    """Whether it takes new turns."""


def digest(settings: Settings, mode: Mode, environ: Mapping[str, str]) -> str:
    """What turns go by: the engine's settings, the mode, and the forward proxy that the environment names.

    Raises:
        StartFault: the environment names what cannot be used.
    """
    forward = forward_proxy(settings.upstream.url, environ)
    told = [mode, forward.address if forward else None, [getattr(settings, name) for name in ENGINE]]
    return hashlib.blake2b(msgspec.json.encode(told), digest_size=_DIGEST_SIZE).hexdigest()
