"""A conclusion: what is said when the command has ended, for a person and for a program."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from proxy.cli.execution.conclusion import Conclusion, shared
from proxy.cli.execution.destination import Destination
from proxy.config import Settings, Upstream
from proxy.core.reasons import Route
from proxy.instance import Instance, InstanceFile
from proxy.telemetry.summary import Summary, Way
from proxy.turns.outcome import Outcome
from tests.server.wire import rigged

SUMMARY = Summary(1, {Route.DELTA: Way(1, 3_000, 1_000)})
WHERE = Destination(Settings(upstream=Upstream(url="https://api.example/secret/v1")), "flag --upstream")


@pytest.mark.parametrize(
    ("summary", "doubt", "line"),
    [
        (SUMMARY, "", "1 turn, 1 delta: 2.0 kB of 3.0 kB not sent"),
        (SUMMARY, "counted since noon", "1 turn, 1 delta: 2.0 kB of 3.0 kB not sent; counted since noon"),
        (None, "it has gone", "what the calls came to is not known: it has gone"),
        (
            None,
            "",
            (
                "what the calls came to is not known:"
                " Openline does not know this run any more: it remembers the latest ones alone"
            ),
        ),
        (
            Summary(),
            "",
            "0 turns: the agent made no call to Openline (it may not read OPENAI_BASE_URL: docs/clients.md)",
        ),
    ],
)
def test_the_line(summary: Summary | None, doubt: str, line: str) -> None:
    """The sentence, and what is not known."""
    assert Conclusion("r1", 0, summary, doubt).line(["my-agent"]) == line


def test_the_line_says_what_is_known_of_the_agent() -> None:
    """Why one made no call is no guess where docs/clients.md has it."""
    assert "~/.pi/agent/models.json" in Conclusion("r1", 0, Summary()).line(["pi"])


@pytest.mark.parametrize(("status", "shown"), [(0, 0), (7, 7), (-15, 143)])
def test_the_object(status: int, shown: int) -> None:
    """The same for a program, with figures where there are any; a path of the upstream is not in it."""
    told = json.loads(Conclusion("r1", status, SUMMARY).json(["my-agent"], WHERE))
    assert (told["event"], told["run"], told["status"], told["turns"], told["deltas"]) == ("exec", "r1", shown, 1, 1)
    assert (told["upstream"], told["upstream_from"]) == ("https://api.example", "flag --upstream")
    assert told["text"] == Conclusion("r1", status, SUMMARY).line(["my-agent"])
    unknown = json.loads(Conclusion("r1", status, None, "it has gone").json(["my-agent"], WHERE))
    assert "turns" not in unknown
    assert "it has gone" in unknown["text"]


def test_a_shared_one_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone, or busy: the status is kept, and why there are no figures is said."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one = Instance(
        pid=os.getpid(),
        version="1",
        api="http://127.0.0.1:9/v1",
        admin="http://127.0.0.1:9",
        control="marker",
        started_at=0.0,
    )
    gone = shared(one, "r1", 3)
    assert (gone.status, gone.summary) == (3, None)
    assert gone.doubt == f"the Openline that they went through (pid {one.pid}) has ended"
    InstanceFile(one).write()
    busy = shared(one, "r1", 3)
    assert (busy.status, busy.summary) == (3, None)
    assert "does not answer" in busy.doubt
    assert "marker" not in busy.doubt


async def test_a_shared_one_that_has_forgotten_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many others came since: that is said, and not that the agent made no call."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with rigged() as rig:
        one = Instance(
            pid=os.getpid(),
            version="1",
            api=rig.url,
            admin=rig.app.admin,
            control=rig.app.control,
            started_at=0.0,
        )
        InstanceFile(one).write()
        silent = await asyncio.to_thread(shared, one, "mine", 0)
        for name in ("mine", *(f"r{n}" for n in range(512))):
            rig.app.tallies.add(Outcome("ol_1", Route.DELTA, run=name))
        forgotten = await asyncio.to_thread(shared, one, "mine", 0)
    assert "made no call" in silent.line(["my-agent"])
    assert forgotten.line(["my-agent"]) == Conclusion("mine", 0, None).line(["my-agent"])
