"""A destination: where a command's calls go, by whose word, and through which Openline."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy import __version__
from proxy.cli.execution.agents import VARIABLES, Address
from proxy.cli.execution.destination import Destination, destination
from proxy.cli.flags import BadSettings
from proxy.config import Match, Mode, Settings, Upstream
from proxy.instance import Instance, InstanceFile
from proxy.server.app import Openline
from proxy.server.terms import way
from proxy.settings_sources import load
from proxy.simulator import Simulator
from proxy.token import Token

DEFAULT = "https://api.openai.com/v1"
URL = "http://127.0.0.1:9/v1"
SECRET = Token("0123456789abcdef")


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("http_proxy", "https_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir"):
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
    named: str | tuple[str, ...] = (),
    *,
    environ: dict[str, str] | None = None,
    own: bool = False,
    match: Match = "faithful",
    mode: Mode | None = None,
) -> Destination:
    """The decision, made in a thread, as it asks those who run in this loop."""
    loaded = load({"match": match, **({"mode": mode} if mode else {})}, environ or {}, config=None)
    urls = (named,) if isinstance(named, str) else named
    said = [Address(name, url) for name, url in zip(VARIABLES, urls, strict=False) if url]
    variables = {**(environ or {}), **dict(said)}
    return await asyncio.to_thread(destination, loaded, said, variables, own=own)


async def test_a_proxy_of_ones_own_is_for_this_machine() -> None:
    """Whatever the settings say of listeners and tokens is for the proxy that others use."""
    environ = {
        "OPENLINE_LISTEN": "0.0.0.0:6736",
        "OPENLINE_TOKEN": "0123456789abcdef",
        "OPENLINE_ADMIN_LISTEN": "off",
        "OPENLINE_ADMIN_SCOPE": "probes",
        "OPENLINE_MATCH": "strict",
    }
    where = await asyncio.to_thread(destination, load({}, environ, config=None), [], environ)
    settings = where.settings
    assert (settings.listen, settings.token, settings.admin_listen) == ("127.0.0.1:0", None, "auto")
    assert (settings.admin_scope, settings.match) == ("all", "strict")
    assert (where.origin, settings.upstream.url, where.running, where.within) == ("default", DEFAULT, None, None)


async def test_a_setting_beats_what_the_command_has() -> None:
    """A flag and a variable do, and else what the command would have gone to is the upstream."""
    where = await decided(URL)
    assert (where.settings.upstream.url, where.origin, where.host) == (URL, "OPENAI_BASE_URL", "http://127.0.0.1:9")
    environ = {"OPENLINE_UPSTREAM__URL": "https://a.example/v1"}
    where = await decided(URL, environ=environ)
    assert (where.host, where.origin) == ("https://a.example", "environment variable OPENLINE_UPSTREAM__URL")
    assert where.variables == VARIABLES


async def test_a_settings_file_and_the_command_must_say_the_same(tmp_path: Path) -> None:
    """A key for the one must not go to the other: one line names both, hosts alone, and a variable decides."""
    (tmp_path / "openline").mkdir()
    file = tmp_path / "openline" / "config.toml"
    file.write_text('[upstream]\nurl = "https://b.example/secret/v1"\n')
    with pytest.raises(BadSettings) as caught:
        await decided("https://a.example/secret/v1")
    assert str(caught.value) == (
        f"upstream.url (file {file}) leads to https://b.example, and OPENAI_BASE_URL to https://a.example: say by"
        " --upstream which one is meant, as a key for the one must not go to the other"
    )
    with pytest.raises(BadSettings, match=r"https://b\.example, by another path: say"):
        await decided("https://b.example/v1")
    for named in ((), "https://b.example/secret/v1/", "http://127.0.0.1:9/t/x/v1"):
        assert (await decided(named)).settings.upstream.url == "https://b.example/secret/v1"
    async with there() as (_, instance):
        with pytest.raises(BadSettings, match=r"and OPENAI_BASE_URL to http://127\.0\.0\.1:9: say by"):
            await decided(instance.api)
    with pytest.raises(BadSettings, match="say by --upstream"):
        await decided(("", "https://a.example/v1"))
    assert (await decided(URL, environ={"OPENLINE_UPSTREAM__URL": URL})).settings.upstream.url == URL


async def test_two_addresses_of_the_command_must_be_the_same() -> None:
    """What reads the second would send its key to the first; only who names the upstream himself settles that."""
    different = ("https://a.example/v1", "https://b.example/v1")
    with pytest.raises(
        BadSettings, match=r"OPENAI_BASE_URL leads to https://a\.example, and OPENAI_API_BASE to https://b"
    ):
        await decided(different)
    with pytest.raises(BadSettings, match="does not run"):
        await decided(("http://127.0.0.1:9/t/x/v1", "https://b.example/v1"))
    where = await decided(different, environ={"OPENLINE_UPSTREAM__URL": URL})
    assert (where.settings.upstream.url, where.variables) == (URL, VARIABLES)
    assert (await decided((URL, URL))).variables == VARIABLES


async def test_only_what_led_to_the_upstream_is_led_there() -> None:
    """A client that reads another variable goes to its own default, with its own key, as it did."""
    assert (await decided(URL)).variables == ("OPENAI_BASE_URL",)
    assert (await decided(("", URL))).variables == ("OPENAI_API_BASE",)
    assert (await decided()).variables == VARIABLES


@pytest.mark.parametrize(
    "named", ["api.example/v1", "ftp://api.example/v1", "http://[::1", "http://a:x/v1", "http://a?b"]
)
async def test_what_is_no_upstream_is_refused(named: str) -> None:
    """By the name of the variable, and without the value: it may hold a secret."""
    with pytest.raises(BadSettings, match=r"^OPENAI_BASE_URL: ") as caught:
        await decided(named)
    assert named not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("path", ["/v1", "/t/some-token/v1", "/openline-run/r1/v1"])
async def test_an_openline_is_no_upstream(host: str, path: str) -> None:
    """By its address or this machine's name: its own upstream is, and where it does what we would do, it is shared."""
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


@pytest.mark.parametrize("mode", ["off", "observe"])
async def test_the_mode_is_that_of_the_openline_that_it_leads_to(mode: Mode) -> None:
    """Who has switched that off, or only observes by it, has not switched it on for this command; a flag may."""
    async with there() as (app, instance):
        app.mode = mode
        led = await decided(instance.api)
        assert (led.settings.mode, led.running) == (mode, instance)
        led = await decided(instance.api, mode="on")
        assert (led.settings.mode, led.running) == ("on", None)


async def test_a_passing_one_is_for_those_within_it(tmp_path: Path) -> None:
    """Others do not find it, as it ends when its command does; those within go through it, whatever else is set."""
    environ = {"OPENLINE_UPSTREAM__URL": URL}
    async with there(passing=True) as (_, instance):
        assert (await decided(environ=environ)).running is None
        within = f"http://127.0.0.1:{instance.port}/openline-run/r1/v1"
        for given in ({}, environ, {"OPENLINE_UPSTREAM__URL": "https://a.example/v1"}):
            where = await decided(within, environ=given)
            assert (where.running, where.within, where.settings.upstream.url) == (instance, "r1", URL)
        (tmp_path / "openline" / "config.toml").write_text('[upstream]\nurl = "https://b.example/v1"\n')
        assert (await decided(within)).running == instance


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


async def test_an_openline_that_does_not_run_is_no_upstream(tmp_path: Path) -> None:
    """An address left over from one, on this machine, leads to the settings' upstream; one elsewhere to a question."""
    settings = tmp_path / "openline" / "config.toml"
    listens = {"OPENLINE_LISTEN": "127.0.0.1:9"}
    gone = ("http://127.0.0.1:9/t/x/v1", "http://localhost:9/openline-run/r1/v1", "http://127.0.0.1:9/v1")
    for named in gone:  # a default is nobody's word: it may have been started with another upstream
        with pytest.raises(BadSettings, match="leads to an Openline that does not run, and whose upstream"):
            await decided(named, environ=listens)
    settings.parent.mkdir()
    settings.write_text('[upstream]\nurl = "https://b.example/v1"\n')
    for named in gone:
        where = await decided(named, environ=listens)
        assert (where.settings.upstream.url, where.running) == ("https://b.example/v1", None)
    settings.unlink()
    same = way(Settings(), {})
    assert (await decided(f"http://127.0.0.1:9/openline-run/r1.{same}/v1")).settings.upstream.url == DEFAULT
    with pytest.raises(BadSettings, match="whose upstream is not known"):
        await decided("http://127.0.0.1:9/openline-run/r1.deadbeefdeadbeef/v1")
    with pytest.raises(BadSettings, match="name one with --upstream"):
        await decided("http://0.0.0.1:9/t/x/v1")


async def test_another_program_is_an_upstream() -> None:
    """Also at the port where Openline would be; an address that only an Openline has is none of such a program's."""
    async with Simulator() as simulator:
        url = await simulator.start()
        usual = {"OPENLINE_LISTEN": url.removeprefix("http://").removesuffix("/v1")}
        where = await decided(url, environ=usual)
        assert (where.settings.upstream.url, where.origin) == (url, "OPENAI_BASE_URL")
        for path in ("/t/x/v1", "/openline-run/r1/v1"):
            with pytest.raises(BadSettings, match="name one with --upstream"):
                await decided(url.replace("/v1", path), environ=usual)


async def test_one_that_does_not_answer_is_asked_about() -> None:
    """An Openline that hangs still has its upstream: neither the default's nor a proxy of our own may get its key."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for path, line in (("/v1", "a program on this machine that does not answer"), ("/t/x/v1", "does not say here")):
            with pytest.raises(BadSettings, match=line):
                await decided(f"http://127.0.0.1:{port}{path}", environ={"OPENLINE_LISTEN": f"127.0.0.1:{port}"})


async def test_one_port_of_two_addresses_is_two_places() -> None:
    """What listens at the other loopback address is another program; by the name of both it cannot be told which."""
    async with there() as (_, instance):
        other = f"http://[::1]:{instance.port}/v1"
        assert (await decided(other)).settings.upstream.url == other
        try:
            taken = socket.create_server(("::1", instance.port), family=socket.AF_INET6)
        except OSError:
            return  # this machine has no IPv6
        with taken:
            names = {place[0] for *_, place in socket.getaddrinfo("localhost", instance.port)}
            if names == {"127.0.0.1", "::1"}:
                with pytest.raises(BadSettings, match="OPENAI_BASE_URL leads to a program on this machine"):
                    await decided(f"http://localhost:{instance.port}/v1")


async def test_an_outer_run_whose_proxy_has_turned_elsewhere_is_over() -> None:
    """The key was for where the Openline went when that run began."""
    async with there() as (app, instance):
        began = way(app.settings, {})
        within = f"http://127.0.0.1:{instance.port}/openline-run/r1.{began}/v1"
        where = await decided(within)
        assert (where.running, where.within, where.way) == (instance, "r1", began)
        app.reload(Settings(listen="127.0.0.1:0", upstream=Upstream(url="https://b.example/v1")))
        with pytest.raises(BadSettings, match="goes to its upstream another way by now"):
            await decided(within)
