"""Terms: what becomes of turns in a running Openline, so that another command can tell whether it may share it."""

import hashlib
import os
from collections.abc import Mapping

import msgspec

from proxy.config import Mode, Settings
from proxy.errors import StartFault
from proxy.upstream.forward import forward_proxy

ENGINE = ("match", "replay", "after_loss", "upstream", "pool", "heads", "timeouts")
"""The settings that an engine is made by; all others are the server's."""
_DIGEST_SIZE = 8
# Read by the TLS library itself.
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What it goes by now. For the owner alone: an upstream's path may be a secret."""

    digest: str
    """Equal where the same would become of a turn."""
    way: str
    """Equal where keys would go the same way; `openline exec` puts it into the path, and others are refused."""
    upstream: str
    """The whole URL."""
    mode: Mode
    """What becomes of turns now, whatever the settings say."""
    token: bool
    """Whether callers must show one."""
    ready: bool
    """Whether it takes new turns."""


def digest(settings: Settings, mode: Mode, environ: Mapping[str, str]) -> str:
    """What turns go by: the engine's settings, the mode, and the way to the upstream.

    Raises:
        StartFault: the environment names what cannot be used.
    """
    # The file of authorities is in the way, wherever it was named from.
    upstream = msgspec.structs.replace(settings.upstream, ca_file="")
    others = [getattr(settings, name) for name in ENGINE if name != "upstream"]
    return _digest([mode, way(settings, environ), upstream, others])


def way(settings: Settings, environ: Mapping[str, str]) -> str:
    """Where keys go, and whom TLS trusts there: the upstream, the forward proxy, the files of authorities.

    Raises:
        StartFault: the environment names what cannot be used.
    """
    forward = forward_proxy(settings.upstream.url, environ)
    trusted = [_absolute(name) for name in (settings.upstream.ca_file, *(environ.get(one, "") for one in _AUTHORITIES))]
    return _digest([settings.upstream.url, forward.address if forward else None, trusted])


def _absolute(name: str) -> str:
    """A file's name as it is read from any folder."""
    try:
        return os.path.abspath(name) if name else ""  # noqa: PTH100 - what it links to may change
    except FileNotFoundError:
        raise StartFault(f"{name}: is in the current folder, which has been removed") from None


def _digest(told: object) -> str:
    return hashlib.blake2b(msgspec.json.encode(told), digest_size=_DIGEST_SIZE).hexdigest()
