"""The road to the upstream, with real sockets: forward proxies, names, certificates, and whoever is not there."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.config import Settings
from proxy.doctor.checks import Finding
from proxy.doctor.road import Road
from tests.doctor.host import settings
from tests.upstream.authority import NAME, Authority
from tests.upstream.between import forward_process
from tests.upstream.peer import Peer

pytestmark = pytest.mark.usefixtures("nothing_left")

NOWHERE = "http://127.0.0.1:9/v1"
# It leads to this machine as well, and is no loopback address.
HERE = "0.0.0.0"  # noqa: S104 - a place to connect to
NONE: Mapping[str, str] = {}


async def travelled(upstream: Settings, environ: Mapping[str, str] = NONE) -> tuple[Road, dict[str, Finding]]:
    """The road, and what its checks found."""
    road = Road(upstream, environ)
    return road, {found.name: found for found in (await road.forward(), await road.dns(), await road.tls())}


@asynccontextmanager
async def listening(greeting: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port that says this to whoever speaks to it, and closes; None: it takes whoever comes, and says nothing."""
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        if greeting is not None:
            await reader.read(1)
            writer.write(greeting)
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in held:
            writer.transport.abort()


@asynccontextmanager
async def secured(authority: Authority, *names: str, expired: bool = False) -> AsyncIterator[str]:
    """A host behind TLS, with a certificate for these names; gives its URL."""
    async with listening(None, authority.context(*names, expired=expired)) as number:
        yield f"https://127.0.0.1:{number}/v1"


@asynccontextmanager
async def named(authority: Authority) -> AsyncIterator[str]:
    """A host behind TLS, under a name that only a forward proxy knows; gives what to tell that proxy."""
    async with listening(None, authority.context(NAME)) as number:
        yield f"{NAME}:443={number}"


def beyond(authority: Authority) -> Settings:
    """Settings for that name."""
    return settings(f"https://{NAME}/v1", ca_file=str(authority.file))


async def test_an_open_road(peer: Peer) -> None:
    """Nothing in between, an address, a connection: all is well, and there is a way for what comes next."""
    road, found = await travelled(settings(peer.base))
    assert [one.state for one in found.values()] == ["ok", "ok", "ok"]
    assert road.way
    assert road.blocked is None
    assert found["forward"].text == "no forward proxy: the upstream is on this machine"
    assert found["dns"].text == "127.0.0.1 is an address: there is nothing to look up"
    assert found["tls"].text.startswith(f"127.0.0.1:{peer.port}, connected without TLS, ")
    assert peer.upgrades == []


async def test_without_tls_beyond_this_machine(peer: Peer) -> None:
    """It works, and is noted: whoever is on the way can read keys and prompts."""
    _, found = await travelled(settings(f"http://{HERE}:{peer.port}/v1"))
    assert (found["tls"].state, "can be read on the way" in found["tls"].advice) == ("note", True)


async def test_a_certificate_that_is_trusted(no_trust: Path) -> None:
    """The line says who issued it, and how long it took."""
    authority = Authority(no_trust)
    async with secured(authority, "127.0.0.1") as url:
        road, found = await travelled(settings(url, ca_file=str(authority.file)))
    assert road.way
    assert found["tls"].state == "ok"
    assert ", certificate by trustme" in found["tls"].text
    assert found["tls"].text.endswith("ms")


@pytest.mark.parametrize(
    ("trusted", "name", "expired", "text", "advice"),
    [
        (False, "127.0.0.1", False, "an authority that is not known here", "upstream.ca_file or SSL_CERT_FILE"),
        (True, "other.test", False, "is for another host", "check upstream.url"),
        (True, "127.0.0.1", True, "has expired", "check the clock here"),
    ],
    ids=["unknown", "another host", "expired"],
)
async def test_a_certificate_that_is_not(
    trusted: bool,  # noqa: FBT001
    name: str,
    expired: bool,  # noqa: FBT001
    text: str,
    advice: str,
    no_trust: Path,
) -> None:
    """Each reason in words, each with what to do; there is no way."""
    authority = Authority(no_trust)
    async with secured(authority, name, expired=expired) as url:
        road, found = await travelled(settings(url, ca_file=str(authority.file) if trusted else ""))
    assert (found["tls"].state, text in found["tls"].text) == ("failed", True)
    assert advice in found["tls"].advice
    assert (road.way, road.blocked) == (None, "tls")


async def test_a_port_that_speaks_no_tls() -> None:
    """https:// where http:// is spoken."""
    async with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as number:
        _, found = await travelled(settings(f"https://127.0.0.1:{number}/v1"))
    assert (found["tls"].state, "TLS fails: " in found["tls"].text) == ("failed", True)
    assert "http:// if not" in found["tls"].advice


async def test_a_port_that_hangs_up() -> None:
    """A line that ends in the middle of the handshake."""
    async with listening(b"") as number:
        _, found = await travelled(settings(f"https://127.0.0.1:{number}/v1"))
    assert found["tls"].state == "failed"
    assert found["tls"].text in (
        f"127.0.0.1:{number}: the connection was closed",
        f"127.0.0.1:{number}: Connection reset by peer",
    )


async def test_nobody_there() -> None:
    """A refused connection, in the system's words; the port and the host are named, and the path is not."""
    road, found = await travelled(settings("http://127.0.0.1:9/secret/v1"))
    assert (found["tls"].state, found["tls"].text) == ("failed", "127.0.0.1:9: Connection refused")
    assert road.blocked == "tls"
    assert "secret" not in str(found)


async def test_a_host_that_never_answers() -> None:
    """No TLS within the time that the settings give to a dial."""
    async with listening(None) as number:
        _, found = await travelled(settings(f"https://127.0.0.1:{number}/v1", seconds=0.1))
    assert found["tls"].text == f"127.0.0.1:{number}: no connection within 0.1 s"


async def test_a_ca_file_that_is_not_there(tmp_path: Path) -> None:
    """The line that the start would be refused with."""
    file = tmp_path / "none.pem"
    _, found = await travelled(settings(NOWHERE, ca_file=str(file)))
    assert found["tls"].state == "failed"
    assert found["tls"].text == f"upstream.ca_file: {file} cannot be read: No such file or directory"


async def test_a_name_with_addresses(peer: Peer) -> None:
    """The name that was looked up, and where it leads."""
    _, found = await travelled(settings(f"http://localhost:{peer.port}/v1"))
    assert found["dns"].state == "ok"
    assert found["dns"].text.startswith("localhost: ")
    assert found["tls"].state == "ok"


async def test_a_name_that_leads_nowhere() -> None:
    """The name fails, and no connection is tried."""
    road, found = await travelled(settings("https://nowhere.invalid/v1"))
    assert (found["dns"].state, found["tls"].state) == ("failed", "skipped")
    assert "upstream.url" in found["dns"].advice
    assert (road.way, road.blocked) == (None, "dns")


async def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for as long as for a dial, and holds nothing up after that."""
    may_answer = threading.Event()

    def slow(*_: object, **__: object) -> list[object]:
        may_answer.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    _, found = await travelled(settings("https://slow.test/v1", seconds=0.1))
    may_answer.set()
    assert (found["dns"].state, found["dns"].text) == ("failed", "slow.test: no answer within 0.1 s")


@pytest.mark.parametrize(
    ("url", "environ", "text"),
    [
        ("https://api.test/v1", {}, "no variable names one for api.test"),
        ("https://api.test/v1", {"HTTP_PROXY": "http://p.test:1"}, "no variable names one for api.test"),
        (
            "https://api.test/v1",
            {"HTTPS_PROXY": "http://p.test:1", "NO_PROXY": ".test"},
            "NO_PROXY exempts api.test",
        ),
        (
            "https://api.test:8443/v1",
            {"all_proxy": "socks5://p.test:1", "no_proxy": "*"},
            "NO_PROXY exempts api.test:8443",
        ),
        ("http://localhost:1/v1", {"HTTP_PROXY": "http://p.test:1"}, "the upstream is on this machine"),
        ("http://sim.localhost:1/v1", {"HTTP_PROXY": "http://p.test:1"}, "the upstream is on this machine"),
    ],
)
async def test_no_forward_proxy(url: str, environ: dict[str, str], text: str) -> None:
    """The line says why there is none."""
    found = await Road(settings(url), environ).forward()
    assert (found.state, found.text) == ("ok", f"no forward proxy: {text}")


async def test_a_forward_proxy_that_cannot_be_used() -> None:
    """The line that the start would be refused with; what lies behind is not looked at."""
    road, found = await travelled(settings(f"https://{NAME}/v1"), {"HTTPS_PROXY": "socks5://me:s3cret@127.0.0.1:9"})
    assert [one.state for one in found.values()] == ["failed", "skipped", "skipped"]
    assert found["forward"].text.startswith("HTTPS_PROXY: names a SOCKS proxy")
    assert road.blocked == "forward"
    assert "s3cret" not in str(found)


async def test_through_a_forward_proxy(no_trust: Path) -> None:
    """It is named by host, port and variable, never with its password; behind it the upstream proves itself."""
    authority = Authority(no_trust)
    async with (
        named(authority) as place,
        forward_process("--user", "me", "--password", "s3cret", place) as forward,
    ):
        environ = {"HTTPS_PROXY": f"http://me:s3cret@127.0.0.1:{forward.port}"}
        road, found = await travelled(beyond(authority), environ)
        seen = await forward.all()
    assert [one.state for one in found.values()] == ["ok", "ok", "ok"]
    assert found["forward"].text == f"127.0.0.1:{forward.port} (HTTPS_PROXY) leads to {NAME}"
    assert found["dns"].text.startswith("127.0.0.1 (the forward proxy) is an address")
    assert "certificate by trustme" in found["tls"].text
    assert road.way
    assert [one.line for one in seen] == [f"CONNECT {NAME}:443 HTTP/1.1"]
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("arguments", "text", "advice"),
    [
        (("--user", "me", "--password", "right"), "it answered 407", "the user and the password in https_proxy"),
        ((), f"it answered 502 to CONNECT {NAME}", "ask whoever runs it"),
    ],
)
async def test_a_forward_proxy_that_refuses(arguments: tuple[str, ...], text: str, advice: str, no_trust: Path) -> None:
    """A wrong password, or a place that it does not lead to: what it answered, and what to do."""
    authority = Authority(no_trust)
    async with forward_process(*arguments) as forward:
        environ = {"https_proxy": f"http://me:wr0ng@127.0.0.1:{forward.port}"}
        road, found = await travelled(beyond(authority), environ)
    assert (found["forward"].state, found["dns"].state, found["tls"].state) == ("failed", "ok", "skipped")
    assert found["forward"].text == f"127.0.0.1:{forward.port} (https_proxy): {text}"
    assert advice in found["forward"].advice
    assert found["forward"].advice.endswith(f"NO_PROXY={NAME}")
    assert road.blocked == "forward"
    assert "wr0ng" not in str(found)


@pytest.mark.parametrize(
    ("greeting", "text"),
    [
        (b"SSH-2.0-x\r\n", "it does not answer as an HTTP proxy does"),
        (b"", "it does not answer as an HTTP proxy does"),
        (None, "no connection within 0.1 s"),
    ],
)
async def test_what_is_no_forward_proxy(greeting: bytes | None, text: str) -> None:
    """Another program at its address, or one that says nothing."""
    async with listening(greeting) as number:
        environ = {"ALL_PROXY": f"http://127.0.0.1:{number}"}
        _, found = await travelled(settings(f"https://{NAME}/v1", seconds=5.0 if text[0] == "i" else 0.1), environ)
    assert (found["forward"].state, found["forward"].text) == ("failed", f"127.0.0.1:{number} (ALL_PROXY): {text}")
    assert "check ALL_PROXY" in found["forward"].advice


async def test_a_forward_proxy_that_is_not_there() -> None:
    """Nobody listens at its address."""
    _, found = await travelled(settings(f"https://{NAME}/v1"), {"HTTPS_PROXY": "http://127.0.0.1:9"})
    assert found["forward"].text == "127.0.0.1:9 (HTTPS_PROXY): Connection refused"


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b"])
async def test_a_forward_proxy_whose_name_leads_nowhere(host: str) -> None:
    """That is the name's failure; the proxy was not tried."""
    road, found = await travelled(settings(f"https://{NAME}/v1"), {"HTTPS_PROXY": f"http://me:s3cret@{host}:3128"})
    assert (found["forward"].state, found["dns"].state, found["tls"].state) == ("skipped", "failed", "skipped")
    assert "HTTPS_PROXY" in found["dns"].advice
    assert road.blocked == "dns"
    assert "s3cret" not in str(found)


async def test_a_stranger_behind_the_forward_proxy(no_trust: Path) -> None:
    """The proxy does its part; that the upstream's certificate is not known is told where it belongs."""
    async with named(Authority(no_trust)) as place, forward_process(place) as forward:
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{forward.port}"}
        _, found = await travelled(settings(f"https://{NAME}/v1"), environ)
    assert (found["forward"].state, found["tls"].state) == ("ok", "failed")
    assert found["tls"].text.startswith(f"{NAME}: its certificate comes from an authority that is not known here")


async def test_a_forward_proxy_over_tls(no_trust: Path) -> None:
    """Where its own certificate, or the upstream's, is not known, both are named; with the right one it leads on."""
    authority = Authority(no_trust)
    certificate = no_trust / "proxy.pem"
    authority.write(certificate, "127.0.0.1")
    async with (
        named(authority) as place,
        forward_process("--tls", str(certificate), place) as forward,
    ):
        environ = {"HTTPS_PROXY": f"https://127.0.0.1:{forward.port}"}
        _, unknown = await travelled(settings(f"https://{NAME}/v1"), environ)
        _, known = await travelled(beyond(authority), environ)
    assert (unknown["forward"].state, unknown["tls"].state) == ("skipped", "failed")
    assert unknown["tls"].text.startswith(f"{NAME}: the forward proxy's or the upstream's: its certificate")
    assert [one.state for one in known.values()] == ["ok", "ok", "ok"]
