"""The command line as a whole: version, help, and one line for each misuse."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from proxy import __version__
from tests.cli.process import ROOT, ran, started

# In the order of use.
COMMANDS = [
    *("exec", "run", "start", "stop", "restart", "status", "logs", "mode", "reload", "explain", "report"),
    *("service", "env", "config", "paths", "completion", "simulate", "demo", "doctor"),
]


async def test_the_version_is_shown() -> None:
    """`openline --version` prints the name and the version of the package."""
    assert await ran("--version") == (0, f"openline {__version__}\n", "")


async def test_help_lists_the_commands_and_is_quick() -> None:
    """`openline --help` names every command without importing the server's libraries."""
    status, out, err = await ran("--help", python=("-X", "importtime"))
    assert status == 0
    assert re.findall(r"^  (\w+)", out.partition("Commands:\n")[2], re.MULTILINE) == COMMANDS
    imported = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert "click" in imported
    assert imported.isdisjoint({"aiohttp", "websockets", "msgspec", "proxy.cli.run"})


@pytest.mark.parametrize("name", COMMANDS)
async def test_every_listed_command_has_help(name: str) -> None:
    """Each command in the list exists and says how it is used."""
    status, out, err = await ran(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: openline {name} [OPTIONS]")


async def test_shells_can_complete_the_commands() -> None:
    """Click's completion protocol lists the commands to a shell."""
    environ = {"_OPENLINE_COMPLETE": "bash_complete", "COMP_WORDS": "openline ", "COMP_CWORD": "1"}
    status, out, _ = await ran(environ=environ)
    assert (status, out.split()) == (0, [f"plain,{name}" for name in COMMANDS])


async def test_no_command_shows_the_help() -> None:
    """`openline` alone shows the help on stderr and exits with 2, as nothing was done."""
    status, out, err = await ran()
    assert (status, out) == (2, "")
    assert err.startswith("Usage: openline [OPTIONS] COMMAND")


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            ("--help",),
            ("status", "--help"),
            ("paths",),
            ("paths", "--json"),
            ("config", "show"),
            ("completion", "bash"),
        ),
        ("doctor", "--port", "0", "--upstream", "http://127.0.0.1:9/v1"),
    ],
    ids=" ".join,
)
async def test_an_output_that_takes_no_more_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """A full disk is named, without a traceback, at the exit too; exit status 1."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'exec "$@" >/dev/full', "sh", sys.executable, "-m", "proxy", *arguments),
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 40)
    assert err.decode() == "openline: the output cannot be written: No space left on device\n"
    assert process.returncode == 1


async def test_a_reader_that_has_gone_is_no_traceback() -> None:
    """Nobody is there who would read a word of it; exit status 1."""
    async with started("--help") as command:
        command.stop_reading()
        status, _, err = await command.end()
    assert (status, err) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("rnu",), "openline: No such command 'rnu'. Did you mean 'run'?"),
        (("statsu",), "openline: No such command 'statsu'. Did you mean 'status'?"),
        (("config", "shw"), "openline: No such command 'shw'. Did you mean 'show'?"),
        (("frobnicate",), "openline: No such command 'frobnicate'"),
        (("status", "--port", "abc"), "openline: Invalid value for '--port': 'abc' is not a valid port."),
        (("run", "--port", "abc"), "openline: Invalid value for '--port': 'abc' is not a valid port."),
        (("run", "--prot", "1"), "openline: No such option '--prot'"),
        (("run", "--port", "65536"), "openline: Invalid value for '--port': 65536 is not in the range"),
        (("run", "--mode", "fast"), "openline: Invalid value for '--mode': 'fast' is not one of"),
        (("run", "--port", "1", "--listen", "localhost:1"), "openline: give --listen or --port, not both"),
    ],
)
async def test_a_misuse_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    """A wrong command or option is named in one line on stderr that points to the help; exit status 2."""
    status, out, err = await ran(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert "--help)" in err
