"""`openline env`: a shell that evaluates its lines reaches the Openline that runs."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from proxy.cli.env import exemptions
from tests.cli.process import ran, started
from tests.cli.stage import stage
from tests.server.wire import ask

SECRET = "marker-0123456789abcdef"
BASE = "http://127.0.0.1:6736/v1"
NOWHERE = "http://127.0.0.1:9/v1"


async def shell(lines: str, **environ: str) -> str:
    """What a POSIX shell that evaluates the lines has in the variables."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'eval "$1"; printf "%s %s" "$OPENAI_BASE_URL" "$NO_PROXY"', "sh", lines),
        env={"PATH": "/usr/bin:/bin", **environ},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    return out.decode()


async def test_a_shell_reaches_it(tmp_path: Path) -> None:
    """The lines set the address, and keep calls to it from a forward proxy; the shell is told by $SHELL."""
    async with stage(tmp_path) as on:
        status, out, err = await on.openline("env", SHELL="/bin/bash", HTTP_PROXY="", HTTPS_PROXY="", ALL_PROXY="")
        assert (status, err) == (0, "")
        assert out == f'export OPENAI_BASE_URL={on.base}\n# to use this: eval "$(openline env)"\n'
        status, out, _ = await on.openline("env", SHELL="/bin/sh", http_proxy="http://x", NO_PROXY="a.b", no_proxy="")
        assert await shell(out) == f"{on.base} a.b,127.0.0.1"
        status, out, _ = await on.openline("env", SHELL="/usr/bin/fish", http_proxy="", https_proxy="", HTTP_PROXY="")
        assert out.startswith(f"set -gx OPENAI_BASE_URL {on.base}\n")
        status, out, _ = await on.openline("env", "--shell", "powershell")
        assert out.startswith(f"$env:OPENAI_BASE_URL = '{on.base}'\n")
        told = await on.json("env", "--shell", "json")
        assert (told["base_url"], told["token"]) == (on.base, None)
        environment = msgspec.convert(told["environment"], dict[str, str])
        assert environment["OPENAI_BASE_URL"] == on.base


async def test_the_hint_says_which_one_where_several_run(tmp_path: Path) -> None:
    """The command that is to be evaluated works as it stands."""
    async with stage(tmp_path) as one, stage(tmp_path) as other:
        for on in (one, other):
            port = on.base.removesuffix("/v1").rpartition(":")[2]
            status, out, _ = await on.openline("env", "--shell", "sh", "--port", port)
            assert status == 0
            assert out.endswith(f'# to use this: eval "$(openline env --port {port})"\n')
        assert (await one.openline("env"))[0] == 2


async def test_the_shell_puts_in_the_token_of_a_file(tmp_path: Path) -> None:
    """The line is that of the greeting: no token is in it, and the shell's address has it."""
    file = tmp_path / "it's my token"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    state = {"XDG_STATE_HOME": str(tmp_path)}
    arguments = ("run", "--port", "0", "--upstream", NOWHERE, "--token-file", str(file))
    async with started(*arguments, environ=state) as command:
        greeting = await command.line()
        status, out, err = await ran("env", "--shell", "sh", environ=state)
        assert (status, err) == (0, "")
        assert out.splitlines()[0] == greeting
        assert SECRET not in out
        base = (await shell(out)).split()[0]
        assert base.endswith(f"/t/{SECRET}/v1")
        assert (await ask(base, "GET", f"/t/{SECRET}/v1/models")).status == 502
        assert (await ask(base, "GET", "/v1/models")).status == 401
        told = msgspec.json.decode((await ran("env", "--shell", "json", environ=state))[1], type=dict[str, object])
        assert told["token"] == {"file": str(file)}


@pytest.mark.parametrize(
    ("token", "second"),
    [
        (SECRET, '# to use this: eval "$(openline env)"'),
        (f"{SECRET}/?#", "# its token: in the header x-openline-token, or percent-encoded, as in ROOT/t/TOKEN/v1"),
    ],
)
async def test_the_token_of_the_variable(tmp_path: Path, token: str, second: str) -> None:
    """It comes from the same variable; one that a URL would bend is in none, and that is said."""
    async with stage(tmp_path, environ={"OPENLINE_TOKEN": token}) as on:
        root = on.base.removesuffix("/v1")
        status, out, _ = await on.openline("env", "--shell", "sh", OPENLINE_TOKEN="", **NO_FORWARD)
        assert status == 0
        assert SECRET not in out
        assert out.splitlines()[1] == second.replace("ROOT", root)
        there = f"{root}/t/{SECRET}/v1" if token == SECRET else on.base
        assert (await shell(out, OPENLINE_TOKEN=token)).split() == [there]
        assert (await on.json("env", "--shell", "json"))["token"] == {"variable": "OPENLINE_TOKEN"}


NO_FORWARD = {f"{name}_{end}": "" for name in ("http", "https", "all") for end in ("proxy",)}
NO_FORWARD |= {name.upper(): "" for name in NO_FORWARD}


async def test_without_an_admin_listener_the_address_is_told_all_the_same(tmp_path: Path) -> None:
    """Whether it wants a token cannot be asked then: that is said on stderr, and the lines stay good to evaluate."""
    async with stage(tmp_path, environ={"OPENLINE_ADMIN_LISTEN": "off"}) as on:
        status, out, err = await on.openline("env", "--shell", "sh")
        assert (status, out.splitlines()[0]) == (0, f"export OPENAI_BASE_URL={on.base}")
        assert err.startswith("openline: whether it wants a token cannot be told: the Openline with pid ")


async def test_nothing_runs(tmp_path: Path) -> None:
    """Exit status 3, and nothing on stdout that a shell could evaluate."""
    status, out, err = await ran("env", environ={"XDG_STATE_HOME": str(tmp_path)})
    assert (status, out) == (3, "")
    assert "`openline start` starts one" in err


@pytest.mark.parametrize(
    ("environ", "lists"),
    [
        ({}, {}),
        ({"NO_PROXY": "a.b"}, {}),
        ({"http_proxy": ""}, {}),
        ({"HTTP_PROXY": "x"}, {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}),
        ({"all_proxy": "x", "NO_PROXY": "a.b"}, {"NO_PROXY": "a.b,127.0.0.1", "no_proxy": "a.b,127.0.0.1"}),
        (
            {"https_proxy": "x", "NO_PROXY": "a", "no_proxy": "b"},
            {"NO_PROXY": "a,127.0.0.1", "no_proxy": "b,127.0.0.1"},
        ),
        ({"ALL_PROXY": "x", "NO_PROXY": "a,127.0.0.1"}, {"no_proxy": "a,127.0.0.1"}),
        ({"http_proxy": "x", "NO_PROXY": "*", "no_proxy": "*"}, {}),
    ],
)
def test_calls_to_it_go_through_no_forward_proxy(environ: dict[str, str], lists: dict[str, str]) -> None:
    """Where one is set, both spellings of NO_PROXY get the host, beside what they have; else nothing is set."""
    assert exemptions(BASE, environ) == lists
