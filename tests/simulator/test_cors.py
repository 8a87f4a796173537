"""`cors`: what a page's browser is told, and that nobody is told anything without it."""

import pytest

from tests.simulator.conftest import Start
from tests.simulator.wire import KEY, Running

PAGE = {"Origin": "http://localhost:3000"}
QUESTION = {
    **PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}
ALLOW = "access-control-allow-origin"


async def asked(
    running: Running, method: str, path: str, headers: dict[str, str], body: dict[str, object] | None = None
) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer, read to its end."""
    async with running.http.request(method, f"{running.root}{path}", headers=headers, json=body) as answer:
        await answer.read()
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}


async def test_preflights_are_answered_without_a_key(start: Start) -> None:
    """A browser sends no key when it asks: any page may send the headers that it names, for ten minutes."""
    running = await start(cors=True)
    status, headers = await asked(running, "OPTIONS", "/v1/responses", QUESTION)
    assert (status, headers[ALLOW], headers["access-control-max-age"]) == (204, "*", "600")
    assert headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in headers["access-control-allow-methods"]
    assert [(seen.method, seen.path) for seen in running.sim.requests] == [("OPTIONS", "/v1/responses")]
    assert (await asked(running, "OPTIONS", "/v1/responses", PAGE))[0] == 401


@pytest.mark.parametrize("stream", [True, False])
async def test_pages_read_what_they_ask_for(start: Start, stream: bool) -> None:  # noqa: FBT001 - a parameter
    """Streams, JSON, other endpoints and errors alike; the request id is for pages to read."""
    running = await start(cors=True)
    body: dict[str, object] = {"model": "m", "input": "x", "stream": stream}
    for path, key, status in (("/v1/responses", KEY, 200), ("/v1/responses", {}, 401), ("/v1/nothing", KEY, 404)):
        got, headers = await asked(running, "POST", path, {**PAGE, **key}, body)
        assert (got, headers[ALLOW], headers["access-control-expose-headers"]) == (status, "*", "X-Request-ID")


async def test_others_are_told_nothing(start: Start) -> None:
    """No CORS header where no page asks, at the control endpoints, or without `cors`, where a preflight lacks a key."""
    running = await start(cors=True)
    body: dict[str, object] = {"model": "m", "input": "x", "stream": True}
    seen = [
        await asked(running, "POST", "/v1/responses", KEY, body),
        await asked(running, "GET", "/_simulator/journal", PAGE),
        await asked(running, "OPTIONS", "/_simulator/journal", QUESTION),
    ]
    plain = await start()
    seen += [
        await asked(plain, "POST", "/v1/responses", {**KEY, **PAGE}, body),
        await asked(plain, "OPTIONS", "/v1/responses", QUESTION),
    ]
    assert [status for status, _ in seen] == [200, 200, 404, 200, 401]
    assert not [name for _, headers in seen for name in headers if name.startswith("access-control")]
