"""A forward proxy that is spoken to over TLS: it gets no request, and no credential, before it has proved itself."""

from pathlib import Path

import pytest

from tests.e2e.stack import chat, stack
from tests.e2e.test_forward_proxy import authority, no_environment, settings
from tests.upstream.authority import NAME, Authority
from tests.upstream.between import TlsRelay, forward_process

__all__ = ["authority", "no_environment"]


@pytest.mark.parametrize("wrong", ["nobody known", "another host"])
@pytest.mark.parametrize("mode", ["on", "off"])
async def test_a_stranger_is_asked_nothing(
    wrong: str,
    mode: str,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By neither transport: a 502 that speaks of the certificate; the proxy's own credential stays here too."""
    (tmp_path / "strangers").mkdir()
    issuer = Authority(tmp_path / "strangers") if wrong == "nobody known" else authority
    pem = tmp_path / "proxy.pem"
    issuer.write(pem, "127.0.0.1" if wrong == "nobody known" else "other.test")
    relay = TlsRelay(authority.context(NAME), NAME)
    await relay.listen()
    user = ("--user", "someone", "--password", "s3cret")
    async with forward_process(*user, "--tls", str(pem), f"{NAME}:443={relay.port}") as forward:
        monkeypatch.setenv("HTTPS_PROXY", f"https://someone:s3cret@127.0.0.1:{forward.port}")
        async with stack(settings=settings(authority), link=relay) as running:
            reply = await running.ask(chat().body, headers={"x-openline-mode": mode})
            assert (reply.status, reply.error["code"]) == (502, "openline_unreachable")
            assert "certificate" in str(reply.error["message"])
            assert "s3cret" not in f"{reply.body!r} {await running.outcome()!r}"
            assert not running.sim.journal
        assert await forward.all() == []
