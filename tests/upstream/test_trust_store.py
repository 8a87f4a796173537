"""The trust store: this system's own decides whom Openline trusts."""

import ssl

import truststore

from proxy.upstream.tls import tls_context


def test_the_systems_own_store_decides() -> None:
    """Keychain, certificate store or OpenSSL's folder, by system: no library's bundle, and nothing unverified."""
    context = tls_context("")
    assert isinstance(context, truststore.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
