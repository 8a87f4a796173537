"""Dials, against real sockets."""

import asyncio
import os
import ssl

import pytest
from websockets.exceptions import ConnectionClosedError

from proxy import __version__
from proxy.config import Settings, Timeouts, Upstream
from proxy.core.fingerprint import Fingerprints
from proxy.core.recovery import Fault
from proxy.errors import TurnFault
from proxy.tasks import Tasks
from proxy.upstream.address import Address, pool_key
from proxy.upstream.dial import Dialler, dialler
from proxy.upstream.way import way_upstream
from tests.upstream.peer import Peer, over, patience, refusal, soon, until

pytestmark = pytest.mark.usefixtures("nothing_left")


def to(base: str, *, seconds: float = 5.0, compression: bool = True) -> Dialler:
    """A dialler as the settings make it."""
    upstream = Upstream(url=base, compression=compression)
    settings = Settings(upstream=upstream, timeouts=Timeouts(dial_seconds=seconds))
    return dialler(settings, way_upstream(settings, os.environ))


async def fault_of(base: str, *, seconds: float = 5.0) -> TurnFault:
    """What a dial that must fail fails with."""
    with pytest.raises(TurnFault) as caught:
        await soon(to(base, seconds=seconds).dial([("authorization", "Bearer sk-secret")], patience()))
    assert "secret" not in f"{caught.value!r} {caught.value}"
    return caught.value


async def test_exactly_the_identity_goes_on_the_upgrade(peer: Peer) -> None:
    """Of all that a caller sends, the upgrade carries the identity headers and what WebSocket itself needs."""
    caller = [
        ("Authorization", "Bearer k"),
        ("OpenAI-Organization", "org"),
        ("OpenAI-Project", "proj"),
        ("X-Tenant", "t"),
        ("x-stainless-lang", "python"),
        ("traceparent", "00-1-2-01"),
        ("X-Request-Id", "r"),
        ("User-Agent", "sdk"),
        ("Cookie", "c"),
    ]
    address = Address(peer.base)
    owner = pool_key(address, caller, ["X-Tenant"], "responses_websockets=2026-02-06", Fingerprints(b"k" * 32))
    socket = await soon(to(peer.base).dial(owner.headers, patience()))
    asked = {name.lower(): value for name, value in (await peer.line()).asked.raw_items()}
    await soon(socket.close())
    assert asked.pop("sec-websocket-key")
    assert asked == {
        "authorization": "Bearer k",
        "openai-organization": "org",
        "openai-project": "proj",
        "openai-beta": "responses_websockets=2026-02-06",
        "x-tenant": "t",
        "host": f"127.0.0.1:{peer.port}",
        "user-agent": f"openline/{__version__}",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
    }
    assert peer.upgrades[0].path == "/v1/responses"


async def test_a_way_that_is_only_tried(peer: Peer) -> None:
    """`reach` opens a connection as a dial does, and asks for nothing on it."""
    socket = await soon(to(peer.base).reach(patience()))
    assert socket.transport.get_extra_info("peername")[1] == peer.port
    socket.transport.abort()
    await soon(socket.wait_closed())
    assert peer.upgrades == []


async def test_a_way_that_is_tried_in_vain() -> None:
    """It fails as a dial does."""
    with pytest.raises(TurnFault) as caught:
        await soon(to("http://127.0.0.1:9/v1").reach(patience()))
    assert caught.value.fault is Fault.DIAL_FAILED


async def test_both_beta_headers_reach_the_host(peer: Peer) -> None:
    """The caller's OpenAI-Beta and the setting's are both sent."""
    owner = pool_key(Address(peer.base), [("OpenAI-Beta", "a=1")], (), "b=2", Fingerprints(b"k" * 32))
    socket = await soon(to(peer.base).dial(owner.headers, patience()))
    assert (await peer.line()).asked.get_all("openai-beta") == ["a=1", "b=2"]
    await soon(socket.close())


@pytest.mark.parametrize("compression", [True, False])
async def test_compression_is_a_setting(peer: Peer, compression: bool) -> None:  # noqa: FBT001
    """permessage-deflate is offered and used exactly where the setting says so; frames arrive either way."""
    socket = await soon(to(peer.base, compression=compression).dial([], patience()))
    line = await peer.line()
    assert ("sec-websocket-extensions" in line.asked) is compression
    assert bool(socket.protocol.extensions) is compression
    await socket.send(b'{"a":"' + b"x" * 10_000 + b'"}', text=True)
    assert (await line.frame())["a"] == "x" * 10_000
    await soon(socket.close())


@pytest.mark.parametrize("status", [404, 405, 426])
async def test_no_websocket_mode(peer: Peer, status: int) -> None:
    """These answers mean that the host does not speak WebSocket mode."""
    peer.refusals.append(refusal(status))
    assert (await fault_of(peer.base)).fault is Fault.NO_WEBSOCKET


@pytest.mark.parametrize("status", [401, 403])
async def test_an_upgrade_that_is_forbidden(peer: Peer, status: int) -> None:
    """Whether the key or the upgrade is minded only plain HTTP can tell: a fault of its own, without an answer."""
    peer.refusals.append(refusal(status, b"no"))
    fault = await fault_of(peer.base)
    assert (fault.fault, fault.answer) == (Fault.UPGRADE_FORBIDDEN, None)
    assert str(status) in fault.detail


async def test_an_answer_for_the_caller(peer: Peer) -> None:
    """The host's answer is kept: status, body and the headers that mean something to the caller, no others."""
    passed = {"retry-after": "7", "x-request-id": "req_1", "content-type": "application/json"}
    headers = {"Retry_After": "7", "X_Request_Id": "req_1", "Content_Type": "application/json", "Set_Cookie": "c=1"}
    peer.refusals.append(refusal(429, b'{"error":{}}', **headers))
    fault = await fault_of(peer.base)
    assert fault.fault is Fault.UPGRADE_REFUSED
    assert fault.answer is not None
    assert (fault.answer.status, fault.answer.body) == (429, b'{"error":{}}')
    assert fault.answer.headers == passed


@pytest.mark.parametrize("status", [400, 418, 500, 502, 503])
async def test_any_other_refusal_is_a_failed_dial(peer: Peer, status: int) -> None:
    """A host in trouble, or an odd answer: a dial failure, whose text names the status."""
    peer.refusals.append(refusal(status))
    fault = await fault_of(peer.base)
    assert fault.fault is Fault.DIAL_FAILED
    assert str(status) in fault.detail


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(peer: Peer, status: int) -> None:
    """The credential goes to no other address than the one in the settings."""
    async with Peer() as elsewhere:
        peer.refusals.append(refusal(status, Location=f"ws://127.0.0.1:{elsewhere.port}/v1/responses"))
        assert (await fault_of(peer.base)).fault is Fault.DIAL_FAILED
        assert not elsewhere.upgrades


async def test_nobody_listens() -> None:
    """A refused TCP connection is a failed dial."""
    async with Peer() as gone:
        base = gone.base
    fault = await fault_of(base)
    assert fault.fault is Fault.DIAL_FAILED
    assert fault.detail.endswith("): Connection refused")


async def test_a_silent_host_costs_no_more_than_the_limit(peer: Peer) -> None:
    """A host that never answers the upgrade is a failed dial after dial_seconds."""
    peer.gate = asyncio.Event()
    fault = await fault_of(peer.base, seconds=0.05)
    assert fault.fault is Fault.DIAL_FAILED
    assert "no answer in time" in fault.detail


async def test_a_host_that_hangs_up_or_speaks_no_http() -> None:
    """A line cut during the upgrade, and an answer that is no HTTP, are failed dials."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(replies.pop())
        writer.close()
        await writer.wait_closed()

    replies = [b"SMTP ready\r\n\r\n", b""]
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        assert (await fault_of(base)).fault is Fault.DIAL_FAILED
        assert (await fault_of(base)).fault is Fault.DIAL_FAILED


@pytest.mark.parametrize(
    "broken",
    [b"\x83\x00", b"\x81\x80\x00\x00\x00\x00", b"\x81\x7f\x00\x00\x01\x00\x00\x00\x00\x00"],
    ids=["unknown opcode", "masked", "a terabyte"],
)
async def test_a_host_that_breaks_the_protocol_is_not_waited_for(peer: Peer, broken: bytes) -> None:
    """What no server may send loses the line at once, although the host keeps it open."""
    socket = await soon(to(peer.base).dial([], patience()))
    line = await peer.line()
    line.deafen()
    line.socket.transport.write(broken)
    with pytest.raises(ConnectionClosedError):
        await soon(socket.recv())


async def test_a_cancelled_dial_leaves_no_socket(peer: Peer) -> None:
    """Cancelling in the middle of the upgrade ends the dial and closes what was opened."""
    peer.gate = asyncio.Event()
    tasks = Tasks()
    dial = tasks.start(to(peer.base).dial([], patience()), "dial")
    await until(lambda: len(peer.upgrades) == 1)
    dial.cancel()
    await over(dial)
    assert dial.cancelled()


async def test_the_tls_context_is_made_once_and_only_for_tls() -> None:
    """A plain upstream needs none; a dialler keeps the one that it has."""
    assert to("http://127.0.0.1:1/v1").way.tls is None
    assert isinstance(to("https://127.0.0.1:1/v1").way.tls, ssl.SSLContext)
