"""The schema: which values are settings, and what is said of those that are not."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import InvalidSettingError, Pool, Settings, Upstream, is_loopback
from proxy.token import Token


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("127.0.0.1:6736", "127.0.0.1", 6736),
        ("127.0.0.2:0", "127.0.0.2", 0),
        ("localhost:65535", "localhost", 65535),
        ("[::1]:80", "::1", 80),
    ],
)
def test_listen_is_given_in_its_parts(listen: str, host: str, port: int) -> None:
    """A loopback address is split into the host, without brackets, and the port."""
    settings = Settings(listen=listen)
    assert (settings.listen_host, settings.listen_port) == (host, port)


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        ("127.0.0.1", "'127.0.0.1' has no port: write it as 127.0.0.1:6736"),
        ("[::1]", "'[::1]' has no port: write it as 127.0.0.1:6736"),
        ("", "'' has no port: write it as 127.0.0.1:6736"),
        (":6736", "':6736' has no host: write it as 127.0.0.1:6736"),
        ("::1:6736", "'::1:6736': an IPv6 address goes in brackets, as in [::1]:6736"),
        ("127.0.0.1:65536", "'65536' is not a port: it must be a number from 0 to 65535"),
        ("a..b:80", "'a..b:80': no host has such a name (a part is empty or too long)"),
        (f"{'a' * 64}:80", f"'{'a' * 64}:80': no host has such a name (a part is empty or too long)"),
        ("a\0b:80", "'a\\x00b:80': no host has such a name (a part is empty or too long)"),
        ("127.0.0.1:http", "'http' is not a port: it must be a number from 0 to 65535"),
        ("127.0.0.1:", "'' is not a port: it must be a number from 0 to 65535"),
        ("127.0.0.1:-1", "'-1' is not a port: it must be a number from 0 to 65535"),
        ("127.0.0.1:٣", "'٣' is not a port: it must be a number from 0 to 65535"),
    ],
)
def test_a_listen_address_that_cannot_be_is_refused(listen: str, problem: str) -> None:
    """An address without host, port or brackets is refused with the form to use."""
    with pytest.raises(InvalidSettingError) as refused:
        Settings(listen=listen)
    assert (refused.value.key, refused.value.problem) == ("listen", problem)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "example.com", "localhost.example.com"])  # noqa: S104 - refused
def test_an_address_that_others_reach_is_refused(host: str) -> None:
    """Without a token only loopback is listened on."""
    with pytest.raises(
        InvalidSettingError,
        match=r"not a loopback address.*set token_file \(or OPENLINE_TOKEN\), or listen on 127.0.0.1",
    ):
        Settings(listen=f"{host}:6736")


TOKEN = Token("marker-0123456789abcdef")


@pytest.mark.parametrize("listen", ["0.0.0.0:6736", "[::]:0", "box.local:80"])
def test_with_a_token_any_address_will_do(listen: str) -> None:
    """Who reaches the listener must show the token there, so that others may reach it."""
    assert Settings(listen=listen, token=TOKEN).listen == listen


def test_a_token_file_that_nobody_read_is_refused() -> None:
    """Settings that were not loaded cannot promise a token and listen without one."""
    with pytest.raises(InvalidSettingError, match=r"^token_file: "):
        Settings(token_file="token")


def test_the_token_is_not_in_a_repr() -> None:
    """Settings may be printed, formatted and compared: the token cannot be read from them, nor be encoded."""
    settings = Settings(token=TOKEN)
    assert "marker" not in f"{settings!r} {settings} {settings.token!r} {settings.token}"
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)
    assert settings != Settings()


def test_loopback_is_what_only_this_machine_reaches() -> None:
    """Any address of the loopback networks and the name localhost; other names may lead anywhere."""
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "local"))  # noqa: S104 - no socket


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("auto", "auto"),
        ("off", "off"),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:6735", ("::1", 6735)),
        ("unix:/run/openline.sock", Path("/run/openline.sock")),
        ("unix:here", Path("here").absolute()),
        ("unix:~/here", Path("~/here").expanduser()),
    ],
)
def test_the_admin_address_is_given_in_its_parts(text: str, address: object) -> None:
    """A word, host and port, or the full path of a socket."""
    assert Settings(admin_listen=text).admin_address == address


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("of", """'of' is not "auto", "off", HOST:PORT or unix:PATH"""),
        ("", """'' is not "auto", "off", HOST:PORT or unix:PATH"""),
        (":1", "':1' has no host: write it as 127.0.0.1:6735"),
        ("::1:1", "'::1:1': an IPv6 address goes in brackets, as in [::1]:6735"),
        ("127.0.0.1:x", "'x' is not a port: it must be a number from 0 to 65535"),
        ("127.0.0.1:6736", 'is the address of `listen`: use another port, or "auto"'),
        ("unix:", "a socket's full path may have 103 bytes: write it as unix:/a/short/path"),
        (f"unix:/{'x' * 103}", "a socket's full path may have 103 bytes: write it as unix:/a/short/path"),
        ("unix:/a\0b", "a socket's full path may have 103 bytes: write it as unix:/a/short/path"),
        (
            "0.0.0.0:6735",
            (
                "'0.0.0.0' is not a loopback address, and whoever reaches it could read its status: set"
                ' admin_scope = "probes", or use 127.0.0.1 or unix:PATH'
            ),
        ),
    ],
)
def test_an_admin_address_that_cannot_be_is_refused(text: str, problem: str) -> None:
    """What is no address, the callers' own, and one that others reach: each is refused with what to do."""
    with pytest.raises(InvalidSettingError) as refused:
        Settings(admin_listen=text)
    assert (refused.value.key, refused.value.problem) == ("admin_listen", problem)


def test_probes_may_come_from_elsewhere() -> None:
    """Where it says nothing but yes and no, the admin listener may be anywhere, and needs no token."""
    assert Settings(admin_listen="0.0.0.0:1", admin_scope="probes").admin_address == ("0.0.0.0", 1)  # noqa: S104 - no socket


def test_ports_of_the_systems_choice_are_never_the_same() -> None:
    """Port 0 of `listen` and of admin_listen are two ports."""
    assert Settings(listen="127.0.0.1:0", admin_listen="127.0.0.1:0").admin_address == ("127.0.0.1", 0)


@pytest.mark.parametrize("name", ["x-openline-token", "X-Openline-Mode"])
def test_our_own_headers_are_nobodys_identity(name: str) -> None:
    """A header to Openline is never put on an upgrade: the token would go upstream."""
    with pytest.raises(InvalidSettingError, match=r"^identity_headers: .* is a header to Openline itself"):
        Upstream(identity_headers=(name,))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://host/v1", "must begin with http:// or https://"),
        ("host/v1", "must begin with http:// or https://"),
        ("", "must begin with http:// or https://"),
        ("wss://host/v1", "must begin with http:// or https:// (ws and wss follow from these)"),
        ("https:///v1", "names no host"),
        ("https://api..openai.com/v1", "names a host that cannot be (a part of its name is empty or too long)"),
        (f"https://{'a' * 64}.com/v1", "names a host that cannot be (a part of its name is empty or too long)"),
        ("https://host/v1?a=b", "must not have a query (?…)"),
        ("https://host/v1?", "must not have a query (?…)"),
        ("https://host/v1#top", "must not have a fragment (#…)"),
        ("https://me:secret@host/v1", "must not hold a user or password: credentials come with each call"),
        ("https://host:70000/v1", "is not a URL: the host or the port cannot be read"),
        ("https://[::1/v1", "is not a URL: the host or the port cannot be read"),
        ("https://host:0/v1", "has port 0, where nothing can listen"),
        ("https://ho st/v1", "must not hold white space or control characters"),
        ("https://host/v1\r\nX: y", "must not hold white space or control characters"),
    ],
)
def test_an_upstream_that_cannot_be_is_refused(url: str, problem: str) -> None:
    """A URL that no path can be added to is refused, and not repeated: it may hold a credential."""
    with pytest.raises(InvalidSettingError) as refused:
        Upstream(url=url)
    assert (refused.value.key, refused.value.problem) == ("url", problem)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://127.0.0.1:6737/v1", "http://127.0.0.1:6737/v1"),
        ("https://[::1]:8443/v1/", "https://[::1]:8443/v1"),
        ("HTTPS://host", "HTTPS://host"),
    ],
)
def test_an_upstream_loses_only_its_closing_slash(url: str, kept: str) -> None:
    """A usable URL stays as written, apart from a slash at its end."""
    assert Upstream(url=url).url == kept


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "a\n", "a,b"])
def test_a_header_name_must_be_a_token(name: str) -> None:
    """What HTTP does not allow as a header's name is refused in both lists of headers."""
    with pytest.raises(InvalidSettingError) as identity:
        Upstream(identity_headers=("x-team", name))
    with pytest.raises(InvalidSettingError) as semantic:
        Upstream(semantic_headers=("x-team", name))
    assert [identity.value.key, semantic.value.key] == ["identity_headers", "semantic_headers"]
    assert identity.value.problem == semantic.value.problem == f"{name!r} is not a header name"


@pytest.mark.parametrize("value", ["a\r\nx: y", "ä", " a", "a\n"])
def test_the_beta_header_must_be_a_header_value(value: str) -> None:
    """A value that would break the upgrade request apart is refused."""
    with pytest.raises(InvalidSettingError, match=r"^beta_header: must be plain ASCII"):
        Upstream(beta_header=value)


def test_the_documented_beta_header_is_taken() -> None:
    """The value that hosts ask for is a valid one, and so is a list of two."""
    for value in ("responses_websockets=2026-02-06", "a=1, b=2"):
        assert Upstream(beta_header=value).beta_header == value


@pytest.mark.parametrize("host", ["http://box.local", "box local", "", "box.local:80", ":80", "[::1]", "box/"])
def test_an_allowed_host_is_a_name(host: str) -> None:
    """A URL, a path, a port or brackets do not belong to a host."""
    with pytest.raises(InvalidSettingError, match=r"^allowed_hosts: .* is not a host without a port"):
        Settings(allowed_hosts=(host,))


@pytest.mark.parametrize("origin", ["localhost:3000", "null", "*", "http://a/path", "1a://a", "http://"])
def test_an_allowed_origin_is_scheme_and_host(origin: str) -> None:
    """Anything but scheme://host[:port] is not an origin."""
    with pytest.raises(InvalidSettingError, match=r"^allowed_origins: .* is not an origin"):
        Settings(allowed_origins=("http://localhost:3000", origin))


def test_good_names_of_callers_are_taken() -> None:
    """Names and addresses are allowed in hosts and origins, ports in origins."""
    settings = Settings(
        allowed_hosts=("box.local", "BOX", "::1", "192.0.2.1"),
        allowed_origins=("https://app.example", "http://[::1]:3000", "app://notes.example", "http://a:443"),
    )
    assert len(settings.allowed_hosts) == 4


@pytest.mark.parametrize("origin", ["http://localhost:80", "HTTPS://app.example:443"])
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    """Browsers leave out the usual port: with it a page would be kept out without a word why."""
    with pytest.raises(InvalidSettingError, match=r"^allowed_origins: .* leave the usual port out"):
        Settings(allowed_origins=(origin,))


@given(st.sampled_from(["wait_seconds", "pong_seconds", "breaker_seconds"]), st.floats(max_value=-1e-9))
def test_no_time_is_negative(key: str, value: float) -> None:
    """Negative seconds are refused where values are read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({key: value}, Pool)


def test_settings_cannot_be_changed() -> None:
    """Settings are frozen, so that no part of the proxy can change another's."""
    with pytest.raises(AttributeError):
        Settings().pool.max_connections = 1  # type: ignore[misc] # the point of the test
