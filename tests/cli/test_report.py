"""`openline report`: what an engineer needs, and nothing that is private."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec

from proxy.cli.client import Client
from proxy.instance import instances
from tests.cli.process import ran
from tests.cli.stage import said, stage
from tests.fuzz.upstream import Upstream
from tests.trust.markers import HEADERS, MARKERS, found
from tests.trust.session import Caller, Quoting, everything, free_port, furnished, run

SECTIONS = ["made_at", "versions", "variables", "settings", "status", "summary", "turns"]
HELLO = {"role": "user", "content": "hello"}
# What is private beside what callers say: of the settings, of the environment, of where things are.
OWN = {
    "url path": "Pw2qPATHr7sK",
    "host": "qw3hostr8tl",
    "header name": "x-we4hdrt9ym",
    "header value": "Rt5vHVALy1uN",
    "folder": "Ty6fFOLu2iO",
    "resource": "Ui8rRESo4pA",
    "proxy": "Io9pPXYp5aS",
    "run": "Op1rRUNa6sD",
}


async def test_what_is_in_it(tmp_path: Path) -> None:
    """Versions, settings that are not defaults, status, counts and turns, as JSON; stderr says so."""
    async with stage(tmp_path, "--match", "strict") as on:
        first = await on.create([HELLO])
        await on.create([HELLO, *said(first), HELLO])
        status, out, err = await on.openline("report", HTTPS_PROXY="http://x", NO_PROXY="")
        assert status == 0
        assert "read it before you send it" in err
        assert all(line.startswith("openline: ") for line in err.splitlines())
        told = msgspec.json.decode(out, type=dict[str, object])
        assert list(told) == SECTIONS
        settings = msgspec.convert(told["settings"], dict[str, object])
        assert settings["match"] == {"value": "strict", "from": "flag"}
        assert settings["upstream.verifies_ids"] == {"value": "yes", "from": "environment"}
        assert "replay" not in settings
        moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        assert re.fullmatch(moment, str(told["made_at"]))
        versions = msgspec.convert(told["versions"], dict[str, str | None])
        assert all(versions[name] for name in ("openline, running", "python", "system", "aiohttp", "websockets"))
        variables = msgspec.convert(told["variables"], list[str])
        assert "HTTPS_PROXY" in variables
        assert "NO_PROXY" not in variables
        turns = msgspec.convert(told["turns"], list[dict[str, object]])
        assert [(turn["route"], turn["request"]) for turn in turns] == [
            ("full", "POST /v1/responses"),
            ("delta", "POST /v1/responses"),
        ]
        assert all(re.fullmatch(moment, str(turn["ended_at"])) for turn in turns)
        assert turns[0]["id"] == first.header("x-request-id")
        status_ = msgspec.convert(told["status"], dict[str, object])
        assert (status_["mode"], status_["api"]) == ("on", on.base)
        assert sum(line.startswith('    {"id":') for line in out.splitlines()) == 2


async def test_it_goes_to_a_file(tmp_path: Path) -> None:
    """With `-o` nothing is on stdout; a file that cannot be written is one line."""
    file = tmp_path / "report.json"
    async with stage(tmp_path) as on:
        status, out, err = await on.openline("report", "-o", str(file))
        assert (status, out) == (0, "")
        assert err.endswith(f"openline: it is in {file}\n")
        status, out, err = await on.openline("report", "-o", str(tmp_path / "none" / "file"))
        assert (status, out) == (1, "")
        assert err == f"openline: {tmp_path}/none/file cannot be written: No such file or directory\n"
    assert list(msgspec.json.decode(file.read_bytes())) == SECTIONS
    assert (await ran("report", environ={"XDG_STATE_HOME": str(tmp_path)}))[0] == 3


def private(folder: Path, upstream: str) -> dict[str, str]:
    """An environment in which all that can be private is."""
    authority = folder / OWN["folder"]
    authority.mkdir()
    token = authority / "token"
    token.write_text(HEADERS["own token"])
    token.chmod(0o600)
    return {
        "OPENLINE_TOKEN_FILE": str(token),
        "OPENLINE_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "OPENLINE_UPSTREAM__URL": upstream,
        "OPENLINE_UPSTREAM__BETA_HEADER": OWN["header value"],
        "OPENLINE_UPSTREAM__SEMANTIC_HEADERS": OWN["header name"],
        "OPENLINE_UPSTREAM__IDENTITY_HEADERS": f"{OWN['header name']}-id",
        "OPENLINE_ALLOWED_HOSTS": f"{OWN['host']}.example",
        "OPENLINE_ALLOWED_ORIGINS": f"http://{OWN['host']}.example",
        "HTTP_PROXY": f"http://me:{OWN['proxy']}@127.0.0.1:9",
    }


async def strange(caller: Caller) -> None:
    """Requests that are private where others are not: in the path, the base URL, the headers' names."""
    key = {"Authorization": f"Bearer {HEADERS['key']}", "x-openline-token": HEADERS["own token"]}
    for method, target in (
        ("GET", f"/v1/files/{OWN['resource']}"),
        ("POST", f"/openline-run/{OWN['run']}/v1/responses"),
    ):
        async with caller.session.request(
            method, f"{caller.root}{target}", headers={**key, OWN["header name"]: OWN["header value"]}, data=b"{}"
        ) as response:
            await response.read()


async def test_nothing_private_is_in_it(tmp_path: Path) -> None:
    """After a session of successes and failures with marked texts everywhere, no marker is in it, in any form."""
    folder = furnished(tmp_path / "kept")
    quoting = Quoting()
    upstream = Upstream(quoting.answer, quoting.plain, quoting.upgrade)
    state = {"XDG_STATE_HOME": str(folder / "xdg_state_home")}
    async with upstream.serving() as base, aiohttp.ClientSession() as session:
        url = f"http://{urlsplit(base).netloc}/{OWN['url path']}/v1"
        environ = private(tmp_path, url)
        async with run(folder, url, environ=environ) as running:
            caller = Caller(session, running.base, f"http://{environ['OPENLINE_ADMIN_LISTEN']}")
            await everything(caller, quoting)
            await strange(caller)
            status, out, err = await ran("report", environ={**environ, **state})
            _, explained, _ = await ran("explain", "-n", "500", environ=state)
            _, shown, _ = await ran("config", "show", "--running", "--json", environ=state)
            (instance,) = instances(folder / "xdg_state_home" / "openline" / "running")
            known = Client(instance).text("/turns?count=50") + Client(instance).text("/settings")
            await running.end()
    assert status == 0
    # The search would find what is there: the pages that the report is made from tell their owner more.
    assert set(found(known.encode(), OWN)) >= {"header name", "header value", "folder", "resource", "run"}
    assert found(f"{out}{err}".encode(), {**MARKERS, **OWN}) == []
    assert found(explained.encode(), {**MARKERS, **OWN}) == []
    assert found(shown.encode(), {**MARKERS, "url path": OWN["url path"]}) == []
    told = msgspec.json.decode(out, type=dict[str, object])
    assert len(msgspec.convert(told["turns"], list[object])) == 50
    assert {"token", "upstream.url"} <= set(msgspec.convert(told["settings"], dict[str, object]))
