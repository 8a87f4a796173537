"""CORS: pages of allowed origins read every answer, and nothing changes for all other callers."""

import msgspec
import pytest

from proxy.config import Limits, Timeouts
from proxy.core.reasons import Plain
from proxy.simulator import Behaviour, Fault
from proxy.token import Token
from tests.server.wire import KEY, Line, Response, connected, request, request_head, rigged, scripted

PAGE = "http://localhost:3000"
FROM_PAGE = ("Origin", PAGE)
HELLO: dict[str, object] = {"model": "gpt-5.4", "input": [{"role": "user", "content": "hello"}], "store": False}
OURS = ["x-openline-route", "x-openline-reason", "x-request-id", "retry-after", "retry-after-ms", "x-should-retry"]
# What Chromium 156 sends with a page's fetch.
BROWSER = (
    ("Connection", "keep-alive"),
    ("sec-ch-ua-platform", '"Linux"'),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0"),
    ("sec-ch-ua", '"Chromium";v="156", "Not?A_Brand";v="24"'),
    ("Content-Type", "application/json"),
    ("sec-ch-ua-mobile", "?0"),
    ("Accept", "*/*"),
    ("Sec-Fetch-Site", "same-site"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Dest", "empty"),
    ("Referer", f"{PAGE}/"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-GB,en;q=0.9"),
    ("DNT", "1"),
    ("Sec-GPC", "1"),
    ("Priority", "u=1, i"),
)


def cors_of(response: Response) -> dict[str, str]:
    """The CORS headers of an answer. One that comes twice is one that a browser refuses."""
    found: dict[str, str] = {}
    for name, value in response.headers:
        if name.lower().startswith("access-control-"):
            word = name.lower().removeprefix("access-control-")
            assert word not in found
            found[word] = value
    return found


def exposed_to(response: Response, page: str = PAGE) -> list[str]:
    """The headers that a browser shows to this page. Fails where it does not show the answer, or shows cookies' too."""
    cors = cors_of(response)
    assert cors["allow-origin"] == page
    assert "allow-credentials" not in cors
    assert "origin" in [name.strip().lower() for name in (response.header("vary") or "").split(",")]
    return cors["expose-headers"].split(", ")


def said(response: Response, *, stream: bool) -> list[object]:
    """The output items of an answer."""
    data = response.body.rpartition(b"data: ")[2] if stream else response.body
    final = msgspec.json.decode(data, type=dict[str, object])
    whole = msgspec.convert(final["response"], dict[str, object]) if stream else final
    return msgspec.convert(whole["output"], list[object])


# ---- turns, and what passes through


@pytest.mark.parametrize("stream", [False, True])
async def test_a_page_reads_its_turns(stream: bool) -> None:  # noqa: FBT001 - a parameter
    """A page's turns go over the WebSocket, as deltas too, with all the headers that a browser adds."""
    async with rigged(allowed_origins=(PAGE,)) as rig:
        items: list[object] = [{"role": "user", "content": "hello"}]
        for route in ("full", "delta"):
            response = await rig.create({**HELLO, "input": items, "stream": stream}, [KEY, FROM_PAGE, *BROWSER])
            assert (response.status, response.header("x-openline-route")) == (200, route)
            assert exposed_to(response) == OURS
            items += [*said(response, stream=stream), {"role": "user", "content": "more"}]
        assert {entry.transport for entry in rig.sim.journal} == {"ws"}
        (handshake,) = rig.sim.handshakes
        assert not {"origin", "referer"} & {name.lower() for name, _ in handshake.headers}


async def test_a_pages_cookie_sends_its_turn_over_http() -> None:
    """Cookies may tell callers apart: no socket is shared. The page reads the answer all the same."""
    async with rigged(allowed_origins=(PAGE,)) as rig:
        response = await rig.create(HELLO, [KEY, FROM_PAGE, *BROWSER, ("Cookie", "user=alice")])
        assert response.header("x-openline-reason") == Plain.SEMANTIC_HEADER.value
        assert exposed_to(response) == OURS


@pytest.mark.parametrize("stream", [False, True])
async def test_a_page_reads_turns_over_plain_http(stream: bool) -> None:  # noqa: FBT001 - a parameter
    """Where the upstream has no WebSocket mode its own word about pages is replaced, and its list kept."""
    async with rigged(Behaviour(websocket=False, cors=True), allowed_origins=(PAGE,)) as rig:
        response = await rig.create({**HELLO, "stream": stream}, [KEY, FROM_PAGE])
        assert (response.status, response.header("x-openline-route")) == (200, "http")
        assert exposed_to(response) == ["X-Request-ID", *(name for name in OURS if name != "x-request-id")]


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("PUT", 404), ("DELETE", 204), ("OPTIONS", 200)])
async def test_a_page_reads_what_passes_through(method: str, status: int) -> None:
    """Any path, method and status: one origin is named, lists are merged, and no cookies are let in."""
    given = (
        "access-control-allow-origin: *",
        "Access-Control-Allow-Origin: https://elsewhere.example",
        "Access-Control-Allow-Credentials: true",
        "Access-Control-Expose-Headers: X-RateLimit-Limit",
        "access-control-expose-headers: CF-Ray ,, Retry-After",
        "Vary: Accept-Encoding",
        "vary: Accept",
    )
    headers = [KEY, FROM_PAGE, ("x-echo-status", str(status)), *(("x-echo-header", line) for line in given)]
    async with rigged(allowed_origins=(PAGE,)) as rig:
        response = await rig.ask(method, "/v1/_echo/x", headers)
        assert (response.status, response.header("x-openline-route")) == (status, "passthrough")
        listed = ["X-RateLimit-Limit", "CF-Ray", "Retry-After"]
        assert exposed_to(response) == [*listed, *(name for name in OURS if name != "retry-after")]
        assert response.header("vary") == "Accept-Encoding, Accept, origin"


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("Vary: *", "*"),
        ("Vary: Accept, ORIGIN", "Accept, ORIGIN"),
        ("Vary: ", "origin"),
        ("Access-Control-Expose-Headers: *", "*"),
    ],
)
async def test_lists_are_not_made_longer_than_needed(given: str, becomes: str) -> None:
    """Where the upstream's list says it already, or says everything, it stays."""
    async with rigged(allowed_origins=(PAGE,)) as rig:
        response = await rig.ask("GET", "/v1/_echo/x", [KEY, FROM_PAGE, ("x-echo-header", given)])
        assert response.header(given.partition(":")[0].lower()) == becomes


# ---- errors


async def test_a_page_reads_the_upstreams_errors() -> None:
    """An error frame's status and Retry-After reach the page, and so does an answer that breaks off."""
    limited = {"status": 429, "code": "rate_limit_exceeded", "headers": {"retry-after": "7"}}
    async with rigged(allowed_origins=(PAGE,)) as rig:
        rig.sim.faults.add(Fault("error", "start", **limited))  # type: ignore[arg-type] # its fields by name
        response = await rig.create(HELLO, [KEY, FROM_PAGE])
        assert (response.status, response.header("retry-after")) == (429, "7")
        assert "retry-after" in exposed_to(response)
        rig.sim.faults.add(Fault("abort", "events", after=4))
        async with connected(rig.url) as line:
            body = msgspec.json.encode({**HELLO, "stream": True})
            await line.send(request("POST", "/v1/responses", [KEY, FROM_PAGE], body))
            assert exposed_to(await line.head()) == OURS


@pytest.mark.parametrize(
    ("method", "target", "headers", "code"),
    [
        ("GET", "/v1/models", [("Host", "evil.example")], "openline_host"),
        ("GET", "/v1/models", [("x-openline-token", "wrong")], "openline_token"),
        ("GET", "/t/x/v1/models", [("x-openline-token", "")], "openline_token"),
        ("GET", "/v1/models", [("x-openline-mode", "ON")], "openline_bad_request"),
        ("GET", "/v1/responses", [("Upgrade", "websocket"), ("Connection", "Upgrade")], "openline_no_websocket"),
    ],
)
async def test_a_page_reads_why_it_is_refused(
    method: str, target: str, headers: list[tuple[str, str]], code: str
) -> None:
    """Openline's own errors say what to do: a page sees them, and not only that its fetch failed."""
    token = [("x-openline-token", "x" * 16)] if not any("token" in name for name, _ in headers) else []
    async with rigged(allowed_origins=(PAGE,), token=Token("x" * 16)) as rig:
        response = await rig.ask(method, target, [KEY, FROM_PAGE, *headers, *token])
        assert response.error()["code"] == code
        assert exposed_to(response) == OURS
        assert not rig.sim.requests


async def test_a_page_reads_that_there_is_no_upstream() -> None:
    """502 and 504 are readable."""

    async def hang(line: Line) -> None:
        await request_head(line)
        await line.reader.read()

    timeouts = Timeouts(silence_seconds=0.05)
    async with scripted(hang) as base, rigged(upstream=base, allowed_origins=(PAGE,), timeouts=timeouts) as rig:
        silent = await rig.ask("GET", "/v1/models", [KEY, FROM_PAGE])
    async with rigged(upstream="http://127.0.0.1:9/v1", allowed_origins=(PAGE,)) as rig:
        nobody = await rig.create(HELLO, [KEY, FROM_PAGE])
    assert [(response.status, exposed_to(response)) for response in (silent, nobody)] == [(504, OURS), (502, OURS)]


async def test_a_page_reads_that_openline_is_full_or_draining() -> None:
    """A 503 and its Retry-After are readable: a request too many, a connection too many, and while it shuts down."""
    for limits in (Limits(requests=1), Limits(connections=1)):
        async with rigged(allowed_origins=(PAGE,), limits=limits) as rig:
            rig.sim.faults.add(Fault("hang", "start"))
            async with connected(rig.url) as held:
                await held.send(request("POST", "/v1/responses", [KEY], msgspec.json.encode(HELLO)))
                await rig.sim.until(lambda: len(rig.sim.faults.struck) == 1)
                busy = await rig.ask("GET", "/v1/models", [KEY, FROM_PAGE])
            assert (busy.status, busy.error()["code"]) == (503, "openline_overloaded")
            assert "retry-after" in exposed_to(busy)
            await rig.app.drain(0)
            leaving = await rig.ask("GET", "/v1/models", [KEY, FROM_PAGE])
            assert (leaving.status, leaving.error()["code"]) == (503, "openline_draining")
            assert "retry-after" in exposed_to(leaving)


async def test_a_page_reads_a_fault_of_our_own() -> None:
    """What the HTTP library answers for us is readable too."""
    async with rigged(allowed_origins=(PAGE,)) as rig:
        assert rig.app._engine is not None
        await rig.app._engine.http.close()  # so that using it is a bug
        response = await rig.ask("GET", "/v1/models", [KEY, FROM_PAGE])
        assert response.error()["code"] == "openline_fault"
        assert exposed_to(response) == OURS


async def test_a_page_reads_who_is_here() -> None:
    """`/healthz` is readable for pages that look whether Openline is there."""
    async with rigged(allowed_origins=(PAGE,)) as rig:
        response = await rig.ask("GET", "/healthz", [FROM_PAGE])
        assert response.json()["name"] == "openline"
        assert exposed_to(response) == OURS


# ---- others


async def test_nothing_changes_without_an_origin() -> None:
    """An answer to any other caller has the upstream's own CORS headers, and Openline adds none."""
    given = [("access-control-allow-origin", "*"), ("Access-Control-Allow-Credentials", "true"), ("Vary", "Accept")]
    echo = [("x-echo-header", f"{name}: {value}") for name, value in given]
    async with rigged(Behaviour(cors=True), allowed_origins=(PAGE,)) as rig:
        response = await rig.ask("GET", "/v1/_echo/x", [KEY, *echo])
        about = [(name, value) for name, value in response.headers if name.lower().startswith(("access", "vary"))]
        assert about == given
        refused = await rig.ask("GET", "/v1/models", [("x-openline-mode", "ON")])
        for other in (await rig.create(HELLO), refused):
            assert (cors_of(other), other.header("vary")) == ({}, None)


@pytest.mark.parametrize(
    "origins",
    [
        ["null"],
        [""],
        ["http://localhost"],
        ["http://localhost:3001"],
        ["https://localhost:3000"],
        ["HTTP://localhost:3000"],
        ["http://LOCALHOST:3000"],
        ["http://localhost:3000/"],
        ["http://localhost:3000, http://localhost:3000"],
        ["http://127.0.0.1:3000"],
        ["http://sub.localhost:3000"],
        ["http://localhost:3000.evil.example"],
        [PAGE, "http://evil.example"],
        ["http://evil.example", PAGE],
    ],
)
async def test_other_pages_read_nothing(origins: list[str]) -> None:
    """An origin is the listed one letter for letter: any other's request goes nowhere, and it is shown nothing."""
    async with rigged(Behaviour(cors=True), allowed_origins=(PAGE,)) as rig:
        sent = [("Origin", origin) for origin in origins]
        asking = [*sent, ("Access-Control-Request-Method", "POST")]
        answers = [
            await rig.create(HELLO, [KEY, *sent]),
            await rig.ask("GET", "/healthz", sent),
            await rig.ask("OPTIONS", "/v1/responses", asking),
            await rig.ask("OPTIONS", "/healthz", asking),
        ]
        for response in answers:
            assert (response.status, response.error()["code"]) == (403, "openline_origin")
            assert (cors_of(response), response.header("vary")) == ({}, None)
        assert not rig.sim.requests
        assert not rig.sim.journal


async def test_each_listed_page_reads_as_itself() -> None:
    """The answer names the origin that asked; in settings its letters' case does not count, as browsers write small."""
    pages = ("https://Notes.example", "app://notes.example", "http://[::1]:8080")
    async with rigged(allowed_origins=pages) as rig:
        for page in ("https://notes.example", "app://notes.example", "http://[::1]:8080"):
            response = await rig.ask("GET", "/v1/models", [KEY, ("Origin", page)])
            assert exposed_to(response, page) == OURS
