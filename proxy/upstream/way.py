"""The way to the upstream: its address, the forward proxy, and whom TLS trusts; one for both transports."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

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
        """What went wrong on it, in words for a person: no address, no credential."""
        who = "the forward proxy or the upstream" if self.forward and self.forward.secure else "the upstream"
        certificate = certificate_trouble(error)
        return f"{who}: {certificate}" if certificate else f"{type(error).__name__}"


def way_upstream(settings: Settings, environ: Mapping[str, str]) -> Way:
    """The way that the settings and the environment call for. Raises StartFault where one of them cannot be used."""
    address = Address(settings.upstream.url)
    forward = forward_proxy(address.base, environ)
    secure = address.responses_socket.startswith("wss:") or (forward is not None and forward.secure)
    # A file that was named is read in any case: a slip in its name must show at the start.
    tls = tls_context(settings.upstream.ca_file) if secure or settings.upstream.ca_file else None
    return Way(address, forward, tls if secure else None)
