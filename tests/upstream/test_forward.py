"""The forward proxy: which one the environment asks for, as a table."""

import pytest

from proxy.errors import StartFault
from proxy.upstream.forward import ForwardProxy, forward_proxy

API = "https://api.example.com/v1"
PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("base", "environ", "address"),
    [
        (API, {}, None),
        (API, {"HTTPS_PROXY": PROXY}, PROXY),
        (API, {"https_proxy": PROXY}, PROXY),
        (API, {"HTTP_PROXY": PROXY}, None),
        (API, {"ALL_PROXY": PROXY}, PROXY),
        (API, {"all_proxy": PROXY, "HTTPS_PROXY": "http://other.test:1"}, "http://other.test:1"),
        (API, {"https_proxy": PROXY, "HTTPS_PROXY": "http://other.test:1"}, PROXY),
        (API, {"https_proxy": "", "HTTPS_PROXY": PROXY}, None),
        (API, {"https_proxy": "", "ALL_PROXY": PROXY}, PROXY),
        (API, {"wss_proxy": PROXY, "socks_proxy": "socks5://h:1"}, None),
        (API, {"HTTPS_PROXY": "proxy.test:3128"}, PROXY),
        (API, {"HTTPS_PROXY": "http://proxy.test"}, "http://proxy.test:80"),
        (API, {"HTTPS_PROXY": "https://proxy.test/"}, "https://proxy.test:443"),
        (API, {"HTTPS_PROXY": "http://[::1]:8080"}, "http://[::1]:8080"),
        ("http://api.example.com/v1", {"HTTPS_PROXY": PROXY}, None),
        ("http://api.example.com/v1", {"HTTP_PROXY": PROXY}, PROXY),
    ],
)
def test_which_variable_counts(base: str, environ: dict[str, str], address: str | None) -> None:
    """By the upstream's scheme, else ALL_PROXY; lower case before upper case; an empty value is none."""
    found = forward_proxy(base, environ)
    assert (found and found.address) == address


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("credential", ["", "me:s3cret@"])
def test_the_variable_is_known(name: str, credential: str) -> None:
    """Who reads of a forward proxy is told where it was named."""
    found = forward_proxy(API, {name: f"http://{credential}proxy.test:3128"})
    assert found
    assert found.variable == name


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "sim.localhost"])
def test_a_loopback_upstream_has_no_proxy(host: str) -> None:
    """A proxy elsewhere would reach its own machine there, and one here adds nothing."""
    assert forward_proxy(f"http://{host}:6737/v1", {"http_proxy": PROXY, "all_proxy": "socks5://h"}) is None


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("api.example.com", "*", True),
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "other.test, example.com", True),
        ("api.example.com", ".example.com", True),
        ("api.example.com", "*.example.com", True),
        ("example.com", ".example.com", True),
        ("api.example.com", "API.Example.COM", True),
        ("notexample.com", "example.com", False),
        ("api.example.com", "example.com.evil.test", False),
        ("api.example.com", "", False),
        ("api.example.com", " , ,", False),
        ("api.example.com", "example.com:443", True),
        ("api.example.com", "example.com:8443", False),
        ("api.example.com:8443", "example.com:8443", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "11.0.0.0/8", False),
        ("10.1.2.3", "10.0.0.0/99", False),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "2.3", False),
        ("[2001:db8::1]", "2001:db8::1", True),
        ("[2001:db8::1]", "[2001:db8::1]", True),
        ("[2001:db8::1]", "[2001:db8::1]:443", True),
        ("[2001:db8::1]", "[2001:db8::1]:444", False),
        ("[2001:db8::1]", "2001:db8::/32", True),
        ("api.example.com", "10.0.0.0/8", False),
    ],
)
def test_no_proxy(host: str, no_proxy: str, direct: bool) -> None:  # noqa: FBT001
    """Names with their subdomains, addresses, networks, each with a port or without, and `*`."""
    for name in ("no_proxy", "NO_PROXY"):
        found = forward_proxy(f"https://{host}/v1", {"https_proxy": PROXY, name: no_proxy})
        assert (found is None) is direct


@pytest.mark.parametrize(
    ("value", "user", "password", "header", "url"),
    [
        ("http://u:p@h:1", "u", "p", "Basic dTpw", "http://u:p@h:1"),
        ("u:p@h:1", "u", "p", "Basic dTpw", "http://u:p@h:1"),
        ("http://u@h:1", "u", "", "Basic dTo=", "http://u:@h:1"),
        ("http://a%40b:%C3%A9%2F%3a@h:1", "a@b", "é/:", "Basic YUBiOsOpLzo=", "http://a%40b:%C3%A9%2F%3A@h:1"),
    ],
)
def test_a_credential_is_decoded(value: str, user: str, password: str, header: str, url: str) -> None:
    """Percent-encoding is undone for the header, and made anew for the library that wants a URL."""
    found = forward_proxy(API, {"https_proxy": value})
    assert found is not None
    assert (found.user, found.password, found.address) == (user, password, "http://h:1")
    assert found.headers == {"Proxy-Authorization": header}
    assert found.with_credential == url


def test_without_a_credential_nothing_is_sent() -> None:
    """No user, no header."""
    assert ForwardProxy(PROXY).headers == {}
    assert ForwardProxy(PROXY).with_credential == PROXY


def test_a_credential_is_not_shown() -> None:
    """A repr ends up in tracebacks."""
    found = forward_proxy(API, {"https_proxy": "http://someone:secret@h:1"})
    assert "secret" not in repr(found)
    assert "someone" not in repr(found)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("socks5://u:secret@h:1", "names a SOCKS proxy.*NO_PROXY=api.example.com"),
        ("socks5h://h:1", "SOCKS"),
        ("ftp://h:1", "must begin with http:// or https://"),
        ("http://:1", "names no host"),
        ("http://h:0", "port 0"),
        ("http://h:99999", "cannot be read"),
        ("http://h:secret", "cannot be read"),
        ("http://h:1/secret", "must not have a path"),
        ("http://h:1?secret", "must not have a path"),
        ("http://h:1#secret", "must not have a path"),
        ("http://h é:1", "ASCII"),
        ("http://h\x7f:1", "ASCII"),
        ("http://a%3Ab:secret@h:1", "colon"),
    ],
)
def test_what_cannot_be_used_stops_the_start(value: str, problem: str) -> None:
    """One line that names the variable, and does not repeat its value: going without would be a silent change."""
    with pytest.raises(StartFault, match=f"^HTTPS_PROXY: .*{problem}") as caught:
        forward_proxy(API, {"HTTPS_PROXY": value})
    assert "secret" not in str(caught.value)
    assert forward_proxy(API, {"HTTPS_PROXY": value, "NO_PROXY": "example.com"}) is None
