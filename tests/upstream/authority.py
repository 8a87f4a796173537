"""An authority of our own: certificates that are right, for another host, expired, or from nobody known."""

import datetime
import ssl
from pathlib import Path

import trustme

NAME = "upstream.test"
"""A host name that no resolver knows: only a forward proxy leads there."""


class Authority:
    """Issues certificates; `file` is what makes them trusted."""

    def __init__(self, place: Path) -> None:
        self._authority = trustme.CA()
        self.file = place / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def write(self, path: Path, *names: str) -> None:
        """A key and a certificate for these names, in one file."""
        self._authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(str(path))

    def context(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        """A server's context, with a certificate for these names."""
        ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        issued = self._authority.issue_cert(*(names or ("127.0.0.1", NAME)), not_after=ago if expired else None)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        return context


def certificate(place: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a fresh certificate for 127.0.0.1, and the file that makes it trusted."""
    authority = Authority(place)
    return authority.context("127.0.0.1"), authority.file
