"""The trust store: this system's own decides whom Openline trusts."""

import ssl
from pathlib import Path

import pytest
import trustme
import truststore

from proxy.upstream.tls import tls_context


def test_the_systems_own_store_decides() -> None:
    """Keychain, certificate store or OpenSSL's file, by system: no library's bundle, and nothing unverified."""
    context = tls_context("")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert isinstance(context, truststore.SSLContext) or context.cert_store_stats()["x509_ca"] > 0


def test_a_file_that_openssl_is_told_of_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The context holds its authorities, so that no connection has to read them again."""
    monkeypatch.setattr("sys.platform", "linux")
    file = tmp_path / "authorities.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = tls_context("")
    assert not isinstance(context, truststore.SSLContext)
    assert context.cert_store_stats()["x509_ca"] == 1


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_where_openssl_finds_none_the_library_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str
) -> None:
    """In the keychain, the certificate store, or wherever else a system may keep them."""
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert isinstance(tls_context(""), truststore.SSLContext)
