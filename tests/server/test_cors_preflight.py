"""Preflights: what a browser asks before it lets a page call, answered by Openline itself."""

import pytest

from proxy.config import Limits
from proxy.core.reasons import Passed, Route
from proxy.simulator import Behaviour, Fault
from proxy.token import Token
from proxy.turns.outcome import End
from tests.server.test_cors import cors_of
from tests.server.wire import KEY, connected, request, rigged

PAGE = "http://localhost:3000"
QUESTION = [("Origin", PAGE), ("Access-Control-Request-Method", "POST")]
ASKED = "Access-Control-Request-Headers"
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
# What openai-node asks for in a browser.
SDK = (
    "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
    "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout"
)


async def test_a_pages_browser_is_told_what_it_may_ask() -> None:
    """Any method, the headers that it asked for, for ten minutes; the connection stays, and nothing goes upstream."""
    async with rigged(Behaviour(cors=True), allowed_origins=(PAGE,)) as rig, connected(rig.url) as line:
        for _ in range(2):
            await line.send(request("OPTIONS", "/v1/responses?secret=1", [*QUESTION, (ASKED, SDK)]))
            response = await line.response("OPTIONS")
            assert (response.status, response.body, response.header("content-length")) == (204, b"", None)
            cors = cors_of(response)
            assert cors.pop("expose-headers").startswith("x-openline-route")
            assert cors == {
                "allow-origin": PAGE,
                "allow-methods": METHODS,
                "allow-headers": SDK.replace(",", ", "),
                "max-age": "600",
            }
            assert "origin" in (response.header("vary") or "").split(", ")
            outcome = await rig.outcome()
            assert (outcome.route, outcome.reason, outcome.status) == (Route.PASSTHROUGH, Passed.PREFLIGHT, 204)
            assert (outcome.end, outcome.method, outcome.path) == (End.COMPLETED, "OPTIONS", "/v1/responses")
        assert not rig.sim.requests


@pytest.mark.parametrize("target", ["/v1/responses", "/t/{token}/v1/responses", "/t/wrong/v1/models", "/healthz", "/"])
async def test_a_preflight_needs_no_token(target: str) -> None:
    """Browsers ask without the token's header: the answer says no more than that the page is in the settings."""
    token = "x" * 16
    async with rigged(allowed_origins=(PAGE,), token=Token(token)) as rig:
        asked = [*QUESTION, (ASKED, "x-openline-token")]
        response = await rig.ask("OPTIONS", target.format(token=token), asked)
        assert (response.status, cors_of(response)["allow-headers"]) == (204, "x-openline-token")
        assert response.body == b""
        assert not {"wrong", token} & set((await rig.outcome()).path.split("/"))
        foreign = await rig.ask("OPTIONS", target.format(token=token), [("Origin", "null"), *QUESTION[1:]])
        assert (foreign.status, cors_of(foreign)) == (403, {})


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([("Host", "evil.example")], "openline_host"),
        ([("Upgrade", "websocket"), ("Connection", "Upgrade")], "openline_no_websocket"),
        ([(ASKED, "a b")], "openline_bad_request"),
        ([(ASKED, "a,b:c")], "openline_bad_request"),
        ([(ASKED, "ä")], "openline_bad_request"),
        ([(ASKED, ",".join(["x-long"] * 600))], "openline_bad_request"),
        ([(ASKED, "x-a"), (ASKED, 'x-b"')], "openline_bad_request"),
    ],
)
async def test_odd_preflights_are_refused(headers: list[tuple[str, str]], code: str) -> None:
    """A foreign Host, what is no list of header names, or a very long one."""
    async with rigged(allowed_origins=(PAGE,)) as rig:
        response = await rig.ask("OPTIONS", "/v1/responses", [*QUESTION, *headers])
        assert response.error()["code"] == code
        assert "allow-headers" not in cors_of(response)
        assert not rig.sim.requests


async def test_lists_of_headers_are_joined_and_empty_ones_left_out() -> None:
    """Two lists are one; without a header to send none is named."""
    async with rigged(allowed_origins=(PAGE,)) as rig:
        both = await rig.ask("OPTIONS", "/v1/x", [*QUESTION, (ASKED, "x-a,,x-b"), (ASKED, " X-C ")])
        none = await rig.ask("OPTIONS", "/v1/x", [*QUESTION, (ASKED, " , ")])
        assert cors_of(both)["allow-headers"] == "x-a, x-b, X-C"
        assert "allow-headers" not in cors_of(none)


@pytest.mark.parametrize(("asked", "told"), [("true", "true"), ("false", None), (None, None)])
async def test_pages_of_other_networks_may_reach_this_machine(asked: str | None, told: str | None) -> None:
    """Where the browser asks whether a page from elsewhere may call into this network, a listed one may."""
    network = [("Access-Control-Request-Private-Network", asked)] if asked else []
    async with rigged(allowed_origins=(PAGE,)) as rig:
        response = await rig.ask("OPTIONS", "/v1/responses", [*QUESTION, *network])
        assert cors_of(response).get("allow-private-network") == told
        assert "Access-Control-Request-Private-Network" in (response.header("vary") or "")


async def test_what_is_no_preflight_passes_through() -> None:
    """OPTIONS without the question, or without an origin, is the upstream's affair, token and all."""
    async with rigged(allowed_origins=(PAGE,), token=Token("x" * 16)) as rig:
        for headers in (QUESTION[:1], QUESTION[1:]):
            assert (await rig.ask("OPTIONS", "/v1/_echo", headers)).status == 401
            shown = [*headers, ("x-openline-token", "x" * 16), ("Authorization", "Bearer k")]
            response = await rig.ask("OPTIONS", "/v1/_echo", shown)
            assert (response.status, response.header("x-openline-reason")) == (200, "other_path")
        assert len(rig.sim.requests) == 2
        assert (await rig.ask("POST", "/v1/_echo", QUESTION)).status == 401


async def test_preflights_are_answered_where_the_call_will_be_refused() -> None:
    """Only behind an answered preflight can a page read the 503; a connection too many is closed after it."""
    async with rigged(allowed_origins=(PAGE,), limits=Limits(connections=1)) as rig:
        rig.sim.faults.add(Fault("hang", "start"))
        async with connected(rig.url) as held, connected(rig.url) as line:
            await held.send(request("POST", "/v1/responses", [KEY], b'{"model": "m", "input": "x"}'))
            await rig.sim.until(lambda: len(rig.sim.faults.struck) == 1)
            await line.send(request("OPTIONS", "/v1/responses", QUESTION))
            assert (await line.response()).status == 204
            assert await line.at_end()
        await rig.app.drain(0)
        assert (await rig.ask("OPTIONS", "/v1/responses", QUESTION)).status == 204


async def test_the_admin_listener_answers_no_page() -> None:
    """Its pages are for people, probes and commands: a listed origin's preflight is refused, and nothing is shown."""
    async with rigged(allowed_origins=(PAGE,)) as rig:
        assert rig.app.admin is not None
        async with connected(rig.app.admin) as line:
            await line.send(request("OPTIONS", "/status", QUESTION))
            response = await line.response()
        async with connected(rig.app.admin) as line:
            await line.send(request("GET", "/status", QUESTION[:1]))
            status = await line.response()
        assert (response.status, cors_of(response), cors_of(status)) == (405, {}, {})
