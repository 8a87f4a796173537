"""`openline doctor` in a process of its own: as a user runs it, with nothing private in what it prints."""

import asyncio
import json
import os
import pty
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from proxy.doctor.checks import NAMES
from tests.cli.process import ROOT, ran, started
from tests.cli.test_demo import read_all
from tests.fuzz.upstream import Cut, Upstream
from tests.trust.markers import HEADERS, MARKERS, found
from tests.trust.session import ALL, Quoting, reply

KEY = {"OPENAI_API_KEY": "sk-1"}
NOWHERE = ("--port", "0", "--upstream", "http://127.0.0.1:9/v1")
NO_PROXIES = {name: "" for one in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for name in (one, one.upper())}


async def doctor(*arguments: str, environ: dict[str, str] | None = None) -> tuple[int, list[str]]:
    """Exit status and lines; nothing is on stderr."""
    status, out, err = await ran("doctor", *arguments, environ={**NO_PROXIES, "OPENAI_API_KEY": "", **(environ or {})})
    assert err == ""
    return status, out.splitlines()


def split(lines: list[str]) -> dict[str, tuple[str, str]]:
    """State and text of each line by name; the last line is none of them."""
    return {name: (state, text) for state, name, text in (line.split(maxsplit=2) for line in lines[:-1])}


def masked(line: str) -> str:
    """Without what is another machine's, or another run's."""
    line = re.sub(r"/\S*/openline will be made", "PLACE will be made", line)
    line = re.sub(r"in /.*/proxy$", "in PLACE", line).replace("log_format, ", "")  # the tests' own
    return re.sub(r"\d+", "N", line).replace("N min", "N s")


async def test_the_run_of_the_page() -> None:
    """docs/doctor.md quotes what is printed behind the simulator, but for numbers and places; exit status 0."""
    (quoted,) = re.findall(r"```\n(ok .*?)```", (ROOT / "docs" / "doctor.md").read_text("utf-8"), re.DOTALL)
    async with started("simulate", "--port", "0", "--lanes") as simulator:
        api = (await simulator.line()).removeprefix("export OPENAI_BASE_URL=")
        status, lines = await doctor("--port", "0", "--upstream", api, environ=KEY)
    assert status == 0
    assert [masked(line) for line in lines] == [masked(line) for line in quoted.splitlines()]


async def test_nobody_there() -> None:
    """Exit status 1; the line says what to do, and what lies behind is skipped."""
    status, lines = await doctor(*NOWHERE)
    assert status == 1
    assert tuple(split(lines)) == NAMES
    assert split(lines)["tls"][0] == "failed"
    assert "check upstream.url" in split(lines)["tls"][1]
    assert lines[-1].startswith("openline: 1 failed: tls; 6 not looked at")


async def test_json() -> None:
    """`--json` prints the same findings as one list, with the same exit status."""
    (status, lines), (of_lines, plain) = await doctor(*NOWHERE, "--json"), await doctor(*NOWHERE)
    findings = json.loads("\n".join(lines))
    assert (status, of_lines) == (1, 1)
    assert [(one["name"], one["state"]) for one in findings] == [(n, s) for n, (s, _) in split(plain).items()]
    assert [set(one) for one in findings] == [{"name", "state", "text", "advice"}] * len(NAMES)


async def test_bad_settings(tmp_path: Path) -> None:
    """The loader's own line, as a finding."""
    file = tmp_path / "config.toml"
    file.write_text("mode = 1\nmood = 2\n")
    status, lines = await doctor("--config", str(file))
    assert status == 1
    assert split(lines)["config"][0] == "failed"
    assert f"(file {file})" in split(lines)["config"][1]
    assert "; mood: there is no such setting" in split(lines)["config"][1]
    assert split(lines)["port"][0] == "skipped"
    assert re.fullmatch(r"openline: 1 failed: config; \d+ not looked at", lines[-1])


async def test_a_port_that_is_taken() -> None:
    """By another program: a failure."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        status, lines = await doctor("--port", str(number), "--upstream", "http://127.0.0.1:9/v1")
    assert status == 1
    assert split(lines)["port"][0] == "failed"
    assert split(lines)["port"][1].startswith(f"127.0.0.1:{number} is taken: another program is listening there")


async def test_an_openline_that_runs_already(tmp_path: Path) -> None:
    """Its port, and the admin port that `auto` found beside it, are as they should be, with its pid."""
    state = {"XDG_STATE_HOME": str(tmp_path)}
    for _ in range(5):  # another test may have taken one of the two ports meanwhile
        with socket.create_server(("127.0.0.1", 0)) as free:
            number = free.getsockname()[1]
        async with started("run", "--port", str(number), *NOWHERE[2:], environ=state) as running:
            greeting = [await running.line() for _ in range(3)]
            if f"127.0.0.1:{number - 1} " not in greeting[2]:
                continue
            _, lines = await doctor("--port", str(number), *NOWHERE[2:])
            for name, at in (("port", number), ("admin", number - 1)):
                state_of, text = split(lines)[name]
                assert (state_of, text.split(": ")[0]) == ("ok", f"127.0.0.1:{at}")
                assert f"openline is already running (pid {running.pid}, " in text
            return
    pytest.fail("no two free ports beside each other were found")


async def test_another_package_of_its_name(tmp_path: Path) -> None:
    """A `proxy` that PYTHONPATH puts ahead of Openline's, for whoever starts it from another folder."""
    (tmp_path / "proxy.py").write_text("")
    _, lines = await doctor(*NOWHERE, environ={"PYTHONPATH": str(tmp_path)})
    assert split(lines)["package"][0] == "failed"
    assert str(tmp_path / "proxy.py") in split(lines)["package"][1]


async def test_a_host_without_websockets() -> None:
    """`--no-websocket`: nothing would be gained, which is a failure."""
    async with started("simulate", "--port", "0", "--no-websocket") as simulator:
        api = (await simulator.line()).removeprefix("export OPENAI_BASE_URL=")
        status, lines = await doctor("--port", "0", "--upstream", api, environ=KEY)
    assert (status, split(lines)["websocket"][0]) == (1, "failed")


async def test_a_key_of_another_name() -> None:
    """`--api-key-env` names the variable; without any key the rest is skipped, and that fails nothing."""
    async with started("simulate", "--port", "0", "--api-keys", "sk-2") as simulator:
        api = (await simulator.line()).removeprefix("export OPENAI_BASE_URL=")
        where = ("--port", "0", "--upstream", api)
        right = await doctor(*where, "--api-key-env", "MY_KEY", environ={**KEY, "MY_KEY": "sk-2"})
        wrong = await doctor(*where, environ=KEY)
        none = await doctor(*where)
    assert (right[0], split(right[1])["credential"]) == (0, ("ok", "the host takes the one in MY_KEY"))
    assert (wrong[0], split(wrong[1])["credential"][0]) == (1, "failed")
    assert (none[0], split(none[1])["credential"][0], split(none[1])["websocket"][0]) == (0, "skipped", "note")


async def test_a_terminal_gets_lines_that_fit() -> None:
    """What is too long goes on under the text."""
    ours, theirs = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "doctor", *NOWHERE),
        env={**inherited, **NO_PROXIES, "XDG_CONFIG_HOME": str(ROOT / "tests" / "no-such-folder"), "COLUMNS": "70"},
        cwd=ROOT,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        async with asyncio.timeout(20):
            written = await asyncio.to_thread(read_all, ours)
            assert await process.wait() == 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = written.decode().split("\r\n")
    assert any(line.startswith(" " * 20) for line in lines)
    assert max(map(len, lines[:-2])) <= 70


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_nothing_private_is_printed(form: tuple[str, ...]) -> None:
    """An upstream that quotes everything in every answer, at a secret path: no marker comes out, in any form."""
    quoting = Quoting()
    environ = {
        **NO_PROXIES,
        "OPENAI_API_KEY": HEADERS["key"],
        "PYTHONASYNCIODEBUG": "1",
        "OPENLINE_TOKEN": HEADERS["own token"],
    }
    for refusal in (None, 302, 401, 404, 429, 500):
        if refusal:
            quoting.refusals.append(reply(refusal, ALL.encode()))
        upstream = Upstream(quoting.answer, quoting.plain, quoting.upgrade)
        async with upstream.serving() as url:
            secret = f"{url}/{HEADERS['query']}"
            _, out, err = await ran("doctor", "--port", "0", "--upstream", secret, *form, environ=environ)
        assert found(f"{out}{err}".encode()) == []
        assert "Traceback" not in err
        assert upstream.creates
    assert quoting.refusals == []


async def test_a_password_of_a_forward_proxy_is_not_printed() -> None:
    """Not where it refuses, nor where it cannot be reached, nor where the variable cannot be read."""
    refusing = Upstream(lambda _create: [], lambda _create: [reply(407, ALL.encode()), Cut("close")])
    password = HEADERS["password"]
    async with refusing.serving() as there:
        port = there.removesuffix("/v1").rpartition(":")[2]
        for where in (f"127.0.0.1:{port}", "127.0.0.1:9", "127.0.0.1:x", f"127.0.0.1:9/{password}"):
            environ = {**NO_PROXIES, "OPENAI_API_KEY": HEADERS["key"]}
            for name in ("HTTP_PROXY", "http_proxy"):
                environ[name] = f"http://{password}:{password}@{where}"
            status, out, err = await ran(
                "doctor", "--port", "0", "--upstream", "http://nowhere.invalid/v1", environ=environ
            )
            assert found(f"{out}{err}".encode()) == []
            assert (status, "failed  forward" in out) == (1, True)


async def test_a_key_in_the_wrong_place_is_not_printed() -> None:
    """Who gives the key itself to `--api-key-env` is told so, and not quoted."""
    status, lines = await doctor(*NOWHERE, "--api-key-env", HEADERS["key"])
    assert status == 1
    assert split(lines)["credential"][0] == "failed"
    assert found("\n".join(lines).encode(), MARKERS) == []


async def test_it_ends_on_ctrl_c() -> None:
    """In the middle of a check: status 130, no traceback."""
    accepted = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        accepted.set()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as silent:
        url = f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}/v1"
        async with started("doctor", "--port", "0", "--upstream", url, environ=NO_PROXIES) as command:
            await asyncio.wait_for(accepted.wait(), 20)
            command.send(signal.SIGINT)
            status, _, err = await command.end()
        for writer in writers:
            writer.transport.abort()
    assert (status, err.strip()) == (130, "")
