"""Reload: other settings count from the next request on; running turns end by the old ones; bad ones change nothing."""

import asyncio
import socket
from pathlib import Path

import msgspec
import pytest

from proxy.config import Heads, Limits, Settings, Timeouts, Upstream
from proxy.core.reasons import Route
from proxy.errors import StartFault
from proxy.server.app import Openline
from proxy.server.reload import difference, in_force
from proxy.settings_sources import Leaf, leaves
from proxy.simulator import Simulator
from proxy.state import state_file
from proxy.tasks import Tasks
from proxy.token import Token
from tests.e2e.stack import Chat, Stack, stack
from tests.server.wire import KEY, ask, rigged

OTHER = {
    "listen": "127.0.0.1:1",
    "token_file": "f",
    "admin_listen": "off",
    "allowed_hosts": ("box",),
    "allowed_origins": ("http://a",),
    "upstream.url": "http://b/v1",
    "upstream.identity_headers": ("x-a",),
    "upstream.semantic_headers": ("x-b",),
    "upstream.beta_header": "b",
    "upstream.ca_file": "c",
}
BEGIN = Chat(({"role": "user", "content": "hi"},))
TOKEN = Token("0123456789abcdef")


def other(leaf: Leaf) -> object:
    """Another value than the default."""
    if leaf.key in OTHER:
        return OTHER[leaf.key]
    if isinstance(leaf.default, bool):
        return not leaf.default
    if isinstance(leaf.default, int | float):
        return type(leaf.default)(leaf.default * 2 + 1)
    words = leaf.expects.replace('"', "").split(" or ")
    return next(word for word in words if word != leaf.default)


@pytest.mark.parametrize("leaf", list(leaves()), ids=lambda leaf: leaf.key)
def test_each_changed_setting_is_named(leaf: Leaf) -> None:
    """Whatever one setting is changed: it alone is told, once, as one that counts now or from the next start on."""
    section, _, name = leaf.key.rpartition(".")
    before = Settings()
    if section:
        changed = msgspec.structs.replace(getattr(before, section), **{name: other(leaf)})
        after = msgspec.structs.replace(before, **{section: changed})
    else:
        after = Settings(**{name: other(leaf), "token": TOKEN if name == "token_file" else None})  # type: ignore[arg-type] # no kwargs type
    told = difference(before, after, started=before)
    assert (*told.changed, *told.waiting) == (leaf.key,)
    assert difference(after, after, started=after) == difference(before, before, started=before)
    assert difference(after, before, started=before).waiting == ()


def test_what_is_made_once_waits() -> None:
    """The listeners' addresses and bounds, and how lines are written, count from the next start on."""
    waiting = {
        leaf.key
        for leaf in leaves()
        if leaf.key.startswith(("listen", "admin_", "log_", "verbose"))
        or leaf.key in {"limits.connections", "timeouts.header_seconds", "heads.survive_restarts"}
    }
    before = Settings()
    after = Settings(
        listen="127.0.0.1:1",
        admin_listen="off",
        admin_scope="probes",
        log_format="json",
        verbose=True,
        limits=Limits(connections=1),
        timeouts=Timeouts(header_seconds=1),
        heads=Heads(survive_restarts=False),
    )
    told = difference(before, after, started=before)
    assert (told.changed, set(told.waiting)) == ((), waiting)


async def said(running: Stack, chat: Chat) -> tuple[str, Chat]:
    """One turn: its route, and the conversation after it."""
    reply = await running.ask(chat.body)
    return reply.route, chat.followed(reply.output)


async def test_what_does_not_touch_the_upstream_keeps_its_sockets() -> None:
    """A conversation goes on as a delta over a reload of mode, hosts, limits: nothing is dialled anew."""
    async with stack(settings=Settings(upstream=Upstream(verifies_ids="yes"))) as running:
        _, chat = await said(running, BEGIN)
        told = running.app.reload(
            msgspec.structs.replace(running.app.settings, limits=Limits(items=999), drain_seconds=1.0)
        )
        assert (told.changed, told.waiting) == (("drain_seconds", "limits.items"), ())
        route, chat = await said(running, chat)
        assert route == "delta"
        running.app.mode = "off"
        assert (await said(running, chat))[0] == "http"
        assert running.app.reload(running.app.settings).changed == ("mode",)
        assert (await said(running, chat))[0] == "delta"


async def test_another_upstream_from_the_next_turn_on() -> None:
    """New turns go to the new upstream; one that runs ends at the old one, whose sockets then close."""
    async with stack(settings=Settings(upstream=Upstream(verifies_ids="yes"))) as running, Simulator() as sim:
        before = running.app._engine
        assert before is not None
        _, chat = await said(running, BEGIN)
        url = await sim.start()
        upstream = msgspec.structs.replace(running.app.settings.upstream, url=url)
        told = running.app.reload(msgspec.structs.replace(running.app.settings, upstream=upstream))
        assert told.changed == ("upstream.url",)
        assert (await said(running, chat))[0] == "full"
        assert [entry.transport for entry in sim.journal] == ["ws"]
        async with asyncio.timeout(5):
            while before.pool.open_connections:  # noqa: ASYNC110 - a socket's end has no event of its own
                await asyncio.sleep(0)
        assert running.app.status().upstream == url.removesuffix("/v1")


async def test_a_running_turn_ends_as_it_began() -> None:
    """A turn that is being answered while the settings change gets its answer, from where it asked."""
    async with rigged() as rig:
        behaviour = msgspec.structs.replace(rig.app.settings.upstream, url="http://127.0.0.1:9/v1")
        tasks = Tasks()
        asked = tasks.start(
            rig.create({"model": "gpt-5.4", "input": "hello", "stream": True, "store": False}), "a turn"
        )
        async with asyncio.timeout(5):
            while not rig.app.running:  # noqa: ASYNC110 - a request's start has no event of its own
                await asyncio.sleep(0)
        rig.app.reload(msgspec.structs.replace(rig.app.settings, upstream=behaviour))
        assert b"response.completed" in (await asked).body
        assert (await rig.create({"model": "gpt-5.4", "input": "hello"})).status == 502
        await tasks.close()


async def test_stored_heads_go_over() -> None:
    """What the upstream stores can be continued by the next engine too."""
    async with stack(settings=Settings(upstream=Upstream(verifies_ids="yes"))) as running:
        _, chat = await said(running, BEGIN.set(store=True))
        changed = msgspec.structs.replace(running.app.settings, timeouts=Timeouts(dial_seconds=4))
        assert running.app.reload(changed).changed == ("timeouts.dial_seconds",)
        assert (await said(running, chat))[0] == "delta"


async def test_stored_heads_outlive_the_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine before remembered is in the state file at the end, though the new one has added nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with stack() as running:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            settings = Settings(
                listen=f"127.0.0.1:{sock.getsockname()[1]}", upstream=Upstream(url=running.direct, verifies_ids="yes")
            )
            app = Openline(settings, lambda _: None)
            try:
                base = await app.start(sockets=[sock])
                assert (await running.ask(BEGIN.set(store=True).body, base=base)).route == "full"
                app.reload(msgspec.structs.replace(settings, timeouts=Timeouts(dial_seconds=4)))
            finally:
                await app.close()
        file = state_file(settings)
        assert file is not None
        assert len(file.load().heads) == 1


async def test_what_cannot_be_used_changes_nothing() -> None:
    """A setting that fails only when it is used leaves the old engine, the old guard and all conversations."""
    async with stack(settings=Settings(upstream=Upstream(verifies_ids="yes"))) as running:
        _, chat = await said(running, BEGIN)
        before = running.app.settings
        bad = msgspec.structs.replace(before.upstream, ca_file="/no/such/file")
        with pytest.raises(StartFault, match="ca_file"):
            running.app.reload(msgspec.structs.replace(before, upstream=bad, allowed_origins=("http://a",)))
        assert running.app.settings == before
        assert (await said(running, chat))[0] == "delta"


async def test_who_may_call_changes_at_once() -> None:
    """A token, and a page's origin, are asked for and let in from the next request on."""
    async with rigged() as rig:
        origin = ("Origin", "http://localhost:3000")
        assert (await ask(rig.url, "GET", "/v1/models", [KEY, origin])).status == 403
        settings = msgspec.structs.replace(rig.app.settings, allowed_origins=("http://localhost:3000",), token=TOKEN)
        assert rig.app.reload(settings).changed == ("allowed_origins", "token_file")
        assert (await ask(rig.url, "GET", "/v1/models", [KEY, origin])).status == 401
        shown = ("x-openline-token", "0123456789abcdef")
        answer = await ask(rig.url, "GET", "/v1/models", [KEY, origin, shown])
        assert answer.header("access-control-allow-origin") == "http://localhost:3000"


async def test_a_listener_that_others_reach_keeps_its_token() -> None:
    """Settings that are sound for the next start only are refused: the listener that is there would be open to all."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        app = Openline(Settings(listen=f"0.0.0.0:{port}", token=TOKEN), lambda _: None)
        try:
            base = await app.start(sockets=[sock])
            with pytest.raises(StartFault, match="a restart is needed"):
                app.reload(Settings(listen=f"127.0.0.1:{port}"))
            assert (await ask(base, "GET", "/v1/models")).status == 401
            told = app.reload(Settings(listen=f"127.0.0.1:{port}", token=TOKEN, admin_scope="probes", match="strict"))
            assert (told.changed, set(told.waiting)) == (("match",), {"listen", "admin_scope"})
            assert (app.settings.listen, app.settings.admin_scope) == (f"0.0.0.0:{port}", "all")
            abroad = [("Host", "10.1.2.3"), ("x-openline-token", "0123456789abcdef")]
            assert (await ask(base, "GET", "/healthz", abroad)).json()["name"] == "openline"
        finally:
            await app.close()


@pytest.mark.parametrize("admin", ["0.0.0.0:9000", "127.0.0.1:9001"])
def test_what_waits_is_put_back_at_once(admin: str) -> None:
    """Settings that go together only as a whole are judged as a whole, in whatever order they are put back."""
    started = Settings(listen="127.0.0.1:9000", admin_listen=admin, admin_scope="probes")
    wanted = Settings(listen="127.0.0.1:9001", admin_listen="127.0.0.1:9000", drain_seconds=20.0)
    kept = in_force(started, wanted)
    assert (kept.listen, kept.admin_listen, kept.admin_scope, kept.drain_seconds) == (
        *("127.0.0.1:9000", admin, "probes"),
        20.0,
    )


async def test_what_was_found_of_a_host_stays_known() -> None:
    """One that lost a context gets no deltas after a reload either; another host is unknown anew."""
    async with stack(settings=Settings(upstream=Upstream(verifies_ids="yes"))) as running:
        engine = running.app._engine
        assert engine is not None
        engine.host.suspected()
        engine.host.refused_lanes()
        running.app.reload(msgspec.structs.replace(running.app.settings, timeouts=Timeouts(dial_seconds=4)))
        host = running.app.status().pool.host
        assert (host.suspect, host.lanes) == (True, False)
        upstream = msgspec.structs.replace(running.app.settings.upstream, lanes="on")
        running.app.reload(msgspec.structs.replace(running.app.settings, upstream=upstream))
        host = running.app.status().pool.host
        assert (host.suspect, host.lanes) == (False, True)


async def test_the_admin_listener_minds_the_same_pages() -> None:
    """An origin that was taken away is refused there, too."""
    async with rigged(allowed_origins=("http://a",)) as rig:
        assert rig.app.admin
        page = [("Origin", "http://a")]
        assert (await ask(rig.app.admin, "GET", "/healthz", page)).status == 200
        rig.app.reload(msgspec.structs.replace(rig.app.settings, allowed_origins=()))
        assert (await ask(rig.app.admin, "GET", "/healthz", page)).status == 403
        assert (await ask(rig.app.admin, "GET", "/healthz")).status == 200


async def test_a_turn_is_measured_where_it_went() -> None:
    """One that ends after a reload to another upstream is not counted as that one's."""
    async with rigged() as rig:
        tasks = Tasks()
        asked = tasks.start(rig.create({"model": "gpt-5.4", "input": "hello", "store": False}), "a turn")
        async with asyncio.timeout(5):
            while not rig.app.running:  # noqa: ASYNC110 - a request's start has no event of its own
                await asyncio.sleep(0)
        upstream = msgspec.structs.replace(rig.app.settings.upstream, url="http://127.0.0.1:9/v1")
        rig.app.reload(msgspec.structs.replace(rig.app.settings, upstream=upstream))
        assert (await asked).status == 200
        await tasks.close()
        counted = [
            line for line in rig.app.metrics()[0].decode().splitlines() if line.startswith("openline_turns_total")
        ]
        assert counted
        assert all(line.endswith(" 0.0") for line in counted)


async def test_the_run_of_a_turn_is_taken_off_its_path() -> None:
    """`openline exec` puts its run ahead of the path, beside a token or not; the upstream sees none of it."""
    async with rigged(token=TOKEN) as rig:
        for ahead in ("/openline-run/r1/t/0123456789abcdef", "/t/0123456789abcdef/openline-run/r1"):
            assert (await ask(rig.url, "GET", f"{ahead}/v1/models")).status == 200
            outcome = await rig.outcome()
            assert (outcome.run, outcome.path, outcome.route) == ("r1", "/v1/models", Route.PASSTHROUGH)
        assert (await ask(rig.url, "GET", "/openline-run/r1/v1/models")).status == 401
        assert {seen.path for seen in rig.sim.requests} == {"/v1/models"}
    async with rigged() as rig:
        assert (await ask(rig.url, "GET", f"/openline-run/{'x' * 65}/v1/models")).status == 200
        assert (await rig.outcome()).run is None
