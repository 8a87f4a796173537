"""A forward proxy in a process of its own: both transports go through it, by one decision, to a TLS upstream."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.config import Settings, Upstream
from tests.cli.process import ran
from tests.e2e.stack import Stack, begun, chat, goes_on, stack
from tests.upstream.authority import NAME, Authority
from tests.upstream.between import Asked, ForwardProcess, TlsRelay, forward_process
from tests.upstream.peer import soon

CREDENTIAL = "Basic c29tZW9uZTpzM2NyZXQvw6k="
# It leads to this machine as well, and is no loopback address, for which no proxy would be asked anyway.
HERE = "0.0.0.0"  # noqa: S104 - a place to connect to
USER = ("--user", "someone", "--password", "s3cret/é")


@dataclass
class Between:
    """A TLS upstream under a name that only the forward proxy knows, and that proxy."""

    forward: ForwardProcess
    relay: TlsRelay
    settings: Settings


@pytest.fixture
def authority(no_environment: None, tmp_path: Path) -> Authority:  # noqa: ARG001 - for what it does
    """Whose certificates `upstream.ca_file` makes trusted."""
    return Authority(tmp_path)


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the machine's own proxies and authorities."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def settings(authority: Authority) -> Settings:
    """As for a host that is known, whose certificate is from our own authority."""
    return Settings(upstream=Upstream(verifies_ids="yes", ca_file=str(authority.file)))


def shown_upstream(running: Stack) -> bool:
    """Whether anything that was meant for the forward proxy reached the upstream."""
    arrived = f"{list(running.sim.journal)} {list(running.sim.handshakes)}".lower()
    assert "authorization" in arrived
    return "proxy-auth" in arrived or CREDENTIAL.split()[1].lower() in arrived


async def models(running: Stack) -> tuple[int, bytes]:
    """A request that passes through over plain HTTP."""
    async with running.session.get(f"{running.base}/models", headers={"authorization": "Bearer k"}) as response:
        return response.status, await response.read()


@pytest.fixture
async def between(authority: Authority) -> AsyncIterator[Between]:
    """Started; the relay's port is known only when the stack runs, so the name leads to it by a fixed one."""
    relay = TlsRelay(authority.context(NAME), NAME)
    await relay.listen()
    async with forward_process(*USER, f"{NAME}:443={relay.port}") as forward:
        yield Between(forward, relay, settings(authority))


async def test_both_transports_go_through_it(between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    """For wss and https: CONNECT with the credential, TLS inside to the upstream itself; the upstream never sees it."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:s3cret%2F%C3%A9@127.0.0.1:{between.forward.port}")
    async with stack(settings=between.settings, link=between.relay) as running:
        await goes_on(running, await begun(running, chat(stream=True)))
        status, _ = await models(running)
        reply = await running.ask(chat().body, headers={"x-openline-mode": "off"})
        assert (reply.status, reply.route) == (200, "http")
        assert status in (200, 404)  # the simulator's own answer
        seen = [await between.forward.asked(), await between.forward.asked()]
        assert len(running.sim.handshakes) == 1
        assert not shown_upstream(running)
    assert [one.line for one in seen] == [f"CONNECT {NAME}:443 HTTP/1.1"] * 2
    assert [one.headers.get("proxy-authorization") for one in seen] == [CREDENTIAL] * 2
    assert not any("authorization" in one.headers for one in seen)
    assert await between.forward.all() == []


async def test_a_wrong_credential(between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    """407 to both transports: a 502 that names the variable and not its value; nothing reaches the upstream."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:wr0ng@127.0.0.1:{between.forward.port}")
    async with stack(settings=between.settings, link=between.relay) as running:
        reply = await running.ask(chat().body)
        assert (reply.status, reply.error["code"]) == (502, "openline_unreachable")
        assert "the forward proxy answered 407: check the user and the password in HTTPS_PROXY" in str(reply.error)
        outcome = await running.outcome()
        assert len(outcome.faults) == 3  # two dials and plain HTTP
        assert all("407" in fault for fault in outcome.faults)
        assert "wr0ng" not in f"{reply.body!r} {reply.headers} {outcome!r}"
        assert not running.sim.journal
    assert [one.status for one in await between.forward.all()] == [407] * 3


async def test_plain_http_through_it(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """An http upstream: the whole URL is asked for, sockets still by CONNECT; a 407 is not passed off as the API's."""
    async with stack(settings=settings(authority), link=Named()) as running:
        port = running.direct.split(":")[2].removesuffix("/v1")
        places = (f"{NAME}={port}", f"{NAME}:80={port}")
        async with forward_process(*USER, *places) as forward:
            monkeypatch.setenv("HTTP_PROXY", f"someone:s3cret%2F%C3%A9@127.0.0.1:{forward.port}")
            await again(running)
            await goes_on(running, await begun(running, chat(stream=True)))
            reply = await running.ask(chat().body, headers={"x-openline-mode": "off"})
            assert (reply.status, reply.route) == (200, "http")
            seen = await forward.all()
            assert [one.line for one in seen] == [
                f"CONNECT {NAME}:80 HTTP/1.1",
                f"POST http://{NAME}/v1/responses HTTP/1.1",
            ]
            assert {one.headers["proxy-authorization"] for one in seen} == {CREDENTIAL}
            assert not shown_upstream(running)
        async with forward_process(*USER, *places) as forward:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{forward.port}")
            await again(running)
            reply = await running.ask(chat().body, headers={"x-openline-mode": "off"})
            assert (reply.status, reply.error["code"]) == (502, "openline_unreachable")
            assert "407" in str(reply.error["message"])


@pytest.mark.parametrize("exempt", ["HERE", "0.0.0.0/8", "*", "HERE:{port}"])
async def test_no_proxy_is_honoured_by_both(exempt: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upstream that NO_PROXY names is reached directly, by socket and by plain HTTP; the proxy sees nothing."""
    link = Named(f"{HERE}:{{port}}")
    async with forward_process(*USER) as forward:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{forward.port}")
        async with stack(settings=settings(authority), link=link) as running:
            monkeypatch.setenv("no_proxy", exempt.replace("HERE", HERE).replace("{port}", str(link.port)))
            await again(running)
            await goes_on(running, await begun(running, chat(stream=True)))
            reply = await running.ask(chat().body, headers={"x-openline-mode": "off"})
            assert (reply.status, reply.route) == (200, "http")
            monkeypatch.setenv("no_proxy", "other.test")
            await again(running)
            assert (await running.ask(chat().body)).status == 502
        asked = await forward.all()
        assert [one.status for one in asked] == [407] * 3  # two dials and plain HTTP, of the last request alone


async def test_a_proxy_over_tls(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An https:// proxy is spoken to over TLS, verified, with the upstream's TLS inside."""
    relay = TlsRelay(authority.context(NAME), NAME)
    await relay.listen()
    pem = tmp_path / "proxy.pem"
    authority.write(pem, "127.0.0.1")
    async with forward_process("--tls", str(pem), f"{NAME}:443={relay.port}") as forward:
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{forward.port}")
        async with stack(settings=settings(authority), link=relay) as running:
            await goes_on(running, await begun(running, chat(stream=True)))
            reply = await running.ask(chat().body, headers={"x-openline-mode": "off"})
            assert (reply.status, reply.route) == (200, "http")
        seen: list[Asked] = await forward.all()
    assert [one.line for one in seen] == [f"CONNECT {NAME}:443 HTTP/1.1"] * 2


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("HTTPS_PROXY", "socks5://user:s3cret@127.0.0.1:9", "HTTPS_PROXY: names a SOCKS proxy"),
        ("ALL_PROXY", "gopher://user:s3cret@127.0.0.1:9", "ALL_PROXY: must begin with http:// or https://"),
    ],
)
async def test_a_proxy_that_cannot_be_spoken_to(no_environment: None, variable: str, value: str, words: str) -> None:  # noqa: ARG001 - for what it does
    """The start is refused with one line that names the variable; its value is not repeated."""
    status, out, err = await soon(
        ran("run", "--port", "0", "--upstream", f"https://{NAME}/v1", environ={variable: value})
    )
    assert status == 2
    assert words in err
    assert "s3cret" not in out + err
    assert len(err.splitlines()) == 1


async def again(running: Stack) -> None:
    """Start the proxy anew, under the environment of now."""
    await running.app.close()
    running.base = await running.app.start()


class Named:
    """No relay: the simulator under another name."""

    def __init__(self, place: str = NAME) -> None:
        self.port = 0
        self._place = place

    async def start(self, base: str) -> str:
        """The base URL to use."""
        self.port = int(base.split(":")[2].removesuffix("/v1"))
        return f"http://{self._place.replace('{port}', str(self.port))}/v1"

    async def close(self) -> None:
        """Nothing to close."""
