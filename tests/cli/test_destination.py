"""A destination: where a command's calls go, by whose word, and through which Openline."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy import __version__
from proxy.cli.execution.destination import Destination, destination
from proxy.cli.flags import BadSettings
from proxy.config import Match, Settings, Upstream
from proxy.instance import Instance, InstanceFile
from proxy.server.app import Openline
from proxy.settings_sources import load
from proxy.token import Token

DEFAULT = "https://api.openai.com/v1"
URL = "http://127.0.0.1:9/v1"
SECRET = Token("0123456789abcdef")


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextlib.asynccontextmanager
async def there(
    *, known: bool = True, passing: bool = False, version: str = __version__, **settings: object
) -> AsyncIterator[tuple[Openline, Instance]]:
    """A running Openline; `known`: by its file."""
    given = {"upstream": Upstream(url=URL), "listen": "127.0.0.1:0", **settings}
    app = Openline(Settings(**given), lambda _: None)  # type: ignore[arg-type] # the tests give the right ones
    base = await app.start()
    instance = Instance(
        pid=os.getpid(),
        version=version,
        api=base,
        admin=app.admin,
        control=app.control,
        started_at=0.0,
        passing=passing,
    )
    file = InstanceFile(instance)
    if known:
        file.write()
    try:
        yield app, instance
    finally:
        file.remove()
        await app.close()


async def decided(
    named: str | None = None, *, environ: dict[str, str] | None = None, own: bool = False, match: Match = "faithful"
) -> Destination:
    """The decision, made in a thread, as it asks those who run in this loop."""
    loaded = load({"match": match}, environ or {}, config=None)
    where = ("OPENAI_BASE_URL", named) if named else None
    return await asyncio.to_thread(destination, loaded, where, environ or {}, own=own)


async def test_a_proxy_of_ones_own_is_for_this_machine() -> None:
    """Whatever the settings say of listeners and tokens is for the proxy that others use."""
    environ = {
        "OPENLINE_LISTEN": "0.0.0.0:6736",
        "OPENLINE_TOKEN": "0123456789abcdef",
        "OPENLINE_ADMIN_LISTEN": "off",
        "OPENLINE_ADMIN_SCOPE": "probes",
        "OPENLINE_MATCH": "strict",
    }
    where = await asyncio.to_thread(destination, load({}, environ, config=None), None, environ)
    settings = where.settings
    assert (settings.listen, settings.token, settings.admin_listen) == ("127.0.0.1:0", None, "auto")
    assert (settings.admin_scope, settings.match) == ("all", "strict")
    assert (where.origin, settings.upstream.url, where.running, where.within) == ("default", DEFAULT, None, None)


async def test_a_setting_beats_what_the_command_has(tmp_path: Path) -> None:
    """Flag, variable and file name the upstream; else what the command would have gone to does."""
    where = await decided(URL)
    assert (where.settings.upstream.url, where.origin, where.host) == (URL, "OPENAI_BASE_URL", "http://127.0.0.1:9")
    environ = {"OPENLINE_UPSTREAM__URL": "https://a.example/v1"}
    where = await decided(URL, environ=environ)
    assert (where.host, where.origin) == ("https://a.example", "environment variable OPENLINE_UPSTREAM__URL")
    (tmp_path / "openline").mkdir()
    (tmp_path / "openline" / "config.toml").write_text('[upstream]\nurl = "https://b.example/v1"\n')
    assert (await decided(URL)).host == "https://b.example"


@pytest.mark.parametrize(
    "named", ["api.example/v1", "ftp://api.example/v1", "http://[::1", "http://a:x/v1", "http://a?b"]
)
async def test_what_is_no_upstream_is_refused(named: str) -> None:
    """By the name of the variable, and without the value: it may hold a secret."""
    with pytest.raises(BadSettings, match=r"^OPENAI_BASE_URL: ") as caught:
        await decided(named)
    assert named not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("path", ["/v1", "/t/some-token/v1", "/openline-run/r1/v1"])
async def test_an_openline_is_no_upstream(host: str, path: str) -> None:
    """However it is written: its own upstream is, and where it does what we would do, it is shared."""
    async with there() as (_, instance):
        where = await decided(f"http://{host}:{instance.port}{path}")
    assert (where.settings.upstream.url, where.running) == (URL, instance)
    assert where.origin == "the Openline that OPENAI_BASE_URL leads to"
    assert where.within == ("r1" if "r1" in path else None)


async def test_the_same_settings_are_shared_and_no_others() -> None:
    """Other settings, a token, another version, or no new turns: a proxy of its own, with the same upstream."""
    environ = {"OPENLINE_UPSTREAM__URL": URL}
    async with there(token=SECRET) as (_, wanting):
        assert (await decided(environ=environ)).running is None
        led = await decided(wanting.api)
        assert (led.settings.upstream.url, led.running) == (URL, None)
    async with there(version="0.0.0"):
        assert (await decided(environ=environ)).running is None
    async with there() as (app, instance):
        assert (await decided(environ=environ)).running == instance
        assert (await decided()).running is None
        assert (await decided(environ=environ, own=True)).running is None
        assert (await decided(environ=environ, match="strict")).running is None
        led = await decided(instance.api, match="strict")
        assert (led.settings.upstream.url, led.running) == (URL, None)
        app.mode = "off"
        assert (await decided(environ=environ)).running is None
        app.mode = "on"
        assert (await decided(environ=environ)).running == instance
        await app.drain(0)
        assert (await decided(environ=environ)).running is None


async def test_a_passing_one_is_for_those_within_it() -> None:
    """Others do not find it, as it ends when its command does."""
    environ = {"OPENLINE_UPSTREAM__URL": URL}
    async with there(passing=True) as (_, instance):
        assert (await decided(environ=environ)).running is None
        within = f"http://127.0.0.1:{instance.port}/openline-run/r1/v1"
        for given in ({}, environ):
            where = await decided(within, environ=given)
            assert (where.running, where.within) == (instance, "r1")


async def test_an_openline_that_is_not_ours_must_be_said_around() -> None:
    """Its upstream is not known here, and a guess would send prompts and keys elsewhere: one line says what to do."""
    async with there(known=False) as (_, instance):
        with pytest.raises(BadSettings, match="OPENAI_BASE_URL leads to an Openline that does not say here"):
            await decided(instance.api)
        where = await decided(instance.api, environ={"OPENLINE_UPSTREAM__URL": URL})
        assert (where.settings.upstream.url, where.running) == (URL, None)
    async with there(admin_listen="off") as (_, instance):
        with pytest.raises(BadSettings, match="name one with --upstream"):
            await decided(instance.api)


async def test_an_openline_that_does_not_run_is_no_upstream() -> None:
    """An address left over from one, on this machine, leads to the settings' upstream; one elsewhere to a question."""
    for named in ("http://127.0.0.1:9/t/x/v1", "http://localhost:9/openline-run/r1/v1"):
        where = await decided(named)
        assert (where.settings.upstream.url, where.running) == (DEFAULT, None)
        assert where.origin == "default, as OPENAI_BASE_URL leads to an Openline that does not run"
    where = await decided("http://127.0.0.1:9/v1", environ={"OPENLINE_LISTEN": "127.0.0.1:9"})
    assert where.settings.upstream.url == DEFAULT
    with pytest.raises(BadSettings, match="name one with --upstream"):
        await decided("http://0.0.0.1:9/t/x/v1")
