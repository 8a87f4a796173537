"""The benchmarks: each runs at its smallest size, with real processes, and keeps its own account right."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from bench import account
from bench.__main__ import BENCHMARKS, bench
from bench.agents import Burst
from bench.attribution import attributed
from bench.caller import Caller, Turn
from bench.chat import chat, text
from bench.held import Kept
from bench.idle import measured, told
from bench.plan import Plan
from bench.process import BenchError, started
from bench.result import Result
from bench.shown import nowhere
from bench.siblings import Family, siblings
from bench.stack import Host, simulator, stack
from bench.undo import Step, undo
from tests.cli.process import ROOT

SMALL = Plan(
    agents=3,
    rounds=1,
    opening_bytes=200,
    output_bytes=100,
    tool_seconds=0.0,
    siblings=2,
    shared_bytes=2_000,
    sibling_rounds=1,
    user_turns=4,
    conversations=(2, 4),
    conversation_bytes=2_000,
    conversation_turns=3,
    warm_turns=2,
    model_seconds=0.02,
    event_seconds=0.005,
)


class _Report(msgspec.Struct):
    command: str
    machine: str
    results: dict[str, list[Burst]]


def sound(result: Result) -> Iterator[str]:
    """Its lines, once no turn failed and each was given its own prompt; its JSON has all figures."""
    assert result.sound
    assert len(result.figures) == len(msgspec.json.decode(msgspec.json.encode(list(result.figures))))
    assert {len(row) for row in result.cells} == {len(result.cells[0])}
    return result.lines()


async def test_agents_are_all_answered_with_their_own_prompts() -> None:
    """`python -m bench agents --json`: every turn of every agent is counted once, and goes on where it has a lane."""
    sizes = ("--agents", "3", "--rounds", "1", "--tool-seconds", "0", "--model-seconds", "0", "--event-seconds", "0")
    report = msgspec.json.decode(await command("agents", "--json", *sizes), type=_Report)
    assert report.command == f"python -m bench agents --json {' '.join(sizes)}"
    assert re.search(r"\d+ cores", report.machine)
    lanes, without, roomy = report.results["agents"]
    for run in (lanes, without, roomy):
        assert (run.turns, run.wrong_prompts, run.errors) == (6, 0, {})
        assert sum(run.ways.values()) == 6
        assert 1 <= run.most_sockets <= run.sockets
        assert 0 < run.first_wait_p50 <= run.first_wait_p99
    assert lanes.ways == without.ways == roomy.ways == {"full (first)": 3, "delta": 3}
    assert 0 < lanes.up_bytes < lanes.request_bytes


async def test_siblings_share_the_parents_context() -> None:
    """Only the siblings' own turns are counted; with lanes and at once all of them are deltas."""
    result = await siblings(SMALL, nowhere)
    assert "parent_continued" in "\n".join(sound(result))
    families = [msgspec.convert(one, Family, from_attributes=True) for one in result.figures]
    assert [(one.lanes, one.together) for one in families] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    ]
    assert all(sum(one.first_ways.values()) == sum(one.later_ways.values()) == 2 for one in families)
    assert families[0].first_ways == {"delta": 2}


async def test_each_undo_is_told_apart() -> None:
    """Stored histories lose nothing by any step; what is broken off is no error, and takes part in the account."""
    result = await undo(SMALL, nowhere)
    assert "abort, then another" in "\n".join(sound(result))
    steps = [msgspec.convert(one, Step, from_attributes=True) for one in result.figures]
    assert {one.step for one in steps if one.lanes} == {one.step for one in steps if not one.lanes}
    assert all(way == "delta" for one in steps if one.store for way in (*one.ways, one.then))
    assert all(one.up_bytes > 0 for one in steps)
    assert [len(one.ways) for one in steps] == [1, 1, 2, 1, 2] * 3
    assert [one.store for one in steps] == [False] * 5 + [True] * 5 + [False] * 5


async def test_idle_conversations_are_still_held() -> None:
    """After all of them, each sampled one goes on as a delta, on as many sockets as there were."""
    figures = [
        await measured(kept, nowhere)
        for kept in (Kept(store=False, turns=3, plan=SMALL), Kept(store=True, turns=1, plan=SMALL))
    ]
    assert "for each" in "\n".join(sound(told(SMALL, figures)))
    for one in figures:
        assert one.held == one.sampled > 0
        assert one.sockets_fewer == one.sockets_more == 1
        assert one.resident_more > 0


async def test_the_attribution_names_lines_of_the_proxy() -> None:
    """What idle conversations hold is told by lines of code, their sum first, and none is the benchmark's."""
    lines = await attributed(Kept(store=False, turns=1, plan=SMALL))
    assert lines[0].place == "all"
    assert any(line.place.startswith("proxy/core/") for line in lines)
    assert not any(line.place.startswith("bench/") for line in lines)


async def test_another_prompt_is_noticed() -> None:
    """An answer to anything but the caller's whole request counts as a wrong prompt."""
    asked = chat().said(f"{text(50, 'one')} [[rounds=0]]")
    async with simulator(Host(lanes=True)) as (base, _upstream, session, _home):
        turn = await Caller(session, base).ask(asked)
    assert account.wrong([turn]) == 0
    assert account.wrong([Turn(asked.said("and more"), 1, output=turn.output)]) == 1


async def test_no_process_outlives_its_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure in the middle ends both processes, and the user's own folders are as they were."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    pids: list[int] = []

    async def fails() -> None:
        async with stack(Host(lanes=False)) as running:
            pids.append(running.proxy.pid)
            raise BenchError("in the middle")

    with pytest.raises(BenchError, match="in the middle"):
        await fails()
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert left_in(tmp_path) == []


async def test_a_process_that_cannot_start_says_why(tmp_path: Path) -> None:
    """What `openline` said on stderr is in the error."""
    async with started(tmp_path, "run", "--port", "0", environ={"OPENLINE_MODE": "fast"}) as failing:
        with pytest.raises(BenchError, match="OPENLINE_MODE"):
            await failing.line()


def test_the_command_lists_the_benchmarks() -> None:
    """`--list` says what each of them is, in a line."""
    lines = CliRunner().invoke(bench, ["--list"]).output.splitlines()
    assert [line.split()[0] for line in lines] == list(BENCHMARKS)
    assert all(line.endswith(".") for line in lines)


def left_in(folder: Path) -> list[Path]:
    """What is in a folder."""
    return list(folder.iterdir())


async def command(*arguments: str) -> bytes:
    """What `python -m bench ARGUMENTS` prints, once it ended well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", *arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return out
