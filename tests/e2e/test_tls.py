"""TLS to the upstream, end to end: verified on both transports, and no way round it."""

from pathlib import Path

import pytest

from proxy.config import Settings, Upstream
from tests.cli.process import ran
from tests.e2e.stack import begun, chat, goes_on, stack
from tests.upstream.authority import Authority
from tests.upstream.between import TlsRelay


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Authority:
    """One that nothing of this machine knows."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return Authority(tmp_path)


def trusting(authority: Authority | None) -> Settings:
    """Settings that trust it, or nobody but those whom the system knows."""
    return Settings(upstream=Upstream(verifies_ids="yes", ca_file=str(authority.file) if authority else ""))


@pytest.mark.parametrize("how", ["ca_file", "SSL_CERT_FILE"])
async def test_the_right_authority(how: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named in the setting or the environment, it makes wss and https work."""
    if how == "SSL_CERT_FILE":
        monkeypatch.setenv(how, str(authority.file))
    settings = trusting(authority if how == "ca_file" else None)
    async with stack(settings=settings, link=TlsRelay(authority.context())) as running:
        await goes_on(running, await begun(running, chat(stream=True)))
        reply = await running.ask(chat().body, headers={"x-openline-mode": "off"})
        assert (reply.status, reply.route) == (200, "http")
        assert [entry.transport for entry in running.sim.journal if entry.prompt][:2] == ["ws", "ws"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("trusted", "names", "expired", "words"),
    [
        (False, (), False, "upstream.ca_file"),
        (True, ("other.test",), False, "check upstream.url"),
        (True, (), True, "expired"),
    ],
    ids=["unknown", "another host", "expired"],
)
async def test_a_certificate_that_is_not_right(
    trusted: bool,  # noqa: FBT001
    names: tuple[str, ...],
    expired: bool,  # noqa: FBT001
    words: str,
    stream: bool,  # noqa: FBT001
    authority: Authority,
) -> None:
    """A 502 that says what to do; nothing of the request, nor its credential, went anywhere."""
    settings = trusting(authority if trusted else None)
    async with stack(settings=settings, link=TlsRelay(authority.context(*names, expired=expired))) as running:
        reply = await running.ask(chat(stream=stream).body)
        assert (reply.status, reply.route, reply.reason) == (502, "http", "dial_failed")
        assert reply.error["code"] == "openline_unreachable"
        assert words in str(reply.error["message"])
        assert "certificate" in str(reply.error["message"])
        outcome = await running.outcome()
        assert words in outcome.faults[0]
        assert outcome.faults[-1].startswith("plain HTTP: ")
        assert words in outcome.faults[-1]
        assert not running.sim.journal
        assert not running.sim.handshakes


async def test_a_ca_file_that_is_not_there(tmp_path: Path) -> None:
    """The start is refused with one line, also where the upstream is not spoken to over TLS."""
    path = tmp_path / "none.pem"
    variables = {"OPENLINE_UPSTREAM__CA_FILE": str(path)}
    status, _, err = await ran("run", "--port", "0", "--upstream", "http://127.0.0.1:9/v1", environ=variables)
    assert status == 2
    assert err == f"openline: upstream.ca_file: {path} cannot be read: No such file or directory\n"
