"""The admin listener over real sockets: where it is, what it tells to whom, and what it never tells."""

import contextlib
import os
import socket
import stat
from pathlib import Path

import aiohttp
import msgspec
import pytest

from proxy import __version__
from proxy.config import Limits, Pool, Settings, Timeouts
from proxy.server.admin import Admin, CannotListen
from proxy.server.app import Openline
from proxy.simulator import Fault
from proxy.tasks import Tasks
from proxy.token import Token
from proxy.upstream.status import BreakerStatus
from tests.server.wire import KEY, Response, Rig, ask, connected, request, rigged

CREATE: dict[str, object] = {"model": "gpt-5.4", "input": "marker-prompt", "store": False}


def where(rig: Rig) -> str:
    """The admin listener's URL."""
    assert rig.app.admin
    return rig.app.admin


async def admin(rig: Rig, page: str, headers: tuple[tuple[str, str], ...] = (), method: str = "GET") -> Response:
    """One request to it."""
    return await ask(where(rig), method, page, headers)


def free_pair() -> int:
    """A port that is free, as is the one below it."""
    while True:
        with socket.socket() as upper, socket.socket() as lower:
            upper.bind(("127.0.0.1", 0))
            port: int = upper.getsockname()[1]
            try:
                lower.bind(("127.0.0.1", port - 1))
            except OSError:
                continue
            return port


async def test_it_is_on_loopback_by_default() -> None:
    """Without a setting there is one, at any free port of loopback where `listen` has none of its own."""
    async with rigged() as rig:
        assert where(rig).startswith("http://127.0.0.1:")
        assert where(rig) != rig.url.removesuffix("/v1")
        assert (await admin(rig, "/healthz")).json() == {
            "name": "openline",
            "version": __version__,
            "pid": os.getpid(),
            "api": rig.url,
            "admin": rig.app.admin,
        }


async def test_it_is_at_the_port_below() -> None:
    """Beside `listen` at 6736 it is at 6735; where that is taken, at another, and the start goes on."""
    port = free_pair()
    async with rigged(listen=f"127.0.0.1:{port}") as rig:
        assert where(rig) == f"http://127.0.0.1:{port - 1}"
    with socket.create_server(("127.0.0.1", port - 1)):
        async with rigged(listen=f"127.0.0.1:{port}") as rig:
            assert where(rig) not in {f"http://127.0.0.1:{port - 1}", f"http://127.0.0.1:{port}"}
            assert (await admin(rig, "/readyz")).status == 200


@pytest.mark.parametrize(
    ("listen", "host"), [("127.0.0.2:0", "127.0.0.2"), ("0.0.0.0:0", "127.0.0.1"), ("localhost:0", "127.0.0.1")]
)
async def test_auto_is_never_beyond_loopback(listen: str, host: str) -> None:
    """It is where `listen` is, but on loopback in any case."""
    async with rigged(listen=listen, token=Token("x" * 16)) as rig:
        assert where(rig).startswith(f"http://{host}:")
        assert (await admin(rig, "/healthz")).status == 200


async def test_it_can_be_off() -> None:
    """Then there is none, and nobody is told of one."""
    async with rigged(admin_listen="off") as rig:
        assert rig.app.admin is None
        assert (await rig.ask("GET", "/healthz")).json()["admin"] is None


async def test_ipv6_too() -> None:
    """An address in brackets is listened on and told as a URL."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return  # this machine has no IPv6
    async with rigged(admin_listen="[::1]:0") as rig:
        assert where(rig).startswith("http://[::1]:")
        assert (await admin(rig, "/readyz")).status == 200


async def test_an_address_that_was_asked_for_must_be_had() -> None:
    """An explicit port that is taken stops the start, and leaves the callers' port free again."""
    port = free_pair()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = taken.getsockname()[:2]
        settings = Settings(listen=f"127.0.0.1:{port}", admin_listen=f"127.0.0.1:{place[1]}")
        with pytest.raises(CannotListen, match="in use") as refused:
            await Openline(settings, lambda _: None).start()
    assert refused.value.place == place
    socket.create_server(("127.0.0.1", port)).close()


async def test_a_socket_file_serves_its_owner(tmp_path: Path) -> None:
    """A unix socket is 0600, answers as a port does, and goes with the process; a live one stops the next start."""
    path = tmp_path / "s"
    async with rigged(admin_listen=f"unix:{path}") as rig:
        assert rig.app.admin == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.get("http://localhost/status") as response,
        ):
            assert (response.status, (await response.json())["identity"]["admin"]) == (200, f"unix:{path}")
        other = Openline(Settings(listen="127.0.0.1:0", admin_listen=f"unix:{path}"), lambda _: None)
        with pytest.raises(CannotListen, match="in use"):
            await other.start()
        assert path.is_socket()
    assert not path.exists()


async def test_it_is_not_ready_while_draining() -> None:
    """From the first moment of the drain to its end `/readyz` says 503 and why; alive it is all the same."""
    async with rigged() as rig:
        ready = await admin(rig, "/readyz")
        assert (ready.status, ready.json()) == (200, {"ready": True})
        await rig.app.drain(0)
        unready = await admin(rig, "/readyz")
        assert (unready.status, unready.json()) == (503, {"ready": False, "reason": "draining"})
        assert (await admin(rig, "/healthz")).status == 200


async def test_it_is_not_ready_at_the_limit() -> None:
    """While as many requests are in flight as may be, the next would be refused; afterwards it is ready again."""
    tasks = Tasks()
    async with rigged(limits=Limits(requests=1)) as rig:
        rig.sim.faults.add(Fault("hang", "start"))
        tasks.start(rig.create(CREATE), "turn")
        await rig.sim.until(lambda: len(rig.sim.faults.struck) == 1)
        assert (await admin(rig, "/readyz")).json() == {"ready": False, "reason": "overloaded"}
        await tasks.close()
        await rig.outcome()
        assert (await admin(rig, "/readyz")).status == 200


async def test_the_status_is_how_it_is_doing() -> None:
    """Turns, sockets, host and breakers, now; the same figures as Openline.status gives."""
    async with rigged() as rig:
        assert (await rig.create(CREATE)).status == 200
        response = await admin(rig, "/status")
        status = response.json()
        assert response.header("content-type") == "application/json"
        expected = msgspec.to_builtins(rig.app.status())
        assert status.pop("uptime_seconds") <= expected.pop("uptime_seconds")
        assert status.pop("connections") in (0, 1)  # the caller's may be closing yet
        del expected["connections"]
        assert status == expected
        assert (status["running"], status["unready"], status["mode"]) == (0, None, "on")
        pool = rig.app.status().pool
        assert (pool.sockets.idle, pool.breakers.open, pool.host.verifies_ids) == (1, 0, "yes")


async def test_the_breaker_shows(caplog: pytest.LogCaptureFixture) -> None:
    """While lines come to nothing the status counts the breaker, and its opening and closing is one line each."""
    async with rigged(pool=Pool(breaker_failures=1, breaker_seconds=0.0)) as rig:
        rig.sim.faults.add(Fault("refuse", "upgrade", status=503, times=2))
        assert (await rig.create(CREATE)).header("x-openline-route") == "http"
        assert rig.app.status().pool.breakers == BreakerStatus(open=0, half_open=1, seconds_left=0.0)
        assert b'"half_open": 1' in (await admin(rig, "/status")).body
        assert (await rig.create(CREATE)).header("x-openline-route") == "full"
        assert rig.app.status().pool.breakers.half_open == 0
    opened, closed = (record.getMessage() for record in caplog.records)
    assert "came to nothing" in opened
    assert closed.endswith("work again")


async def test_no_caller_is_told_of() -> None:
    """Neither prompt nor key, nor the token or the path of the upstream, is in any answer."""
    async with rigged(token=Token("marker-0123456789abcdef")) as rig:
        shown = ("x-openline-token", "marker-0123456789abcdef")
        assert (await rig.create(CREATE, [("Authorization", "Bearer marker-key"), shown])).status == 200
        told = [(await admin(rig, page)).body for page in ("/healthz", "/readyz", "/status", "/nothing")]
        assert b"marker" not in b"".join(told)
    async with rigged(upstream="http://127.0.0.1:9/marker/v1") as rig:
        assert (await admin(rig, "/status")).json()["upstream"] == "http://127.0.0.1:9"


async def test_probes_alone_may_be_anywhere() -> None:
    """In the scope `probes` it says yes or no, and its name, to any address; the rest is not there."""
    async with rigged(admin_listen="0.0.0.0:0", admin_scope="probes") as rig:
        pod = (("Host", "10.1.2.3:6735"),)
        assert (await admin(rig, "/healthz", pod)).json() == {"name": "openline"}
        assert (await admin(rig, "/readyz", pod)).json() == {"ready": True}
        assert (await admin(rig, "/status", pod)).status == 404


@pytest.mark.parametrize(
    ("header", "code"),
    [(("Host", "evil.example"), "openline_host"), (("Origin", "http://localhost"), "openline_origin")],
)
async def test_foreign_pages_are_refused(header: tuple[str, str], code: str) -> None:
    """Host and Origin are checked here as on the callers' listener, on every page."""
    async with rigged() as rig:
        for page in ("/healthz", "/readyz", "/status", "/nothing"):
            response = await admin(rig, page, (header,))
            assert (response.status, response.error()["code"]) == (403, code)


@pytest.mark.parametrize(
    ("method", "page", "status", "code"),
    [
        ("GET", "/", 404, "openline_not_found"),
        ("GET", "/status/", 404, "openline_not_found"),
        ("POST", "/v1/responses", 404, "openline_not_found"),
        ("GET", "/healthz/../status", 404, "openline_not_found"),
        ("POST", "/status", 405, "openline_method"),
        ("DELETE", "/readyz", 405, "openline_method"),
        ("OPTIONS", "/healthz", 405, "openline_method"),
    ],
)
async def test_anything_else_is_a_clear_error(method: str, page: str, status: int, code: str) -> None:
    """Unknown pages and methods are answered in the API's shape, and nothing goes upstream."""
    async with rigged() as rig:
        response = await admin(rig, page, (KEY,), method)
        assert (response.status, response.error()["code"]) == (status, code)
        assert response.header("allow") == ("GET, HEAD" if status == 405 else None)
        assert not rig.sim.requests
        assert rig.outcomes.empty()


async def test_answers_are_not_kept() -> None:
    """Each answer, errors too, is marked as not to be stored, and ends its connection; a query does not matter."""
    async with rigged() as rig:
        for page in ("/healthz?x", "/readyz", "/status", "/nothing"):
            async with connected(where(rig)) as line:
                await line.send(request("GET", page) + request("GET", page))
                response = await line.response()
                assert await line.at_end()
            assert response.header("cache-control") == "no-store"
            assert response.header("server") is None


async def test_head_has_no_body() -> None:
    """HEAD is GET without the body."""
    async with rigged() as rig:
        head = await admin(rig, "/status", (), "HEAD")
        assert (head.status, head.body) == (200, b"")


async def test_it_has_limits_of_its_own() -> None:
    """Who says nothing is cut off, what is no HTTP gets a 400, and many idle lines do not stop the callers."""
    async with rigged(timeouts=Timeouts(header_seconds=0.05)) as rig:
        async with connected(where(rig)) as line:
            assert await line.at_end()
        async with connected(where(rig)) as line:
            await line.send(b"\x16\x03\x01 not http\r\n\r\n")
            assert (await line.response()).error()["code"] == "openline_bad_request"
        assert (await rig.ask("GET", "/v1/models")).status == 200
        assert rig.outcomes.qsize() == 1


async def test_a_crowd_is_told_so() -> None:
    """Where 32 connections stand about, the next gets a 503 with `Retry-After`; callers do not notice."""
    async with rigged() as rig, contextlib.AsyncExitStack() as crowd:
        for _ in range(32):
            await crowd.enter_async_context(connected(where(rig)))
        response = await admin(rig, "/healthz")
        assert (response.status, response.error()["code"]) == (503, "openline_overloaded")
        assert response.header("retry-after")
        assert (await rig.ask("GET", "/v1/models")).status == 200


async def test_without_any_port_it_goes_on_without() -> None:
    """`auto` never stops the start: where loopback itself cannot be had, callers are served all the same."""
    app = Openline(Settings(listen="[::1%nowhere]:0"), lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        try:
            base = await app.start(sockets=[sock])
            assert app.admin is None
            assert (await ask(base, "GET", "/healthz")).status == 200
        finally:
            await app.close()


async def test_a_socket_that_cannot_listen_is_closed() -> None:
    """What goes wrong after binding leaves no socket behind."""
    one, other = socket.socketpair()
    with other, pytest.raises(OSError, match="Invalid argument"):
        await Admin(Settings(), "marker", {}, "secret")._listen([one])
    assert one.fileno() == -1


async def test_the_callers_listener_has_no_admin_pages() -> None:
    """There, `/status` and `/readyz` are the upstream's affair as any path."""
    async with rigged() as rig:
        for page in ("/status", "/readyz"):
            await rig.ask("GET", page)
        assert [seen.path for seen in rig.sim.requests] == ["/status", "/readyz"]


async def test_there_is_no_status_before_the_start() -> None:
    """Asked too early, it is a mistake in the program."""
    with pytest.raises(RuntimeError, match="before the start"):
        Openline(Settings(listen="127.0.0.1:0"), lambda _: None).status()
