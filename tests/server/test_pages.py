"""The admin listener's pages: what each tells and does, and to whom."""

import msgspec
import pytest

from proxy.core.reasons import Route
from proxy.errors import StartFault
from proxy.server.reload import Reload
from proxy.settings_sources import ConfigError, Origin, leaves
from proxy.token import Token
from proxy.turns.outcome import Outcome
from tests.server.wire import Response, Rig, ask, request, rigged
from tests.server.wire import connected as line_to

CREATE: dict[str, object] = {"model": "gpt-5.4", "input": "marker-prompt", "store": False}
OWNERS = (("GET", "/turns"), ("GET", "/summary"), ("GET", "/settings"), ("POST", "/mode"), ("POST", "/reload"))


async def admin(rig: Rig, method: str, page: str, body: bytes | None = None, *, secret: str | None = None) -> Response:
    """One request to the admin listener, by the owner unless another secret is given."""
    assert rig.app.admin
    shown = rig.app.control if secret is None else secret
    return await ask(rig.app.admin, method, page, [("x-openline-control", shown)] if shown else (), body)


@pytest.mark.parametrize(("method", "page"), OWNERS)
@pytest.mark.parametrize("secret", ["", "wrong", "é"])
async def test_some_pages_are_for_the_owner(method: str, page: str, secret: str) -> None:
    """Without the instance's secret, or with another, nothing is told and nothing done."""
    async with rigged(mode="on") as rig:
        answer = await admin(rig, method, page, b'{"mode":"off"}' if method == "POST" else None, secret=secret)
        assert (answer.status, answer.error()["code"]) == (403, "openline_control")
        assert rig.app.mode == "on"


async def test_a_page_has_its_method() -> None:
    """Another one is refused, and the answer says which would do."""
    async with rigged() as rig:
        for method, page, allowed in (("POST", "/status", "GET, HEAD"), ("GET", "/mode", "POST")):
            answer = await admin(rig, method, page, b"{}" if method == "POST" else None)
            assert (answer.status, answer.header("allow")) == (405, allowed)


async def test_probes_and_metrics_are_for_pods() -> None:
    """In the scope `probes` there are health, readiness and metrics; nothing else, whoever asks."""
    async with rigged(admin_scope="probes") as rig:
        for page in ("/healthz", "/readyz", "/metrics"):
            assert (await admin(rig, "GET", page, secret="")).status == 200
        for method, page in (("GET", "/status"), *OWNERS):
            assert (await admin(rig, method, page, b"{}" if method == "POST" else None)).status == 404


async def test_metrics_are_those_of_the_turns() -> None:
    """A turn is there as soon as it has ended, in the form that Prometheus reads."""
    async with rigged() as rig:
        await rig.create(CREATE)
        answer = await admin(rig, "GET", "/metrics", secret="")
        assert (answer.header("content-type") or "").startswith("text/plain")
        line = f'openline_turns_total{{reason="first",route="full",upstream="{rig.app.status().upstream[7:]}"}} 1.0'
        assert line in answer.body.decode().splitlines()


async def test_the_latest_turns() -> None:
    """Oldest first, as many as are asked for, of one run where one is named; no word of what was said."""
    async with rigged() as rig:
        await rig.create(CREATE)
        await rig.ask("GET", "/openline-run/r1/v1/models")
        answer = await admin(rig, "GET", "/turns")
        turns = answer.json()["turns"]
        assert isinstance(turns, list)
        assert [(turn["route"], turn["path"]) for turn in turns] == [
            ("full", "/v1/responses"),
            ("passthrough", "/v1/models"),
        ]
        assert b"marker" not in answer.body
        for query, count in (("count=1", 1), ("run=r1", 1), ("run=r2", 0), ("count=0", 0)):
            assert len(msgspec.convert((await admin(rig, "GET", f"/turns?{query}")).json()["turns"], list)) == count
        for wrong in ("count=x", "count=-1", "count=9999"):
            assert (await admin(rig, "GET", f"/turns?{wrong}")).status == 400


async def test_what_the_turns_come_to() -> None:
    """The summary of all, and of one run."""
    async with rigged() as rig:
        await rig.create(CREATE)
        await rig.ask("GET", "/openline-run/r1/v1/models")
        everything, run = [(await admin(rig, "GET", f"/summary{query}")).json() for query in ("", "?run=r1")]
        assert (everything["turns"], everything["passed"]) == (1, {"/v1/models": 1})
        assert (run["turns"], run["passed"]) == (0, {"/v1/models": 1})
        assert (await admin(rig, "GET", "/summary?run=r2")).json()["calls"] == 0


async def test_a_run_that_may_be_forgotten_is_not_told_as_one_without_calls() -> None:
    """Once so many others came that some are not remembered, one that is not known is a 404."""
    async with rigged() as rig:
        for n in range(513):
            rig.app.tallies.add(Outcome("ol_1", Route.DELTA, run=f"r{n}"))
        answers = {name: await admin(rig, "GET", f"/summary?run={name}") for name in ("r0", "r1", "no-such")}
        assert {name: answer.status for name, answer in answers.items()} == {"r0": 404, "r1": 200, "no-such": 404}
        assert answers["r0"].error()["code"] == "openline_run"


async def test_the_settings_that_it_goes_by() -> None:
    """Every one, with its origin where that is known; the mode is the one that counts now. No token is told."""
    async with rigged(token=Token("marker-0123456789")) as rig:
        told = (await admin(rig, "GET", "/settings")).json()
        assert told["token"] == {"file": None, "plain_in_urls": True}
        shown = msgspec.convert(told["settings"], list[dict[str, object]])
        assert [each["key"] for each in shown] == [leaf.key for leaf in leaves()]
        assert shown[0] == {"key": "mode", "value": "on", "origin": None}
        rig.app.origins = {"mode": Origin("default"), "match": Origin("file", "/x")}
        rig.app.mode = "off"
        answer = await admin(rig, "GET", "/settings")
        assert b"marker" not in answer.body
        shown = msgspec.convert(answer.json()["settings"], list[dict[str, object]])
        assert shown[0] == {"key": "mode", "value": "off", "origin": {"kind": "command", "name": "openline mode"}}
        assert shown[1] == {"key": "match", "value": "faithful", "origin": {"kind": "file", "name": "/x"}}


async def test_the_mode_changes_at_once() -> None:
    """The next turn goes as it says; what is no mode is refused."""
    async with rigged() as rig:
        assert (await admin(rig, "POST", "/mode", b'{"mode":"off"}')).json() == {"mode": "off"}
        assert (await rig.create(CREATE)).header("x-openline-reason") == "mode_off"
        for wrong in (b'{"mode":"fast"}', b"{}", b"", b'{"mode":"on","x":1}', b"x" * 10_000):
            assert (await admin(rig, "POST", "/mode", wrong)).status == 400
        assert rig.app.mode == "off"


async def test_a_reload_says_what_changed_or_why_not() -> None:
    """What the sources of settings refuse is an answer; where nothing can be read anew, that is said."""
    async with rigged() as rig:
        assert (await admin(rig, "POST", "/reload")).status == 400
        rig.app.reloader = lambda: Reload(("mode",), ("listen",))
        assert (await admin(rig, "POST", "/reload")).json() == {"changed": ["mode"], "waiting": ["listen"]}
        for fault in (ConfigError("mode: no such thing"), StartFault("mode: no such thing")):

            def refuse(fault: Exception = fault) -> Reload:
                raise fault

            rig.app.reloader = refuse
            error = (await admin(rig, "POST", "/reload")).error()
            assert error["code"] == "openline_settings"
            assert "mode: no such thing" in str(error["message"])


async def test_no_token_opens_it() -> None:
    """The callers' token is not the owner's secret."""
    async with rigged(token=Token("0123456789abcdef")) as rig:
        assert rig.app.admin
        shown = [("x-openline-token", "0123456789abcdef")]
        async with line_to(rig.app.admin) as line:
            await line.send(request("GET", "/turns", shown))
            assert (await line.response()).status == 403


async def test_a_body_comes_in_pieces_or_not_at_all() -> None:
    """A body in two packets is one body; one that breaks off, or is no body, changes nothing."""
    async with rigged() as rig:
        assert rig.app.admin
        shown = ("x-openline-control", rig.app.control)
        whole = request("POST", "/mode", [shown], b'{"mode":"off"}')
        async with line_to(rig.app.admin) as line:
            await line.send(whole[:-5])
            await line.send(whole[-5:])
            assert (await line.response()).json() == {"mode": "off"}
        async with line_to(rig.app.admin) as line:
            await line.send(request("POST", "/mode", [shown, ("Transfer-Encoding", "chunked")], b"zz\r\n"))
            assert await line.at_end()
        assert rig.app.mode == "off"
