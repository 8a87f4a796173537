"""The way upstream: what went wrong on it is said in words, with the host and nothing that may be a secret."""

import errno
import socket
import ssl

import pytest

from proxy.upstream.address import Address
from proxy.upstream.forward import ForwardProxy, forward_proxy
from proxy.upstream.way import Way

HTTPS = "https://api.example/marker/v1"


class Wrapped(Exception):
    """As libraries wrap what the system says."""


def wrapped(cause: BaseException) -> BaseException:
    """An error of a library's, with that cause."""
    error = Wrapped("ClientConnectorError marker")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "marker"), "Connection refused"),
        (OSError(errno.ENETUNREACH, "marker"), "Network is unreachable"),
        (socket.gaierror(-2, "marker"), "its name leads to no address"),
        (TimeoutError(), "no answer in time"),
        (EOFError("marker"), "it hung up"),
        (ConnectionError("marker"), "it hung up"),
        (ValueError("marker"), "what it said is no answer"),
        (ssl.SSLCertVerificationError("marker"), "its certificate comes from an authority that is not known here"),
    ],
)
def test_in_words(error: BaseException, words: str, wrap: bool) -> None:  # noqa: FBT001
    """However it comes: no name of this program's own, no path, nothing that an error's text may hold."""
    said = Way(Address(HTTPS)).trouble(wrapped(error) if wrap else error)
    assert said.startswith(f"the upstream (api.example): {words}")
    assert "marker" not in said


def test_a_forward_proxy_may_be_what_is_wrong() -> None:
    """Where TLS is spoken to it as well, it cannot be told which of the two it was."""
    forward = forward_proxy(HTTPS, {"https_proxy": "https://user:marker@proxy.example:1"})
    assert isinstance(forward, ForwardProxy)
    said = Way(Address(HTTPS), forward).trouble(TimeoutError())
    assert said == "the forward proxy or the upstream (api.example): no answer in time"
