"""Tour and command: what a run says and ends with, seen from outside, with what needs no installation."""

import asyncio
import contextlib
import os
import pty
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients import command, scripts
from tests.clients.catalogue import BY_NAME, CLIENTS
from tests.clients.environment import ROOT, Packages
from tests.clients.record import Measured
from tests.clients.tour import Stop, Tour

_SECONDS = 60.0


async def _asked(folder: Path, *words: str, stderr: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    """`python -m tests.clients WORDS`, with a cache and a place for temporary files of its own."""
    places = {"OPENLINE_CLIENTS_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.clients", *words),
        cwd=ROOT,
        env={**os.environ, **places},
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )


async def _ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), _SECONDS)
    return process.returncode, out.decode(), (err or b"").decode()


async def test_a_run_in_a_pipe_says_each_mode_and_the_table(tmp_path: Path) -> None:
    """All as promised: status 0, a line for the mode, the table, and nothing that only a terminal understands."""
    status, out, err = await _ended(await _asked(tmp_path, "curl/json", "--script", "chat"))
    assert (status, err) == (0, "")
    assert "curl/json: 1 of 1 scripts as promised, 100 % of 4 continuations were deltas\n" in out
    assert "\ncurl/json  100 % of 4  same\n" in out
    assert "\r" not in out


async def test_a_terminal_is_told_what_goes_on(tmp_path: Path) -> None:
    """One line that is written over: how many scripts are done, and which one runs."""
    ours, theirs = pty.openpty()
    try:
        process = await _asked(tmp_path, "curl/json", "--script", "chat", stderr=theirs)
        status, _, _ = await _ended(process)
        told = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert status == 0
    assert "\r\033[K0/1 curl/json chat" in told
    assert told.endswith("\r\033[K")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_a_run_that_is_stopped_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """Whatever it started has ended with it, and its temporary folders are gone; the status says which signal."""
    process = await _asked(tmp_path, "curl/json", "--jobs", "1")
    async with asyncio.timeout(_SECONDS):
        while not any("tests.clients.drivers" in command for command in _processes(tmp_path)):
            await asyncio.to_thread(os.sched_yield)
    process.send_signal(number)
    status, _, err = await _ended(process)
    assert status == 128 + number
    assert "Traceback" not in err
    assert list((tmp_path / "tmp").iterdir()) == []
    assert _processes(tmp_path) == []


async def test_what_cannot_be_installed_is_said_and_the_rest_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing program is named with what to do; the other client is measured, and the run has failed."""
    monkeypatch.setenv("OPENLINE_CLIENTS_CACHE", str(tmp_path))
    chat = {"json": [scripts.BY_NAME["chat"]]}
    missing = replace(BY_NAME["curl"], name="missing", packages=Packages("none", ("no-such-program",)))
    measured: dict[str, Measured] = {}
    stops = [Stop(missing, chat), Stop(BY_NAME["curl"], chat)]
    tour = Tour(stops, jobs=1, fresh=False, show=False, measured=measured.__setitem__)
    found = await tour.run()
    assert tour.absent == ["missing"]
    assert set(found) == set(measured) == {"curl"}
    assert "missing: not installed: no-such-program is not on the PATH" in capsys.readouterr().out


async def test_an_installer_s_own_words_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a way to the registry, the run says what pip said and what to look at, and ends with status 1."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    status, out, _ = await _ended(await _asked(tmp_path, "openai/sync", "--script", "chat"))
    assert status == 1
    assert "openai: not installed: " in out
    assert "No matching distribution found for openai" in out
    assert "Is the registry of pip within reach from here?" in out
    assert out.endswith("not installed, and so not run: openai\n")


def test_an_unknown_name_is_answered_with_those_that_are_near() -> None:
    """A slip of the pen is put right, and a mode is answered with the modes that there are."""
    assert "did you mean openai" in command._unknown("opnai")
    assert command._unknown("curl/jsn") == "curl has no such mode; it has json, stream"


def test_ci_puts_some_clients_through_everything() -> None:
    """`--quick` is all scripts of some clients, the main scripts of others, and one script of each of the rest."""
    every = [script.name for script in scripts.SCRIPTS]
    quick = {
        f"{client.name}/{mode}": [script.name for script in client.scripts(mode, quick=True)]
        for client in CLIENTS
        for mode in client.modes
    }
    assert [name for name, some in quick.items() if some == every] == [
        "openai/stream",
        "openai-node/stream",
        "curl/json",
    ]
    some = {tuple(each) for each in quick.values()} - {tuple(every), ()}
    assert some == {("loop", "chat", "lost", "cut"), ("chat",)}
    assert all(any(quick[f"{client.name}/{mode}"] for mode in client.modes) for client in CLIENTS)


def _processes(folder: Path) -> list[str]:
    """The command lines of those with this folder for temporary files, which they have from the run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            if f"TMPDIR={folder / 'tmp'}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text("utf-8", "replace"))
    return found
