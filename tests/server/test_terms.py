"""Terms: equal where the same becomes of turns, and told to the owner alone."""

import os
from pathlib import Path

import msgspec
import pytest

from proxy.config import Heads, Mode, Pool, Settings, Timeouts, Upstream
from proxy.errors import StartFault
from proxy.server.terms import ENGINE, Terms, digest, way
from proxy.simulator import Simulator
from proxy.token import Token
from proxy.turns.outcome import End
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


def test_where_images_go_counts() -> None:
    """A command that wants them on plain HTTP does not share a process that takes them to a socket."""
    assert digest(Settings(upstream=Upstream(images="http")), "on", {}) != digest(Settings(), "on", {})


def test_the_mode_and_the_way_count_too() -> None:
    """The mode as it is now, and the forward proxy, but not its credential."""
    modes: tuple[Mode, ...] = ("on", "observe", "off")
    assert len({digest(Settings(), mode, {}) for mode in modes}) == 3
    assert digest(Settings(), "on", PROXY) != digest(Settings(), "on", {})
    assert digest(Settings(), "on", PROXY) == digest(Settings(), "on", {"https_proxy": "127.0.0.1:3128"})
    assert digest(Settings(), "on", {**PROXY, "no_proxy": "api.openai.com"}) == digest(Settings(), "on", {})
    with pytest.raises(StartFault, match="SOCKS"):
        digest(Settings(), "on", {"https_proxy": "socks5://127.0.0.1:1"})


def test_whom_tls_trusts_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and folder that the environment names, and that of the settings: by where they are, not how written."""
    told = [(Settings(), {}), (Settings(), {"SSL_CERT_FILE": "a.pem"}), (Settings(), {"SSL_CERT_DIR": "a.pem"})]
    told.append((Settings(upstream=Upstream(ca_file="a.pem")), {}))
    for said in (way, lambda settings, environ: digest(settings, "on", environ)):
        monkeypatch.chdir(tmp_path)
        here = [said(*one) for one in told]
        assert len(set(here)) == len(told)
        whole = str(tmp_path / "a.pem")
        assert said(Settings(upstream=Upstream(ca_file=whole)), {}) == here[3]
        assert said(Settings(), {"SSL_CERT_FILE": whole}) == here[1]
        monkeypatch.chdir("/")
        assert [one == said(*other) for one, other in zip(here, told, strict=True)] == [True, False, False, False]


def test_a_folder_that_is_gone_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name within it leads nowhere: it is told, and no other file is meant."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(StartFault, match=r"a\.pem: is in the current folder, which has been removed"):
        way(Settings(), {"SSL_CERT_FILE": "a.pem"})


def test_the_way_is_where_keys_go() -> None:
    """The upstream and the forward proxy; what else becomes of a turn does not count."""
    assert way(Settings(upstream=Upstream(url="https://api.example/v1")), {}) != way(Settings(), {})
    assert way(Settings(), PROXY) != way(Settings(), {})
    assert way(Settings(match="strict", pool=Pool(max_connections=64), mode="off"), {}) == way(Settings(), {})


async def test_a_run_that_began_on_another_way_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a reload its key goes nowhere, with a clear 409; other settings, and the mode, leave it alone."""
    monkeypatch.chdir(tmp_path)
    async with rigged() as rig, Simulator() as other:
        path = f"/openline-run/r1.{(await told(rig)).way}/v1/models"
        assert (await ask(rig.url, "GET", path)).status == 200
        assert (await rig.outcome()).run == "r1"
        rig.app.mode = "off"
        rig.app.reload(msgspec.structs.replace(rig.app.settings, timeouts=Timeouts(dial_seconds=1.0)))
        assert (await ask(rig.url, "GET", path)).status == 200
        assert (await rig.outcome()).run == "r1"
        upstream = msgspec.structs.replace(rig.app.settings.upstream, url=await other.start())
        rig.app.reload(msgspec.structs.replace(rig.app.settings, upstream=upstream))
        for twice in (path, f"/openline-run/r2.{(await told(rig)).way}{path}"):
            answer = await ask(rig.url, "GET", twice)
            assert (answer.status, answer.error()["code"]) == (409, "openline_moved")
            assert (await rig.outcome()).end is End.ERROR
        assert not other.requests
        assert (await ask(rig.url, "GET", f"/openline-run/r1.{(await told(rig)).way}/v1/models")).status == 200
        assert (await ask(rig.url, "GET", "/openline-run/r1/v1/models")).status == 200
        assert [seen.path for seen in other.requests] == ["/v1/models"] * 2


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
            digest=digest(rig.app.settings, "on", os.environ),
            way=way(rig.app.settings, os.environ),
            upstream=rig.app.settings.upstream.url,
            mode="on",
            token=False,
            ready=True,
        )
        rig.app.mode = "off"
        assert (await told(rig)).mode == "off"
        assert (await told(rig)).digest == digest(rig.app.settings, "off", os.environ)


async def test_the_page_says_who_may_call_and_whether_now() -> None:
    """Who wants a token, or takes no new turns, cannot be shared."""
    async with rigged(token=Token("0123456789abcdef")) as rig:
        assert (await told(rig)).token
        await rig.app.drain(0)
        assert not (await told(rig)).ready
