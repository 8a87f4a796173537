"""Who answers what, and who may ask."""

import asyncio

import pytest

from proxy.simulator import Handshake
from tests.simulator.conftest import Start
from tests.simulator.wire import KEY, Running


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic x"}, {"api-key": ""}])
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/models", "/v1/chat/completions"])
async def test_a_key_is_needed(running: Running, path: str, headers: dict[str, str]) -> None:
    """Without a key everything is 401 invalid_api_key."""
    status, body = await running.json("POST", path, {"model": "m", "input": "x"}, headers)
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    assert len(running.sim.journal) == 0


async def test_any_key_will_do_unless_keys_are_set(start: Start) -> None:
    """Any non-empty bearer or api-key is good; with `api_keys`, only those."""
    running = await start()
    for headers in ({"Authorization": "bearer anything"}, {"api-key": "anything"}):
        assert (await running.json("GET", "/v1/models", headers=headers))[0] == 200
    strict = await start(api_keys=frozenset({"good"}))
    for key, status in (("good", 200), ("bad", 401)):
        assert (await strict.json("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"}))[0] == status


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nothing"), ("GET", "/"), ("PUT", "/v1/responses"), ("POST", "/v1/responses/resp_x"), ("GET", "/v2")],
)
async def test_all_else_is_not_found(running: Running, method: str, path: str) -> None:
    """Unknown paths and methods are 404 in the API's shape, and journaled as requests."""
    status, body = await running.json(method, path, b"body")
    assert (status, body["error"]["message"]) == (404, f"Invalid URL ({method} {path})")
    assert (running.sim.requests[-1].path, running.sim.requests[-1].body) == (path, b"body")


async def test_the_base_path_can_be_chosen(start: Start) -> None:
    """`base_path`: creates by both transports are answered below it, and nothing below /v1."""
    running = await start(base_path="/openai/v1")
    assert running.base.endswith("/openai/v1")
    socket = await running.socket()
    assert (await socket.turn(input="x"))["type"] == "response.completed"
    assert running.sim.handshakes[-1].path == "/openai/v1/responses"
    root = running.base.removesuffix("/openai/v1")
    for path, status in (("/openai/v1", 200), ("/v1", 404), ("/openai/v1/v1", 404)):
        async with running.http.post(f"{root}{path}/responses", json={"model": "m", "input": "x"}, headers=KEY) as got:
            assert got.status == status
    async with running.http.get(f"{root}/openai/v1/models", headers=KEY) as got:
        assert got.status == 200


@pytest.mark.parametrize("status", [404, 405, 426])
async def test_a_host_without_websockets(start: Start, status: int) -> None:
    """`websocket=False` refuses every upgrade with the chosen status."""
    running = await start(websocket=False, websocket_refusal=status)
    headers = {**KEY, "Connection": "Upgrade", "Upgrade": "websocket"}
    assert (await running.json("GET", "/v1/responses", headers=headers))[0] == status
    (handshake,) = running.sim.handshakes
    assert (handshake.status, handshake.connection) == (status, None)


async def test_handshakes_are_journaled(running: Running) -> None:
    """An upgrade's path and headers, and the number of its connection."""
    await running.socket(**{"OpenAI-Beta": "responses_websockets=2026-02-06"})
    handshake = running.sim.handshakes[-1]
    assert isinstance(handshake, Handshake)
    assert (handshake.path, handshake.status, handshake.connection) == ("/v1/responses", 101, 1)
    assert ("OpenAI-Beta", "responses_websockets=2026-02-06") in handshake.headers


async def test_expect_is_answered_before_the_body_comes(running: Running) -> None:
    """A client that asks first is told to continue."""
    port = int(running.root.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"model":"m","input":"x"}'
    head = (
        "POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
    await writer.wait_closed()


async def test_large_bodies_are_read(running: Running) -> None:
    """Over HTTP there is no frame limit: 20 MB arrive whole."""
    status, _ = await running.create(input="x" * 20_000_000)
    assert status == 200
    assert running.last.size > 20_000_000
