"""Headers on the way: what goes on an upgrade, what makes a turn go over HTTP, and how a loop of proxies ends."""

from collections.abc import Mapping

import aiohttp
import msgspec
import pytest

from proxy.config import Settings, Upstream
from tests.cli.process import started
from tests.e2e import captures
from tests.e2e.stack import chat, stack
from tests.trust.session import free_port
from tests.trust.test_separation import identity_of

CHATTY: Mapping[str, str] = {
    "X-Stainless-Lang": "python",
    "x-stainless-retry-count": "1",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=b",
    "baggage": "user=me",
    "x-request-id": "mine",
    "x-client-request-id": "mine",
    "session_id": "s",
    "x-codex-turn-metadata": "{}",
    "x-openline-future": "1",
    "x-openline-mode": "on",
    "OpenAI-Safety-Identifier": "user",
    "Forwarded": "for=1.2.3.4",
    "X-Forwarded-For": "1.2.3.4",
    "Referer": "http://localhost/",
    "TE": "trailers",
    "Connection": "keep-alive, x-named",
    "x-named": "1",
    "Proxy-Authorization": "Basic bWU6cHc=",
}
IDENTITY = {"authorization": "Bearer k", "openai-organization": "o", "openai-project": "p", "openai-beta": "x=1"}
SETTINGS = Settings(upstream=Upstream(verifies_ids="yes"))
RECORDED = sorted({name for run in captures.RUNS for one in captures.run(run) for name in one.headers})


async def test_only_who_asks_goes_on_an_upgrade() -> None:
    """Of all that clients are known to send, and more, an upgrade has the identity headers alone."""
    recorded = {name: "1" for name in RECORDED if name not in {"content-type", "content-encoding", *IDENTITY}}
    assert len(recorded) > 10
    async with stack(settings=SETTINGS) as running:
        for headers in ({**CHATTY, **IDENTITY}, {**recorded, **IDENTITY, "openai-project": "q"}):
            reply = await running.ask(chat().body, headers=headers)
            assert (reply.status, reply.route) == (200, "full"), headers
            shaken = running.sim.handshakes[-1]
            kept = {**IDENTITY, "openai-project": headers["openai-project"]}
            assert identity_of(shaken.headers) == sorted(kept.items())
            (agent,) = [value for name, value in shaken.headers if name.lower() == "user-agent"]
            assert agent.startswith("openline/")


async def test_a_turn_that_is_to_run_once_goes_over_http_with_its_key() -> None:
    """An Idempotency-Key sends its turn over HTTP, with all headers but those of one hop and our own."""
    async with stack(settings=SETTINGS) as running:
        reply = await running.ask(chat().body, headers={**CHATTY, **IDENTITY, "Idempotency-Key": "once"})
        assert (reply.status, reply.route, reply.reason) == (200, "http", "semantic_header")
        (entry,) = running.sim.journal
        came = {name.lower(): value for name, value in entry.headers}
        assert came["idempotency-key"] == "once"
        hop = {"te", "x-named", "proxy-authorization", "connection", "x-openline-future", "x-openline-mode"}
        assert not hop & came.keys()
        kept = {name.lower(): value for name, value in {**CHATTY, **IDENTITY}.items() if name.lower() not in hop}
        assert came.items() >= kept.items()


@pytest.mark.parametrize(("method", "target"), [("POST", "/responses"), ("GET", "/models")])
async def test_two_proxies_that_point_at_each_other_end_with_508(method: str, target: str) -> None:
    """A request that comes round to a proxy which it went through already is answered 508, at once, by either way."""
    one, two = free_port(), free_port()
    body = msgspec.json.encode(chat().body) if method == "POST" else None
    ends = [
        ("--port", str(here), "--upstream", f"http://127.0.0.1:{there}/v1") for here, there in ((one, two), (two, one))
    ]
    async with started("run", *ends[0]) as first, started("run", *ends[1]) as second:
        bases = [await first.base(), await second.base()]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
            for base in bases:
                async with session.request(method, base + target, data=body, headers=IDENTITY) as response:
                    answer = msgspec.json.decode(await response.read(), type=dict[str, dict[str, object]])
                    assert (response.status, answer["error"]["code"]) == (508, "openline_loop")
