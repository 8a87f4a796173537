"""TLS to the upstream: whom Openline trusts, and what a certificate that it does not trust means."""

import ssl
import sys
from pathlib import Path

import truststore

from proxy.errors import StartFault

# What OpenSSL calls them (X509_V_ERR_…).
_EXPIRED = (9, 10)
_OTHER_NAME = (62, 64)


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Verification against the system's authorities, `SSL_CERT_FILE` and `SSL_CERT_DIR`, and those in `ca_file`.

    Raises:
        StartFault: `ca_file` cannot be read, or holds no certificate.
    """
    context = _system_trust()
    if not ca_file:
        return context
    try:
        Path(ca_file).read_bytes()
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError:
        raise StartFault(f"upstream.ca_file: {ca_file} holds no certificate in PEM form") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartFault(f"upstream.ca_file: {ca_file} cannot be read: {reason}") from None
    return context


def _system_trust() -> ssl.SSLContext:
    """A context that trusts whom the system does.

    Where OpenSSL finds the authorities in its own file they are read once. truststore, which knows of other places,
    reads them anew for each connection: tens of milliseconds, in which nothing else is done.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform not in {"darwin", "win32"}:
        context.load_default_certs()
        if context.cert_store_stats()["x509_ca"]:
            return context
    trusting: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_default_certs()
    return trusting


def certificate_trouble(error: BaseException) -> str | None:
    """What is wrong with a certificate and what to do, if that is what the error is about; else None."""
    while error.__cause__:
        error = error.__cause__
    if not isinstance(error, ssl.SSLCertVerificationError):
        return None
    code = getattr(error, "verify_code", 0)  # there only where OpenSSL, or truststore, said which
    if code in _EXPIRED:
        return "its certificate has expired, or is not valid yet: check the clock here, and the upstream"
    if code in _OTHER_NAME:
        return "its certificate is for another host: check upstream.url"
    return (
        "its certificate comes from an authority that is not known here: if it is one of your own, or a proxy's that"
        " reads TLS, name its file in upstream.ca_file"
    )
