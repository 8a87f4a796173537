"""The README and docs/architecture.md: what they name exists, and what they tell to run runs."""

import asyncio
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import msgspec
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from proxy.cli import cli
from proxy.cli.simulate import simulate
from proxy.config import Match, Mode, Settings
from proxy.core.reasons import MEANINGS, Route
from proxy.demo.report import Comparison
from proxy.server.handler import _MODES
from proxy.settings_sources import FLAGS, leaves
from proxy.state import state_file
from tests.cli.process import ROOT, ran, started

README = (ROOT / "README.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Words of the API and of other programs that the README may set as code.
FOREIGN = {
    *("input", "previous_response_id", "conversation", "prompt", "background: true", "POST /v1/responses"),
    *("openai", "openai-*", "x-ratelimit-*", "x-request-id", "OPENAI_BASE_URL", "XDG_STATE_HOME", "agent.py"),
    *("https://api.openai.com/v1", "ol_", "GET /metrics", 'eval "$(openline env)"'),
}
_HEADERS = {"x-openline-mode", "x-openline-route", "x-openline-reason", "x-openline-*"}


def blocks(language: str) -> list[str]:
    """The README's code blocks of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Each command of the README's shell blocks, as its words."""
    lines = [part for block in blocks("sh") for line in block.splitlines() for part in line.split(" && ")]
    return [shlex.split(line) for line in lines]


def openline(name: str) -> list[list[str]]:
    """The arguments of each `openline NAME …` in the shell blocks."""
    return [words[2:] for words in commands() if words[:2] == [".venv/bin/openline", name]]


def code_words() -> Iterator[str]:
    """What the README sets as code in its text."""
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL))


def rows(heading: str) -> list[list[str]]:
    """The cells of the README's table whose first heading is this."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_readme_exists(words: list[str]) -> None:
    """Each command of the shell blocks is one that a fresh clone has, with these very options."""
    match words:
        case [".venv/bin/openline", name, *arguments]:
            command = cli.get_command(click.Context(cli), name)
            assert command is not None
            command.make_context(name, list(arguments))
        case [".venv/bin/pip", "install", "-e", ".[dev]"]:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
            assert "dev" in project["optional-dependencies"]
            assert project["scripts"] == {"openline": "proxy.cli:main"}
        case [".venv/bin/pip", "uninstall", "-y", name]:
            assert name == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
        case ["export" | "unset", *names]:
            assert {name.partition("=")[0] for name in names} <= {"OPENAI_BASE_URL", "OPENAI_API_KEY"}
        case _:
            assert words in (
                ["python3", "-m", "venv", ".venv"],
                [".venv/bin/python", "-m", "pytest"],
                [".venv/bin/python", "agent.py"],
            )


def test_commands_in_the_text_exist() -> None:
    """Whatever the README's text calls `openline …` is a command, and each command is there."""
    for words in (word.split() for word in code_words()):
        if words[0] == "openline" and len(words) > 1:
            context = click.Context(cli)
            command = cli.get_command(context, words[1])
            assert command, words
            if isinstance(command, click.Group) and len(words) > 2:
                assert command.get_command(context, words[2]), words
    named = {words[1] for word in code_words() if (words := word.split())[0] == "openline" and len(words) > 1}
    assert set(cli.list_commands(click.Context(cli))) == named


async def agent_says(base: str, folder: Path) -> str:
    """Run the README's agent, word for word, in a process of its own; gives what it prints."""
    (snippet,) = blocks("python")
    (folder / "agent.py").write_text(snippet, "utf-8")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "OPENLINE_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "agent.py"),
        cwd=folder,
        env={**inherited, "OPENAI_BASE_URL": base, "OPENAI_API_KEY": "anything", "PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 40)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_agent_of_the_readme_runs(tmp_path: Path) -> None:
    """Simulator, `openline exec` and agent as the README has them (but for the port): its line, the same answer."""
    ((simulated,), (_, executed)) = openline("simulate"), openline("exec")
    assert simulated == []
    async with started("simulate", "--port", "0") as upstream:
        api = (await upstream.line()).removeprefix("export OPENAI_BASE_URL=")
        directly = await agent_says(api, tmp_path)
        ours = {
            "http://127.0.0.1:6737/v1": api,
            ".venv/bin/python": sys.executable,
            "agent.py": str(tmp_path / "agent.py"),
        }
        assert ours.keys() <= set(executed)
        environ = {"OPENAI_API_KEY": "anything", "PYTHONIOENCODING": "utf-8"}
        status, out, err = await ran("exec", *(ours.get(word, word) for word in executed), environ=environ)
    assert (status, out) == (0, directly)
    assert "Café ✓ prompt " in out
    (quoted,) = [block for block in blocks("") if block.startswith("openline: ")]
    assert err.partition(";")[0] == quoted.partition(";")[0]
    assert re.sub(r"[0-9.]+ m?s", "T", err) == re.sub(r"[0-9.]+ m?s", "T", quoted)


async def test_the_quoted_run_of_the_demo_is_such_a_run() -> None:
    """The table is one that the demo prints, and the figures that do not depend on the clock are the demo's."""
    status, out, err = await ran("demo", "--latency-ms", "0", "--uplink-mbit", "0", "--json")
    assert status == 0, err
    run = msgspec.json.decode(out, type=Comparison)
    (quoted,) = [block for block in blocks("") if "directly" in block]
    cells = {line[:26].strip(): re.split(r"  +", line[26:].strip()) for line in quoted.splitlines()}
    assert list(cells) == [
        *("", "time", "time per turn", "time to first event, p50", "bytes up"),
        *("connections", "turns sent as deltas", "compared"),
    ]
    fewer = float(cells["bytes up"][2].removesuffix(" times fewer"))
    assert fewer == pytest.approx(run.up_bytes_ratio, rel=0.02)
    assert cells["connections"] == [f"{run.direct.connections} HTTP", f"{run.proxied.connections} WebSocket"]
    assert cells["turns sent as deltas"] == [f"0 of {run.direct.turns}", f"{run.proxied.deltas} of {run.proxied.turns}"]
    direct, proxied = (float(cells["time"][at].removesuffix(" s")) for at in (0, 1))
    assert cells["time"][2] == f"{direct / proxied:.2f} times as fast"
    assert "**emulated**" in README[: README.index(quoted)]


def test_default_addresses_are_the_real_ones() -> None:
    """The lines to paste have the ports that the commands listen on by default."""
    assert f"export OPENAI_BASE_URL=http://{Settings().listen}/v1\n" in README
    ports = {option.name: option.default for option in simulate.params}
    assert ports["port"] == 6737


def test_the_settings_that_are_named_exist() -> None:
    """Each row of the settings table is a setting, with its default."""
    known = {leaf.key: leaf.default for leaf in leaves()}
    for name, default, *_ in rows("Setting"):
        value = known[name.strip("`")]
        assert tomllib.loads(f"value = {default.strip('`')}")["value"] == value
    flags = {*FLAGS.values(), "--port", "--help", "--json"}
    assert {word.split()[0] for word in code_words() if word.startswith("--")} <= flags


def test_every_word_set_as_code_is_known() -> None:
    """Settings, their values, routes, reasons, headers, flags and commands: none is made up, none is outdated."""
    known = {leaf.key for leaf in leaves()} | _HEADERS | FOREIGN | {route.value for route in Route}
    known |= {reason.value for reason in MEANINGS}
    known |= {*get_args(Mode), *get_args(Match), "full", "unsent", "cut", "failed"}
    known |= {str(default).lower() for default in (leaf.default for leaf in leaves()) if isinstance(default, bool)}
    known |= {f'"{leaf.default}"' for leaf in leaves() if isinstance(leaf.default, str)}
    known |= {f'mode = "{mode}"' for mode in get_args(Mode)} | {f'match = "{match}"' for match in get_args(Match)}
    rest = {word for word in code_words() if not word.startswith(("--", "openline ", "~/", "heads-", "full …"))}
    assert rest - known == set()


def test_routes_and_modes_are_all_named() -> None:
    """The table of headers has every route, and the modes that a request may ask for."""
    cells = {name.strip("`"): meaning for name, meaning in rows("Header")}
    assert all(f"`{route.value}`" in cells["x-openline-route"] for route in Route)
    assert re.findall(r"`(\w+)`", cells["x-openline-mode"]) == list(_MODES)
    assert re.findall(r"`(\w+)`", cells["x-openline-reason"])


def test_the_state_file_is_where_the_readme_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who removes Openline finds the file by the README, on both systems."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    file = state_file(Settings())
    assert file
    assert f"`{file.path.name}`" in README
    for system in (Unix("openline"), MacOS("openline")):
        assert f"`~/{system.user_state_path.relative_to(Path.home())}`" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_resolves(page: Path) -> None:
    """A link to a file of this repository leads to one."""
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_the_index_has_every_page() -> None:
    """docs/index.md leads to all of docs/."""
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    assert {page.name for page in PAGES[1:]} - set(re.findall(r"\]\(([^)/]+)\)", index)) == {"index.md"}


def modules() -> set[str]:
    """The modules of proxy/ that hold code, but for the simulator's."""
    package = ROOT / "proxy"
    return {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "simulator" not in path.parts and (path.name != "__init__.py" or path.parent.name == "cli")
    }


def test_the_architecture_names_every_module_and_no_other() -> None:
    """Each module of proxy/ outside the simulator is named by its path in it, and each path named is one."""
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", ARCHITECTURE)) - {"tests/test_docs.py"}
    assert named == modules()


def test_the_image_gets_what_its_dockerfile_copies() -> None:
    """.dockerignore lets in every source of a COPY, and nothing else."""
    sources = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    copied = {name for line in sources for name in line.split()}
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in lines
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
