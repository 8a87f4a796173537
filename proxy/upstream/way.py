"""The way to the upstream: its address, the forward proxy, and whom TLS trusts; one for both transports."""

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.config import Settings
from proxy.upstream.address import Address
from proxy.upstream.forward import ForwardProxy, forward_proxy
from proxy.upstream.tls import certificate_trouble, tls_context


@dataclass(frozen=True, slots=True)
class Way:
    """What every connection to the upstream goes by."""

    address: Address
    forward: ForwardProxy | None = None
    tls: ssl.SSLContext | None = None
    """One for all, as an SSL context is dear (20-40 ms); None where nothing is spoken to over TLS."""

    def trouble(self, error: BaseException) -> str:
        """What went wrong on it, in words for a person: the upstream's host is named, no path and no credential."""
        upstream = f"the upstream ({urlsplit(self.address.base).netloc})"
        who = f"the forward proxy or {upstream}" if self.forward and self.forward.secure else upstream
        return f"{who}: {certificate_trouble(error) or _in_words(error)}"


def _in_words(error: BaseException) -> str:
    """What went wrong, without names of this program's own."""
    while error.__cause__ and not isinstance(error, OSError):
        error = error.__cause__
    if isinstance(error, socket.gaierror) or isinstance(error.__cause__, socket.gaierror):
        return "its name leads to no address"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return "it hung up" if isinstance(error, EOFError | ConnectionError) else "what it said is no answer"


def way_upstream(settings: Settings, environ: Mapping[str, str]) -> Way:
    """The way that the settings and the environment call for. Raises StartFault where one of them cannot be used."""
    address = Address(settings.upstream.url)
    forward = forward_proxy(address.base, environ)
    secure = address.responses_socket.startswith("wss:") or (forward is not None and forward.secure)
    # A file that was named is read in any case: a slip in its name must show at the start.
    tls = tls_context(settings.upstream.ca_file) if secure or settings.upstream.ca_file else None
    return Way(address, forward, tls if secure else None)
