"""`openline logs`: lines for a person or as they are, the last ones, and what comes, whatever becomes of the file."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from proxy.cli.logs import Log, human
from proxy.core.reasons import Route, Whole
from proxy.telemetry.lines import Json
from proxy.telemetry.logs import turn_line
from proxy.turns.outcome import End, Outcome, Would
from tests.cli.daemons import Home, Serve, Upstream, get, home
from tests.cli.process import started

NOON = 1_700_000_000.0


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Home]:
    """The folder of the test's daemons."""
    async with home(tmp_path) as made:
        yield made


def outcome() -> Outcome:
    """A turn with something to say of everything."""
    return Outcome(
        id="ol_1",
        route=Route.FULL,
        reason=Whole.FIRST,
        status=200,
        end=End.SHORT,
        request_bytes=2_000,
        sent_bytes=1_000,
        first_event_seconds=0.2,
        total_seconds=3.0,
        replays=1,
        input_tokens=1_200,
        cached_tokens=1_000,
        output_tokens=30,
        reasoning_tokens=10,
        context_suspect=True,
        faults=["a line was lost"],
        would=Would(Route.DELTA, None, 10),
        ended_at=NOON,
    )


def test_a_turn_is_shown_as_a_terminal_has_it() -> None:
    """Nothing that the line of a turn says is lost on the way through the log."""
    moment, _, text = human(Json().turn(outcome()).encode()).partition("  ")
    assert text == turn_line(outcome())
    assert moment.startswith("2023-11-1")


def test_a_notice_is_shown_by_its_time_of_today() -> None:
    """The day is left out where it is this one; so is it with the start, and with events that this version has not."""
    lines = Json()
    assert human(lines.notice("it ended").encode())[2:6:3] == "::"
    assert human(lines.notice("it ended").encode())[8:] == "  openline: it ended"
    begun = lines.event("listening", "", version="1", api="http://a", upstream="http://b", mode="on")
    assert human(begun.encode())[8:] == "  openline 1 listens at http://a: upstream http://b, mode on"
    assert human(lines.event("new", "", one=1, two="2").encode())[8:] == "  openline: new one=1 two=2"


@pytest.mark.parametrize(
    "line",
    [
        "Traceback (most recent call last):",
        '{"at": 1}',
        '{"at":"2023-11-14T12:00:00Z","event":"turn","id":"x","route":"by_pigeon"}',
        '{"at":"2023-11-14T12:00:00Z","event":"turn"}',
        "full  200  first",
    ],
)
def test_what_is_no_line_of_this_version_is_shown_as_it_is(line: str) -> None:
    """Tracebacks, lines for people, and what another version may write; what a terminal would obey is not."""
    assert human(line.encode()) == line
    assert human(f"{line}\x1b[2J\xff".encode("latin-1")) == f"{line}?[2J\ufffd"


def test_a_log_is_followed_across_files(tmp_path: Path) -> None:
    """Half a line waits; one that is put aside is read to its end, beside the next one; an emptied one begins anew."""
    path = tmp_path / "log"
    path.write_text("one\ntwo\nthr")
    log = Log(path)
    assert log.last(1) == [b"two"]
    old = path.open("a")
    old.write("ee\n")
    old.flush()
    assert list(log.new()) == [b"three"]
    path.rename(tmp_path / "log.1")
    assert list(log.new()) == []
    path.write_text("four\n")
    assert list(log.new()) == [b"four"]
    old.write("late\n")
    old.close()
    with path.open("a") as file:
        file.write("five\n")
    assert list(log.new()) == [b"late", b"five"]
    path.write_text("6\n")
    assert list(log.new()) == [b"6"]
    log.close()


async def test_it_shows_the_last_lines(here: Home, aiohttp_server: Serve) -> None:
    """So many, for a person, or as they are; also of one that has ended; where there never was one, that is said."""
    status, _, err = await here.ran("logs")
    assert (status, err) == (3, "openline: no Openline of yours is running: `openline start` starts one\n")
    found = await here.start("--upstream", await Upstream().serve(aiohttp_server))
    await get(f"{found.api}/models")
    status, out, _ = await here.ran("logs", "-n", "1")
    assert (status, out.count("\n")) == (0, 1)
    assert out[10:].startswith("pass   200  other_path        GET /v1/models")
    await here.ran("stop")
    for words in ((), ("--port", str(found.port))):
        status, out, _ = await here.ran("logs", *words, "--json")
        lines = [msgspec.json.decode(line) for line in out.splitlines()]
        assert (status, [line["event"] for line in lines]) == (0, ["listening", "turn", "notice"])


async def test_it_goes_on_across_a_restart(here: Home, aiohttp_server: Serve) -> None:
    """With -f the lines of both processes come; Ctrl-C is no error."""
    found = await here.start("--upstream", await Upstream().serve(aiohttp_server))
    async with started("logs", "-f", "-n", "1", environ=here.environ) as command:
        assert " listens at " in await command.line()
        for _ in range(2):
            await get(f"{found.api}/models")
            assert "GET /v1/models" in await command.line()
            assert (await here.ran("restart"))[0] == 0
            lines = [await command.line() for _ in range(3)]
            assert {"ended", "pid"} <= {line.split()[2] for line in lines}
            assert len([line for line in lines if " listens at " in line]) == 1
        command.send(signal.SIGINT)
        assert await command.end() == (0, "", "")


async def test_one_in_the_foreground_has_none(here: Home) -> None:
    """Its lines are where it was started: that is said; a reader that goes away is no error."""
    environ = {**here.environ, "OPENLINE_LOG_FORMAT": "human"}
    async with started("run", "--port", "0", environ=environ) as command:
        await command.base()
        status, _, err = await here.ran("logs")
        assert status == 3
        assert err.startswith(f"openline: pid {command.pid} runs in the foreground: ")
