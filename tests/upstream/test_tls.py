"""TLS: whom a context trusts, and what is said of a certificate that it does not trust."""

import asyncio
import contextlib
import ssl
import subprocess
from pathlib import Path

import pytest

from proxy.errors import StartFault
from proxy.upstream.tls import certificate_trouble, tls_context
from tests.upstream.authority import Authority


async def greets(context: ssl.SSLContext, server: ssl.SSLContext, name: str = "127.0.0.1") -> None:
    """A handshake between the two, over a real socket. Raises what the client's side raises."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(wait, "127.0.0.1", 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        writer.transport.abort()


async def refused(context: ssl.SSLContext, server: ssl.SSLContext, name: str = "127.0.0.1") -> str:
    """What is said of a handshake that must fail."""
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        await greets(context, server, name)
    return certificate_trouble(caught.value) or ""


async def test_ca_file_is_trusted(no_trust: Path) -> None:
    """What the file's authority signed is let in."""
    authority = Authority(no_trust)
    await greets(tls_context(str(authority.file)), authority.context())


async def test_ca_file_is_added(no_trust: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are trusted as before: those of SSL_CERT_FILE, say."""
    ours, theirs = Authority(no_trust), Authority(_folder(no_trust))
    monkeypatch.setenv("SSL_CERT_FILE", str(theirs.file))
    context = tls_context(str(ours.file))
    await greets(context, ours.context())
    await greets(context, theirs.context())
    assert "upstream.ca_file" in await refused(tls_context(""), ours.context())


async def test_ssl_cert_dir_is_trusted(no_trust: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of certificates, named as OpenSSL wants them."""
    authority, folder = Authority(no_trust), _folder(no_trust)
    command = ["openssl", "x509", "-noout", "-hash", "-in", str(authority.file)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: ASYNC221, S603 - fixed words
    (folder / f"{name}.0").write_bytes(authority.file.read_bytes())
    assert "upstream.ca_file" in await refused(tls_context(""), authority.context())
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    await greets(tls_context(""), authority.context())


async def test_what_is_said_of_a_bad_certificate(no_trust: Path) -> None:
    """Who is unknown, who is another, and what is over: three causes, three things to do."""
    authority = Authority(no_trust)
    context = tls_context(str(authority.file))
    assert "name its file in upstream.ca_file" in await refused(tls_context(""), authority.context())
    assert "check upstream.url" in await refused(context, authority.context("other.test"))
    assert "check upstream.url" in await refused(context, authority.context("other.test"), "upstream.test")
    assert "expired" in await refused(context, authority.context(expired=True))


def test_other_errors_are_no_certificate_trouble() -> None:
    """Only a certificate is talked of as one, however deep it lies."""
    assert certificate_trouble(OSError()) is None
    assert certificate_trouble(ssl.SSLError(1, "handshake failure")) is None
    outer = RuntimeError()
    outer.__cause__ = ssl.SSLCertVerificationError(1, "no")
    assert certificate_trouble(outer)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no certificate in PEM form"),
        (b"hello", "holds no certificate in PEM form"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate in PEM form"),
        ("folder", "cannot be read: Is a directory"),
    ],
)
def test_a_ca_file_that_cannot_be_used_stops_the_start(
    content: bytes | str | None, problem: str, tmp_path: Path
) -> None:
    """One line that names the setting and the file."""
    path = tmp_path / "ca.pem"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(StartFault) as caught:
        tls_context(str(path))
    assert str(caught.value) == f"upstream.ca_file: {path} {problem}"


def _folder(place: Path) -> Path:
    folder = place / "more"
    folder.mkdir()
    return folder
