"""`openline simulate` in a process of its own."""

import json
import signal
from pathlib import Path

import aiohttp
import click
import pytest

from proxy.cli import simulate
from proxy.simulator import Behaviour, Entry, Handshake, Link, Request, Simulator
from tests.cli.process import started
from tests.simulator.wire import KEY


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_a_signal(number: signal.Signals) -> None:
    """It prints the line to paste, then a line a request, and ends with 0."""
    async with started("simulate", "--port", "0", "--delta-chars", "1000", "-v") as command:
        base = (await command.line()).removeprefix("export OPENAI_BASE_URL=")
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{base}/models", headers=KEY) as answer:
                assert answer.status == 200
            body = {"model": "m", "input": "very private", "stream": True}
            async with http.post(f"{base}/responses", json=body, headers=KEY) as answer:
                assert (await answer.text()).count(".delta") == 2  # the event's name, twice: one delta only
        assert await command.line() == "GET /v1/models 0 bytes"
        line = await command.line()
        assert line.startswith("create 1 http full ")
        assert "completed" in line
        assert "very private" not in line
        command.send(number)
        assert await command.end() == (0, "", "")


async def test_a_taken_port_is_one_line() -> None:
    """Who wants a port that is taken is told so in one line, with exit status 1."""
    async with Simulator() as sim:
        port = (await sim.start()).rpartition(":")[2].removesuffix("/v1")
        async with started("simulate", "--port", port) as command:
            status, out, err = await command.end()
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert f"port {port} on 127.0.0.1 is taken" in err


async def test_wrong_options_are_one_line(tmp_path: Path) -> None:
    """A value that cannot be is named, with exit status 2."""
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text("{}\n")
    for arguments in (("--forgetful", "2"), ("--recorded", str(recorded)), ("--error-omits", "all")):
        async with started("simulate", *arguments) as command:
            status, _, err = await command.end()
        assert (status, len(err.splitlines())) == (2, 1)
        assert arguments[0] in err


def behaviour(*arguments: str) -> Behaviour:
    """What the command makes of these arguments."""
    context = simulate.simulate.make_context("simulate", list(arguments))
    return simulate._behaviour(context.params)


def test_flags_become_options() -> None:
    """Flags that are given count, all others leave the default."""
    default = Behaviour()
    made = behaviour()
    assert {name: getattr(made, name) for name in Behaviour.__dataclass_fields__ if name != "model"} == {
        name: getattr(default, name) for name in Behaviour.__dataclass_fields__ if name != "model"
    }
    made = behaviour(
        *("--api-keys", "a", "--api-keys", "b", "--no-lanes", "--no-steering", "--lenient-ids", "--age-limit", "1.5"),
        *("--error-omits", "status", "--error-shape", "flat", "--latency", "0.05", "--uplink", "1000"),
        *("--cors", "--forgetful", "0.5", "--no-echo-paths", "--completed-output", "empty", "--seed", "0"),
    )
    assert made.api_keys == {"a", "b"}
    assert (made.lanes, made.steering, made.lenient_ids, made.echo_paths) == (False, False, True, False)
    assert (made.cors, default.cors) == (True, False)
    assert (made.age_limit, made.forgetful, made.link) == (1.5, 0.5, Link(0.05, 1000))
    assert made.error_omits == {"status"}
    assert made.error_shape == "flat"
    assert made.completed_output == "empty"


def test_the_link_can_be_given_as_the_demo_takes_it() -> None:
    """In milliseconds and Mbit/s; not together with the same in other units."""
    assert behaviour("--latency-ms", "50", "--uplink-mbit", "8").link == Link(0.05, 1_000_000)
    for pair in (("--latency", "1", "--latency-ms", "1"), ("--uplink", "1", "--uplink-mbit", "1")):
        with pytest.raises(click.UsageError, match=f"give {pair[0]} or {pair[2]}, not both"):
            behaviour(*pair)


def test_recorded_answers_are_read(tmp_path: Path) -> None:
    """`--recorded` answers with each line's output."""
    path = tmp_path / "recorded.jsonl"
    path.write_text(json.dumps({"id": "x", "output": [{"type": "compaction"}]}) + "\n\n", "utf-8")
    assert behaviour("--recorded", str(path)).model.answer("", {}, []).output == ({"type": "compaction"},)
    path.write_text("{", "utf-8")
    with pytest.raises(click.UsageError, match="each line must be"):
        behaviour("--recorded", str(path))


ENTRY = Entry(3, "ws", 2, "a", (("Host", "x"), ("B", "y")), b"12345", {}, "resp_1")


@pytest.mark.parametrize(
    ("seen", "verbose", "line"),
    [
        (Handshake("/v1/responses", (), 101, 4), False, "upgrade 101 ws#4"),
        (Handshake("/v1/responses", (), 426), True, "upgrade 426"),
        (Request("POST", "/v1/x?secret=1", (), b"12"), False, "POST /v1/x 2 bytes"),
        (ENTRY, False, "create 3 ws#2 lane a delta 5 bytes: running"),
        (ENTRY.followed_by(4), False, "successor 4 ws#2 lane a full 0 bytes: running"),
        (
            Entry(1, "http", 0, None, (), b"", None, outcome="rejected", status=400, generate=False),
            False,
            "create 1 http full warm-up 0 bytes: rejected 400 -",
        ),
        (
            ENTRY,
            True,
            "create 3 ws#2 lane a delta 5 bytes: running · context no items · no response · headers b host",
        ),
    ],
    ids=["upgrade", "refused", "other", "create", "successor", "rejected", "verbose"],
)
def test_a_line_says_what_came(seen: Entry | Handshake | Request, *, verbose: bool, line: str) -> None:
    """One line a request, without anything private."""
    assert simulate.line(seen, verbose=verbose) == line
