"""The token and the admin listener with a real `openline run`: refusals in one line, and a session without a trace."""

import json
import os
import signal
import stat
from pathlib import Path

import aiohttp
import pytest

from proxy import __version__
from tests.cli.process import Command, ran, started

SECRET = "marker-0123456789abcdef"
NOWHERE = "http://127.0.0.1:9/v1"
RUN = ("run", "--port", "0", "--upstream", NOWHERE)


async def ask(url: str, headers: dict[str, str] | None = None, *, over: Path | None = None) -> tuple[int, str]:
    """One GET, over a socket file if need be: status and text."""
    connector = aiohttp.UnixConnector(str(over)) if over else None
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        session.get(url, headers=headers) as response,
    ):
        return response.status, await response.text()


async def ended(command: Command) -> tuple[int, str, str]:
    """Stop it: status, what it printed since, what it complained of."""
    command.send(signal.SIGTERM)
    return await command.end()


@pytest.mark.parametrize(
    ("mode", "content", "line"),
    [
        (0o644, SECRET, "token_file: others can read or change FILE (mode 0644): chmod 600 FILE (flag --token-file)"),
        (0o600, "short", "token_file: a token has from 16 to 1,024 characters, not 5; make one with: openssl rand"),
        (0o600, f"{SECRET} x", "token_file: a token holds visible ASCII characters only, no white space; make one"),
    ],
)
async def test_a_bad_token_file_stops_the_start(tmp_path: Path, mode: int, content: str, line: str) -> None:
    """One line that says what to do, exit status 2, and nothing of what is in the file."""
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    status, out, err = await ran(*RUN, "--token-file", str(file))
    assert (status, out) == (2, "")
    assert err.startswith("openline: " + line.replace("FILE", str(file)))
    assert err.count("\n") == 1
    assert SECRET not in err


async def test_two_tokens_stop_the_start(tmp_path: Path) -> None:
    """File and variable together are a mistake: the line names both."""
    status, out, err = await ran(*RUN, "--token-file", str(tmp_path / "any"), environ={"OPENLINE_TOKEN": SECRET})
    assert (status, out) == (2, "")
    assert err == "openline: token_file (flag --token-file) and OPENLINE_TOKEN both give a token: keep one of them\n"


@pytest.mark.parametrize("by_file", [True, False])
async def test_a_session_leaves_no_trace_of_the_token(tmp_path: Path, *, by_file: bool) -> None:
    """Served, refused and faulty requests, all there is to print: the token is in nothing that the process says."""
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(0o600)
    arguments = ("--token-file", str(file)) if by_file else ()
    environ = {"PYTHONASYNCIODEBUG": "1", "XDG_STATE_HOME": str(tmp_path / "state")}
    environ |= {} if by_file else {"OPENLINE_TOKEN": SECRET}
    async with started(
        "run", "--listen", "0.0.0.0:0", "--upstream", NOWHERE, "-v", *arguments, environ=environ
    ) as command:
        base = (await command.base()).removesuffix("/v1")
        answers = [
            await ask(f"{base}/v1/models", {"x-openline-token": SECRET}),
            await ask(f"{base}/t/{SECRET}/v1/models"),
            await ask(f"{base}/v1/models"),
            await ask(f"{base}/t/{SECRET[:-1]}/v1/models"),
            await ask(f"{base}//t/{SECRET}/v1/models"),
            await ask(f"{base}/t/{SECRET}/healthz"),
        ]
        admin = json.loads(answers[-1][1])["admin"]
        answers += [await ask(f"{admin}{page}") for page in ("/status", "/readyz", f"/t/{SECRET}/status")]
        status, out, err = await ended(command)
    assert [status for status, _ in answers] == [502, 502, 401, 401, 401, 200, 200, 200, 404]
    assert status == 0
    assert out.count("\npass ") + out.startswith("pass ") >= 5
    written = [path.read_text("latin-1") for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert SECRET[:-1] not in out + err + repr(answers) + "".join(written)


async def test_a_taken_port_with_a_token_is_said() -> None:
    """An Openline that wants a token is still known as one, and says no more of itself."""
    async with started(*RUN, environ={"OPENLINE_TOKEN": SECRET}) as first:
        port = (await first.base()).removesuffix("/v1").rpartition(":")[2]
        status, _, err = await ran("run", "--port", port, "--upstream", NOWHERE)
    assert status == 1
    assert err == (
        f"openline: port {port} on 127.0.0.1 is taken: openline is already running there;"
        " choose another port with --port (0: any free one)\n"
    )


async def test_a_taken_admin_port_is_said() -> None:
    """An explicit admin address that is taken stops the start, and says by whom."""
    async with started(*RUN) as first:
        base = await first.base()
        place = json.loads((await ask(f"{base.removesuffix('/v1')}/healthz"))[1])["admin"].removeprefix("http://")
        status, out, err = await ran(*RUN, environ={"OPENLINE_ADMIN_LISTEN": place})
    assert (status, out) == (1, "")
    assert err == (
        f"openline: admin_listen: port {place.rpartition(':')[2]} on 127.0.0.1 is taken: openline is already running"
        f' (pid {first.pid}, version {__version__}) at {base}; choose another, or "auto"\n'
    )


async def test_a_socket_file_outlives_no_crash(tmp_path: Path) -> None:
    """0600 whatever the umask; a second start is told of the first; after kill -9 the next start takes its place."""
    path = tmp_path / "s"
    environ = {"OPENLINE_ADMIN_LISTEN": f"unix:{path}"}
    async with started(*RUN, environ=environ) as first:
        await first.base()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (await ask("http://localhost/readyz", over=path))[0] == 200
        status, out, err = await ran(*RUN, environ=environ)
        assert (status, out) == (1, "")
        assert err.startswith(f"openline: admin_listen: the socket {path} is taken: openline is already running (pid ")
        first.send(signal.SIGKILL)
        await first.end()
    assert path.is_socket()
    async with started(*RUN, environ=environ) as second:
        await second.base()
        assert json.loads((await ask("http://localhost/healthz", over=path))[1])["pid"] == second.pid
        assert (await ended(second))[0] == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("unix:FOLDER/none/s", "the socket FOLDER/none/s cannot be listened on: No such file or directory"),
        ("unix:FOLDER/file", "the socket FOLDER/file cannot be listened on: a file that is no socket is there"),
        ("192.0.2.1:0", "port 0 on 192.0.2.1 cannot be listened on: "),
    ],
)
async def test_an_admin_address_that_cannot_be_had_is_said(tmp_path: Path, place: str, line: str) -> None:
    """One line with the reason and what to choose; exit status 1."""
    (tmp_path / "file").write_text("precious")
    environ = {"OPENLINE_ADMIN_LISTEN": place.replace("FOLDER", str(tmp_path)), "OPENLINE_ADMIN_SCOPE": "probes"}
    status, out, err = await ran(*RUN, environ=environ)
    assert (status, out) == (1, "")
    assert err.startswith(f"openline: admin_listen: {line.replace('FOLDER', str(tmp_path))}")
    assert err.endswith('; choose another, or "auto"\n')
    assert (tmp_path / "file").read_text() == "precious"


async def test_certificates_that_are_none_stop_the_start(tmp_path: Path) -> None:
    """A slip in upstream.ca_file is told at the start, with exit status 2."""
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    environ = {"OPENLINE_UPSTREAM__CA_FILE": str(file)}
    status, out, err = await ran("run", "--port", "0", "--upstream", "https://127.0.0.1:9/v1", environ=environ)
    assert (status, out) == (2, "")
    assert err.startswith(f"openline: upstream.ca_file: {file} ")
    assert err.count("\n") == 1
    assert os.fspath(file) in err
