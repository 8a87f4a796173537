"""The token at the listener: who shows it is served as ever, who does not gets nothing, and it goes nowhere."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from proxy.token import Token
from tests.server.wire import KEY, Rig, connected, request, rigged

SECRET = "marker-0123456789abcdef"
SHOWN = ("X-Openline-Token", SECRET)
QUESTION = {"role": "user", "content": "hello"}
CREATE: dict[str, object] = {"model": "gpt-5.4", "input": [QUESTION], "store": False}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A proxy that wants a token."""
    async with rigged(token=Token(SECRET)) as rig:
        yield rig


def everything_upstream(rig: Rig) -> str:
    """All that arrived there."""
    return repr([*rig.sim.requests, *rig.sim.handshakes, *rig.sim.journal])


async def conversation(rig: Rig, target: str, headers: list[tuple[str, str]]) -> list[str | None]:
    """The routes of a turn and of its continuation."""
    first = await rig.ask("POST", target, [KEY, *headers], msgspec.json.encode(CREATE))
    assert first.status == 200
    output = msgspec.convert(first.json()["output"], list[dict[str, object]])
    longer = {**CREATE, "input": [QUESTION, *output, {"role": "user", "content": "and now?"}]}
    second = await rig.ask("POST", target, [KEY, *headers], msgspec.json.encode(longer))
    return [response.header("x-openline-route") for response in (first, second)]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/v1/responses", [SHOWN]),
        ("/v1/responses", [(SHOWN[0].lower(), SECRET)]),
        (f"/t/{SECRET}/v1/responses", []),
        (f"/t/{SECRET.replace('-', '%2D')}/v1/responses", []),
        (f"/t/{SECRET}/v1/responses", [("x-openline-token", "another, out of date")]),
        (f"/t/{SECRET[1:]}/v1/responses", [SHOWN]),
    ],
)
async def test_who_shows_the_token_is_served_as_ever(target: str, headers: list[tuple[str, str]], rig: Rig) -> None:
    """In the header or ahead of the path: a turn goes over a WebSocket, its continuation is a delta."""
    assert await conversation(rig, target, headers) == ["full", "delta"]
    outcomes = [await rig.outcome() for _ in range(2)]
    assert [outcome.path for outcome in outcomes] == ["/v1/responses"] * 2
    assert SECRET not in repr(outcomes) + everything_upstream(rig)
    assert [entry.transport for entry in rig.sim.journal] == ["ws", "ws"]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/v1/responses", []),
        ("/v1/responses", [("x-openline-token", "")]),
        ("/v1/responses", [("x-openline-token", SECRET[:-1])]),
        ("/v1/responses", [("x-openline-token", SECRET.upper())]),
        ("/v1/responses", [("x-openline-token", f"Bearer {SECRET}")]),
        ("/v1/responses", [("authorization", f"Bearer {SECRET}")]),
        (f"/v1/responses?token={SECRET}", []),
        (f"/t/{SECRET[:-1]}/v1/responses", []),
        (f"/t/{SECRET}%00/v1/responses", []),
        (f"/t/x{SECRET}/v1/responses", []),
        (f"//t/{SECRET}/v1/responses", []),
        (f"/T/{SECRET}/v1/responses", []),
        (f"/v1/t/{SECRET}/v1/responses", []),
        ("/t//v1/responses", []),
        ("/t/", []),
        ("/", []),
    ],
)
async def test_who_does_not_show_it_gets_a_401(target: str, headers: list[tuple[str, str]], rig: Rig) -> None:
    """A clear answer in the API's shape, before the body is read; its path is not recorded: it may hold a slip."""
    async with connected(rig.url) as line:
        await line.send(request("POST", target, headers, b"{}"))
        response = await line.response("POST")
        assert await line.at_end()
    assert (response.status, response.error()["code"]) == (401, "openline_token")
    assert "x-openline-token" in str(response.error()["message"])
    assert response.header("www-authenticate") == 'Openline-Token realm="openline"'
    outcome = await rig.outcome()
    assert (outcome.status, outcome.path, outcome.faults) == (401, "-", ["openline_token"])
    assert SECRET[:-1] not in repr(outcome) + repr(response)
    assert everything_upstream(rig) == "[]"


@pytest.mark.parametrize(
    "target",
    [
        f"//t/{SECRET}/v1/models",
        f"/%74/{SECRET}/v1/models",
        f"/t/{SECRET}/../{SECRET.replace('-', '%2d')}/v1/models",
        f"/v1/models?token={SECRET}",
    ],
)
async def test_a_token_that_would_go_on_goes_nowhere(target: str, rig: Rig) -> None:
    """Where it stands in a place of which it is not taken, it is neither logged nor sent up, whatever else is shown."""
    response = await rig.ask("GET", target, [KEY, SHOWN])
    assert (response.status, response.error()["code"]) == (401, "openline_token")
    assert SECRET not in repr(await rig.outcome()) + response.body.decode()
    assert not rig.sim.requests


async def test_a_strangers_body_is_not_waited_for(rig: Rig) -> None:
    """Who shows no token is answered before his body comes."""
    async with connected(rig.url) as line:
        await line.send(request("POST", "/v1/responses", [("content-length", "1000000")]))
        assert (await line.response("POST")).status == 401


async def test_a_token_that_stands_there_twice_is_taken_off_twice(rig: Rig) -> None:
    """Whoever puts it ahead of a base URL that has it already does not send it upstream."""
    await rig.ask("GET", f"/t/{SECRET}/t/{SECRET}/v1/models", [KEY])
    assert [seen.path for seen in rig.sim.requests] == ["/v1/models"]


@pytest.mark.parametrize("target", ["/v1/models", "/v1/_echo/a?b=c", "/other?"])
async def test_what_passes_through_loses_the_token(target: str, rig: Rig) -> None:
    """Any path goes on as it came, byte for byte, but for the token ahead of it and in the header."""
    await rig.ask("GET", f"/t/{SECRET}{target}", [KEY, SHOWN])
    (seen,) = rig.sim.requests
    assert seen.path == target
    assert not [name for name, _ in seen.headers if name.lower().startswith("x-openline")]
    assert (await rig.outcome()).path == target.partition("?")[0]


async def test_a_token_alone_is_the_root(rig: Rig) -> None:
    """Nothing behind the token is a path too."""
    for target in (f"/t/{SECRET}", f"/t/{SECRET}/", f"/t/{SECRET}?a"):
        await rig.ask("GET", target)
    assert [seen.path for seen in rig.sim.requests] == ["/", "/", "/?a"]


async def test_where_none_is_wanted_a_token_does_no_harm() -> None:
    """A caller that still shows one is served, and it goes nowhere: not upstream, not into the record."""
    async with rigged() as rig:
        assert await conversation(rig, f"/t/{SECRET}/v1/responses", [SHOWN]) == ["full", "delta"]
        assert SECRET not in repr([await rig.outcome(), await rig.outcome()]) + everything_upstream(rig)


@pytest.mark.parametrize("headers", [[KEY], [KEY, ("x-openline-token", "x" * 20)]])
async def test_a_stranger_learns_nothing_but_the_name(headers: list[tuple[str, str]], rig: Rig) -> None:
    """`/healthz` says to anybody that an Openline is here, and the rest to those who show the token."""
    assert (await rig.ask("GET", "/healthz", headers)).json() == {"name": "openline"}
    for target, shown in (("/healthz", [SHOWN]), (f"/t/{SECRET}/healthz", [])):
        known = (await rig.ask("GET", target, shown)).json()
        assert set(known) == {"name", "version", "pid", "api", "admin"}
        assert (known["api"], known["admin"]) == (rig.url, rig.app.admin)
    assert rig.outcomes.empty()


async def test_a_foreign_page_is_refused_with_the_token_too(rig: Rig) -> None:
    """Host and Origin count beside it: a page may have been given a base URL with the token."""
    for header, code in ((("Host", "evil.example"), "openline_host"), (("Origin", "http://a"), "openline_origin")):
        response = await rig.ask("GET", f"/t/{SECRET}/v1/models", [KEY, header])
        assert (response.status, response.error()["code"]) == (403, code)


async def test_every_request_of_a_connection_must_show_it(rig: Rig) -> None:
    """One that was let in does not open the door for the next on the same line."""
    async with connected(rig.url) as line:
        await line.send(request("GET", "/v1/models", [KEY, SHOWN]) + request("GET", "/v1/models", [KEY]))
        assert [(await line.response()).status for _ in range(2)] == [200, 401]


async def test_listening_beyond_loopback_works_with_the_token() -> None:
    """On all interfaces a caller is served by address; without the token nobody is."""
    async with rigged(listen="0.0.0.0:0", token=Token(SECRET)) as rig:
        host = ("Host", "192.0.2.7:6736")
        assert (await rig.ask("GET", "/v1/models", [KEY, SHOWN, host])).status == 200
        assert (await rig.ask("GET", "/v1/models", [KEY, host])).status == 401
        assert (await rig.ask("GET", "/v1/models", [KEY, SHOWN, ("Host", "box.local")])).status == 403


async def test_the_token_is_in_no_fault_of_ours(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault inside Openline is logged with its traceback, which has neither path nor header."""

    def broken(_request: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rig.app._handler, "_mode", broken)
    asyncio.get_running_loop().set_debug(True)
    response = await rig.ask("GET", f"/t/{SECRET}/v1/models", [KEY, SHOWN])
    assert response.status == 500
    assert "ZeroDivisionError" in caplog.text
    assert SECRET not in caplog.text + repr(response)
