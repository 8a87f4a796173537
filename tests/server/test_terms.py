"""Terms: equal where the same becomes of turns, and told to the owner alone."""

import msgspec
import pytest

from proxy.config import Heads, Mode, Pool, Settings, Timeouts, Upstream
from proxy.errors import StartFault
from proxy.server.terms import ENGINE, Terms, digest
from proxy.token import Token
from tests.server.wire import Rig, ask, rigged

PROXY = {"https_proxy": "http://user:marker@127.0.0.1:3128"}


CHANGED = (
    Settings(match="strict"),
    Settings(replay="unsent"),
    Settings(after_loss="failed"),
    Settings(upstream=Upstream(url="https://api.example/v1")),
    Settings(pool=Pool(max_connections=64)),
    Settings(heads=Heads(max_count=5)),
    Settings(timeouts=Timeouts(dial_seconds=1.0)),
)


def test_what_changes_turns_changes_the_digest() -> None:
    """Each setting that an engine is made by; there is one of each here."""
    for name, changed in zip(ENGINE, CHANGED, strict=True):
        assert getattr(changed, name) != getattr(Settings(), name)
        assert digest(changed, "on", {}) != digest(Settings(), "on", {})


def test_the_mode_and_the_way_count_too() -> None:
    """The mode as it is now, and the forward proxy, but not its credential."""
    modes: tuple[Mode, ...] = ("on", "observe", "off")
    assert len({digest(Settings(), mode, {}) for mode in modes}) == 3
    assert digest(Settings(), "on", PROXY) != digest(Settings(), "on", {})
    assert digest(Settings(), "on", PROXY) == digest(Settings(), "on", {"https_proxy": "127.0.0.1:3128"})
    assert digest(Settings(), "on", {**PROXY, "no_proxy": "api.openai.com"}) == digest(Settings(), "on", {})
    with pytest.raises(StartFault, match="SOCKS"):
        digest(Settings(), "on", {"https_proxy": "socks5://127.0.0.1:1"})


def test_what_only_the_server_goes_by_does_not_count() -> None:
    """Where it listens, to whom, and how it writes its lines."""
    other = Settings(listen="127.0.0.1:0", admin_listen="off", token=Token("0123456789abcdef"), log_format="json")
    assert digest(other, "on", {}) == digest(Settings(), "on", {})


async def told(rig: Rig) -> Terms:
    """What the page says to the owner."""
    assert rig.app.admin
    answer = await ask(rig.app.admin, "GET", "/terms", [("x-openline-control", rig.app.control)])
    assert answer.status == 200
    return msgspec.convert(answer.json(), Terms)


async def test_the_page_is_for_the_owner() -> None:
    """An upstream's path may be a secret: without the instance's secret it is told nobody."""
    async with rigged() as rig:
        assert rig.app.admin
        assert (await ask(rig.app.admin, "GET", "/terms", [])).status == 403
        terms = await told(rig)
        assert terms == Terms(
            digest=digest(rig.app.settings, "on", {}), upstream=rig.app.settings.upstream.url, token=False, ready=True
        )
        rig.app.mode = "off"
        assert (await told(rig)).digest == digest(rig.app.settings, "off", {})


async def test_the_page_says_who_may_call_and_whether_now() -> None:
    """Who wants a token, or takes no new turns, cannot be shared."""
    async with rigged(token=Token("0123456789abcdef")) as rig:
        assert (await told(rig)).token
        await rig.app.drain(0)
        assert not (await told(rig)).ready
