"""The guard: which requests are let in."""

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.config import Settings
from proxy.errors import Problem, Refused
from proxy.server.guard import Guard
from proxy.token import Token

MARKER = "1.1 openline-abc"
SETTINGS = Settings(
    allowed_hosts=("Box.local", "fe80::1"),
    allowed_origins=("http://localhost:3000", "https://Page.example", "app://notes.example"),
)


def refusal(headers: list[tuple[str, str]], target: str = "/v1/models") -> Problem | None:
    """Why such a request is refused; None where it is let in."""
    if not any(name == "Host" for name, _ in headers):
        headers = [("Host", "localhost:6736"), *headers]
    request = make_mocked_request("GET", target, headers=dict(headers))
    try:
        Guard(SETTINGS, MARKER).check(request)
    except Refused as refused:
        return refused.problem
    return None


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:6736",
        "127.0.0.1",
        "127.0.0.1:1",
        "127.8.9.1:80",
        "[::1]",
        "[::1]:6736",
        "[0:0:0:0:0:0:0:1]:80",
        "localhost:",
        "box.local",
        "BOX.LOCAL:8080",
        "[fe80::1]:80",
    ],
)
def test_hosts_let_in(host: str) -> None:
    """Loopback names and addresses, and allowed_hosts, with any port and in any case."""
    assert refusal([("Host", host)]) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "api.openai.com",
        "evil.example:6736",
        "localhost.evil.example",
        "evil-localhost",
        "localhost.",
        "box.local.evil.example",
        "127.0.0.1.evil.example",
        "128.0.0.1",
        "0.0.0.1",
        "[::]",
        "[::1",
        "::1",
        "[::1]x",
        "[localhost]",
        "localhost:80:80",
        "localhost:http",
        "localhost/",
        "localhost#x",
        "evil@localhost",
        "localhost@evil.example",
        "local host",
        "localhost,evil.example",
        "127.1",
        "2130706433",
    ],
)
def test_hosts_kept_out(host: str) -> None:
    """A name that a foreign page could point here (DNS rebinding), and anything odd, is refused."""
    assert refusal([("Host", host)]) is Problem.HOST


ABROAD = Settings(listen="0.0.0.0:6736", token=Token("x" * 16), allowed_hosts=("box.local",))


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        ("192.0.2.7:6736", True),
        ("[2001:db8::7]:6736", True),
        ("0.0.0.0:6736", True),
        ("localhost", True),
        ("box.local:6736", True),
        ("evil.example", False),
        ("192.0.2.7.evil.example", False),
        ("1.2.3", False),
        ("", False),
    ],
)
def test_beyond_loopback_any_address_is_let_in(host: str, let_in: bool) -> None:  # noqa: FBT001 - a parameter
    """Callers elsewhere use an address of this machine; a name that was rebound is a name, and must be allowed."""
    request = make_mocked_request("GET", "/", headers={"Host": host})
    if let_in:
        Guard(ABROAD, MARKER).check(request)
        return
    with pytest.raises(Refused):
        Guard(ABROAD, MARKER).check(request)


def test_the_host_that_is_listened_on_is_let_in() -> None:
    """What the settings listen on needs no second setting; another listener has a host of its own."""
    named = Settings(listen="box.example:6736", token=Token("x" * 16))
    request = make_mocked_request("GET", "/", headers={"Host": "Box.example:6736"})
    Guard(named, MARKER).check(request)
    with pytest.raises(Refused):
        Guard(named, MARKER, listening="127.0.0.1").check(request)


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://page.example", "app://notes.example"])
def test_origins_let_in(origin: str) -> None:
    """Pages of allowed_origins may call."""
    assert refusal([("Origin", origin)]) is None


@pytest.mark.parametrize(
    "origin", ["null", "", "http://localhost", "http://localhost:3001", "https://localhost:3000", "http://evil.example"]
)
def test_origins_kept_out(origin: str) -> None:
    """Any other page is refused, ones on this machine too: browsers send Origin with what could do harm."""
    assert refusal([("Origin", origin)]) is Problem.ORIGIN


def test_nothing_is_allowed_by_default() -> None:
    """Without settings only loopback hosts and no page at all are let in."""
    guard = Guard(Settings(), MARKER)
    with pytest.raises(Refused):
        guard.check(make_mocked_request("GET", "/", headers={"Host": "box.local"}))
    with pytest.raises(Refused):
        guard.check(make_mocked_request("GET", "/", headers={"Host": "localhost", "Origin": "https://page.example"}))


@pytest.mark.parametrize("via", [MARKER, f"1.1 other, {MARKER}", f"1.0 a, {MARKER} (comment), 1.1 b"])
def test_our_own_request_is_refused(via: str) -> None:
    """A request that already went through this proxy is a loop, wherever in Via that stands."""
    assert refusal([("Via", via)]) is Problem.LOOP


@pytest.mark.parametrize("via", ["1.1 other", "1.1 openline-abd", ""])
def test_other_proxies_may_stand_before(via: str) -> None:
    """Another proxy, another Openline too, is no loop."""
    assert refusal([("Via", via)]) is None


@pytest.mark.parametrize("target", ["http://localhost/v1/models", "*", "host:80"])
def test_targets_that_are_no_path_are_refused(target: str) -> None:
    """Absolute and authority targets would make it a forward proxy; `*` means the proxy itself."""
    assert refusal([], target) is Problem.BAD_REQUEST


@pytest.mark.parametrize(
    ("coding", "problem"), [("chunked", None), ("Chunked", None), ("gzip, chunked", Problem.BAD_REQUEST)]
)
def test_transfer_codings(coding: str, problem: Problem | None) -> None:
    """Only chunked can be undone and done again; another coding would lose its label on the way."""
    assert refusal([("Transfer-Encoding", coding)]) is problem


@pytest.mark.parametrize(
    ("upgrade", "problem"), [("websocket", Problem.UPGRADE), ("WebSocket", Problem.UPGRADE), ("h2c", None)]
)
def test_upgrades(upgrade: str, problem: Problem | None) -> None:
    """WebSocket callers are told so; an offer of HTTP/2 (Java clients make it) is passed over, as HTTP allows."""
    assert refusal([("Upgrade", upgrade), ("Connection", "Upgrade")]) is problem
