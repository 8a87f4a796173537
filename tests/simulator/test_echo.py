"""The echo endpoints, for those who compare bytes."""

import base64

from tests.simulator.conftest import Start
from tests.simulator.wire import KEY, Running


async def test_the_echo_tells_what_came(running: Running) -> None:
    """Method, raw path with its query, headers in order, and the body byte for byte, compressed or not."""
    path = "/v1/_echo/a%2Fb/%C3%A9?x=1&x=2&y=%20"
    status, seen = await running.json("PATCH", path, b"\x00\xff", {**KEY, "Content-Encoding": "gzip", "X-Odd": "é"})
    assert status == 200
    assert (seen["method"], seen["path"]) == ("PATCH", path)
    assert base64.b64decode(seen["body"]) == b"\x00\xff"
    names = [name for name, _ in seen["headers"]]
    assert "X-Odd" in names
    assert running.sim.requests[-1].path == path
    assert running.sim.requests[-1].body == b"\x00\xff"


async def test_status_and_headers_can_be_chosen(running: Running) -> None:
    """`x-echo-status` and `x-echo-header` say how to answer, repeated headers included."""
    headers = [(*next(iter(KEY.items())),), ("x-echo-status", "418"), ("x-echo-header", "Set-Cookie: a=1")]
    headers.append(("x-echo-header", "Set-Cookie: b=2"))
    async with running.http.get(f"{running.base}/_echo", headers=headers) as answer:
        assert answer.status == 418
        assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    async with running.http.head(f"{running.base}/_echo", headers={**KEY, "x-echo-status": "99"}) as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_the_stream_echoes_both_ways(running: Running) -> None:
    """The body comes back as it arrives; without one, numbered lines come."""
    async with running.http.post(f"{running.base}/_echo_stream", data=b"x" * 300_000, headers=KEY) as answer:
        assert await answer.read() == b"x" * 300_000
    async with running.http.get(f"{running.base}/_echo_stream?chunks=2", headers=KEY) as answer:
        assert await answer.read() == b"chunk 0\nchunk 1\n"
    assert [len(request.body) for request in running.sim.requests] == [300_000, 0]


async def test_the_echo_can_be_switched_off(start: Start) -> None:
    """Without `echo_paths` these are unknown paths."""
    running = await start(echo_paths=False)
    for path in ("/v1/_echo", "/v1/_echo_stream"):
        assert (await running.json("GET", path))[0] == 404
