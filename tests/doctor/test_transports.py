"""The two transports, against a host that answers as the test says, and the real simulator."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from proxy.doctor.checks import Finding
from proxy.doctor.credential import credential
from proxy.doctor.transports import Transports
from proxy.simulator import Behaviour, Simulator
from proxy.upstream.way import way_upstream
from tests.doctor.host import answering, settings

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY: Mapping[str, str] = {"OPENAI_API_KEY": "sk-1"}
NO_KEY: Mapping[str, str] = {}


async def found(
    url: str, environ: Mapping[str, str] = KEY, *, seconds: float = 5.0, named: str | None = None
) -> dict[str, Finding]:
    """What the checks find, in their order."""
    chosen = settings(url, seconds=seconds)
    async with Transports(chosen, way_upstream(chosen, os.environ), credential(environ, named)) as transports:
        checks = (transports.clock, transports.http, transports.websocket, transports.credential)
        findings: dict[str, Finding] = {one.name: one for one in [await check() for check in checks]}
        assert transports.has_websocket == (findings["websocket"].state == "ok")
    assert "sk-1" not in str(findings)
    return findings


def states(findings: Mapping[str, Finding]) -> list[str]:
    """The states of http, websocket and credential."""
    return [findings[name].state for name in ("http", "websocket", "credential")]


async def test_all_is_well() -> None:
    """One request without a body and one upgrade, both with the credential; nothing else is asked."""
    async with answering() as host:
        findings = await found(host.url)
        assert [(one.method, one.path) for one in host.asked] == [("POST", "/v1/responses"), ("GET", "/v1/responses")]
        assert {one.headers["authorization"] for one in host.asked} == {"Bearer sk-1"}
        assert host.asked[0].headers["content-length"] == "0"
    assert [one.state for one in findings.values()] == ["ok"] * 4
    assert findings["http"].text.startswith("answers 400 to a create without a body, as it should, ")
    assert findings["websocket"].text.startswith("the upgrade works, compressed, ")
    assert findings["credential"].text == "the host takes the one in OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("ahead", "state", "text"),
    [
        (timedelta(seconds=60), "ok", "60 s apart"),
        (timedelta(minutes=-10), "failed", "10 min ahead of the upstream's"),
        (timedelta(minutes=10), "failed", "10 min behind the upstream's"),
        (timedelta(hours=5), "failed", "5 h behind"),
        (timedelta(days=400), "failed", "400 days behind"),
    ],
)
async def test_the_clock(ahead: timedelta, state: str, text: str) -> None:
    """Compared with the answer's Date: a minute is nothing, ten are a failure that says how far, and which way."""
    date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
    async with answering(Date=date) as host:
        clock = (await found(host.url))["clock"]
    assert clock.state == state
    near = text.replace("60 s", "59 s")  # a second may have passed
    assert text in clock.text or near in clock.text
    assert (clock.advice != "") == (state == "failed")


@pytest.mark.parametrize("date", ["soon", "Mon, 01 Jan 99999 00:00:00 GMT", f"Mon, {10**20} Jan 2024 00:00:00 GMT"])
async def test_a_time_that_cannot_be_read(date: str) -> None:
    """It is noted that nothing was compared."""
    async with answering(Date=date) as host:
        assert (await found(host.url))["clock"].state == "note"


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (400, "ok", "as it should"),
        (415, "ok", "as it should"),
        (422, "ok", "as it should"),
        (429, "note", "takes no more for now"),
        (404, "failed", "end in /v1"),
        (405, "failed", "end in /v1"),
        (501, "failed", "end in /v1"),
        (500, "failed", "in trouble"),
        (503, "failed", "in trouble"),
        (200, "failed", "a sign-in page"),
        (302, "failed", "a sign-in page"),
    ],
)
async def test_what_plain_http_answers(status: int, state: str, words: str) -> None:
    """A create that cannot be meant has to be refused, as a Responses API does; the line has the status."""
    async with answering(status) as host:
        http = (await found(host.url))["http"]
    assert http.state == state
    assert f"answers {status}" in http.text
    assert words in f"{http.text}; {http.advice}"


async def test_an_openline_for_an_upstream() -> None:
    """A slip in upstream.url that works, and gains nothing: noted."""
    async with answering(502, 426, **{"x-openline-route": "http"}) as host:
        findings = await found(host.url)
    assert states(findings) == ["note", "failed", "skipped"]
    assert "an Openline answers there" in findings["http"].text


@pytest.mark.parametrize("status", [401, 403])
async def test_a_credential_is_wanted(status: int) -> None:
    """Without one that is as it should be: the upgrade could not be told, and the line says what is missing."""
    async with answering(status, status) as host:
        findings = await found(host.url, NO_KEY)
        assert "authorization" not in host.asked[0].headers
    assert states(findings) == ["ok", "note", "skipped"]
    assert "as it wants a credential" in findings["http"].text
    assert "wants a credential to tell" in findings["websocket"].text
    assert "OPENAI_API_KEY" in findings["websocket"].advice


@pytest.mark.parametrize("status", [401, 403])
async def test_a_credential_is_refused(status: int) -> None:
    """By both transports: one failure, at the credential, with the variable's name and never its value."""
    async with answering(status, status) as host:
        findings = await found(host.url)
    assert states(findings) == ["ok", "skipped", "failed"]
    assert findings["credential"].text == f"the host refuses the one in OPENAI_API_KEY: it answers {status}"


async def test_an_upgrade_that_is_forbidden() -> None:
    """With a credential that plain HTTP takes, it is the upgrade that somebody minds."""
    async with answering(400, 403) as host:
        findings = await found(host.url)
    assert states(findings) == ["ok", "failed", "ok"]
    assert "though not plain HTTP" in findings["websocket"].text


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (404, "failed", "no WebSocket mode"),
        (405, "failed", "no WebSocket mode"),
        (426, "failed", "no WebSocket mode"),
        (429, "note", "takes no more for now"),
        (500, "failed", "let WebSockets through"),
        (200, "failed", "let WebSockets through"),
    ],
)
async def test_what_the_upgrade_is_answered_with(status: int, state: str, words: str) -> None:
    """No WebSocket mode, or one that something keeps Openline from, is a failure: nothing is gained there."""
    async with answering(400, status) as host:
        websocket = (await found(host.url))["websocket"]
    assert (websocket.state, f"with {status}" in websocket.text) == (state, True)
    assert words in f"{websocket.text}; {websocket.advice}"
    assert ("nothing is gained" in websocket.text) == (state == "failed")


async def test_a_credential_that_nobody_looked_at() -> None:
    """A host that answers neither transport rightly says nothing of the key."""
    async with answering(404, 404) as host:
        findings = await found(host.url)
    assert states(findings) == ["failed", "failed", "skipped"]


async def test_what_the_credential_check_says_by_itself() -> None:
    """A named variable that is not set fails whatever the host says."""
    async with answering() as host:
        findings = await found(host.url, NO_KEY, named="MY_KEY")
    assert states(findings) == ["ok", "ok", "failed"]


@asynccontextmanager
async def dumb(*, hang_up: bool) -> AsyncIterator[str]:
    """A host that takes a request and hangs up, or says nothing."""
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.read(1)
        if hang_up:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        for writer in held:
            writer.transport.abort()


async def test_a_host_that_says_nothing() -> None:
    """It is waited for as long as for a first event; what hangs on its answer is skipped."""
    async with dumb(hang_up=False) as url:
        findings = await found(url, seconds=0.1)
    assert [one.state for one in findings.values()] == ["skipped", "failed", "failed", "skipped"]
    assert findings["http"].text == "no answer within 0.1 s"
    assert findings["websocket"].text.startswith("no answer to the upgrade within 0.1 s: ")


async def test_a_host_that_hangs_up() -> None:
    """The reason, and what to look at."""
    async with dumb(hang_up=True) as url:
        findings = await found(url)
    assert [one.state for one in findings.values()] == ["skipped", "failed", "failed", "skipped"]
    assert findings["http"].text.startswith("no answer that can be read (")
    assert findings["websocket"].text.startswith("no answer to the upgrade that can be read: ")
    assert "https:// or http://?" in findings["http"].advice


async def test_the_simulator_without_websockets() -> None:
    """As `openline simulate --no-websocket` answers."""
    async with Simulator(Behaviour(websocket=False)) as simulator:
        assert states(await found(await simulator.start())) == ["ok", "failed", "ok"]


async def test_the_simulator_with_keys() -> None:
    """As `openline simulate --api-keys` answers: the right key, a wrong one, none."""
    async with Simulator(Behaviour(api_keys=frozenset({"sk-1"}))) as simulator:
        url = await simulator.start()
        assert states(await found(url)) == ["ok", "ok", "ok"]
        assert states(await found(url, {"OPENAI_API_KEY": "sk-2"})) == ["ok", "skipped", "failed"]
        assert states(await found(url, NO_KEY)) == ["ok", "note", "skipped"]
