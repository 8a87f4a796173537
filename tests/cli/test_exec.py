"""`openline exec`: the command's calls go through Openline, its end is the command's, and one line says what for."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from proxy.instance import instances
from proxy.simulator import Simulator
from tests.cli.agent import BARE, agent, python
from tests.cli.process import ROOT, ran, started
from tests.fuzz.upstream import Cut, Upstream
from tests.test_docs import blocks

NOWHERE = "http://127.0.0.1:9/v1"


class Told(msgspec.Struct):
    """What `--json` says, as far as it is looked at here."""

    run: str
    status: int
    upstream: str
    upstream_from: str
    shared_pid: int | None
    text: str
    turns: int = 0
    deltas: int = 0
    turn_errors: int = 0
    refused: int = 0
    unsent_bytes: int = 0
    passed: dict[str, int] = {}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """The API."""
    async with Simulator() as api:
        yield api


async def executed(*words: str, environ: dict[str, str] | None = None, status: int = 0) -> Told:
    """Run `openline exec --json WORDS` to its end, which must be this."""
    ended, _, err = await ran("exec", "--json", *words, environ={**BARE, **(environ or {})})
    assert ended == status, err
    return msgspec.json.decode(err.splitlines()[-1], type=Told)


async def test_an_ordinary_agent_gains(simulator: Simulator, tmp_path: Path) -> None:
    """The README's agent, on the real SDK, needs nothing but the command ahead of its own: its turns go as deltas."""
    url = await simulator.start()
    (tmp_path / "agent.py").write_text(blocks("python")[0], "utf-8")
    environ = {**BARE, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "anything", "PYTHONIOENCODING": "utf-8"}
    status, out, err = await ran("exec", "--", sys.executable, str(tmp_path / "agent.py"), environ=environ)
    assert status == 0, err
    assert "Café ✓ prompt " in out
    assert err.startswith("openline: 3 turns, 2 deltas: ")
    assert err.count("\n") == 1
    assert [entry.transport for entry in simulator.journal if entry.generate] == ["ws"] * 3


@pytest.mark.parametrize(
    ("mode", "status", "words"),
    [
        ("on", b"401 Unauthorized", "refused: 401 (1): the upstream refused the key"),
        ("observe", b"429 Too Many Requests", "refused: 429 (1): the upstream's rate limit or quota was reached"),
        ("off", b"500 Oops", "failed: 500 (1): trouble at the upstream, or on the way there"),
    ],
)
async def test_what_the_upstream_refused_is_said_first(mode: str, status: bytes, words: str) -> None:
    """Whichever way a turn went: a refusal that plain HTTP brought is no success."""
    answer: list[bytes | Cut] = [b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status, Cut("close")]
    async with Upstream(lambda _: [], lambda _: answer, lambda: answer).serving() as base:
        told = await executed("--mode", mode, "--upstream", base, "--", *agent(1), status=1)
    assert told.text == f"1 turn, {words}"
    assert (told.turns, told.turn_errors, told.refused, told.unsent_bytes) == (1, 1, 1, 0)


async def test_what_is_said_holds_nothing_private(simulator: Simulator, tmp_path: Path) -> None:
    """Neither the line nor the object nor the lines of turns hold a word of prompts, answers or keys."""
    log = tmp_path / "turns"
    arguments = ("exec", "-v", "--log", str(log), "--upstream", await simulator.start(), "--", *agent(2))
    _, _, err = await ran(*arguments, environ=BARE)
    assert "2 turns, 1 delta" in err
    assert "marker" not in err + log.read_text()


async def test_the_exit_status_is_the_commands() -> None:
    """Whatever it is, and the line comes all the same."""
    status, out, err = await ran("exec", "--upstream", NOWHERE, "--", "sh", "-c", "exit 255", environ=BARE)
    assert (status, out) == (255, "")
    assert err == (
        "openline: 0 turns: the agent made no call to Openline (it may not read OPENAI_BASE_URL: docs/clients.md)\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_signal_that_ends_the_command_is_seen(number: signal.Signals) -> None:
    """Who waits for `openline exec` sees the signal, as if it had run the command itself; the line is said before."""
    told = await executed("--upstream", NOWHERE, "--", "sh", "-c", f"kill -{number.value} $$", status=-number)
    assert (told.status, told.turns) == (128 + number, 0)


async def test_a_reader_that_goes_away_changes_nothing() -> None:
    """With nobody at stderr the command runs, and ends as it does."""
    words = f"{sys.executable} -m proxy exec -v --upstream {NOWHERE} -- sh -c 'echo hello; exit 3'"
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"{words} 2>&-; echo $?"), cwd=ROOT, env={**os.environ, **BARE}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert out == b"hello\n3\n"


async def test_a_command_that_cannot_be_run_is_one_line(tmp_path: Path) -> None:
    """Not there: 127; not executable: 126, as a shell has it."""
    plain, orphan = tmp_path / "plain", tmp_path / "orphan"
    plain.write_text("")
    orphan.write_text("#!/no/such/program\n")
    orphan.chmod(0o700)
    for name, code, line in (
        ("no-such-command", 127, "no-such-command: there is no such command"),
        (str(plain), 126, f"{plain}: it cannot be run: Permission denied"),
        (str(orphan), 127, f"{orphan}: what its first line (#!) names is not there"),
    ):
        ended = await ran("exec", "--upstream", NOWHERE, "--", name, environ=BARE)
        assert ended == (code, "", f"openline: {line}\n")


async def test_without_a_command_there_is_nothing_to_do() -> None:
    """A misuse, in one line."""
    status, out, err = await ran("exec", "--upstream", NOWHERE, environ=BARE)
    assert (status, out, err.count("\n")) == (2, "", 1)


async def test_it_can_be_quiet() -> None:
    """With -q the terminal is the command's alone."""
    words = ("exec", "-q", "--upstream", NOWHERE, "--", "echo", "hello")
    assert await ran(*words, environ=BARE) == (0, "hello\n", "")


async def test_the_commands_own_options_are_its_own() -> None:
    """Also where no `--` stands ahead of it, and where they are called as ours are."""
    words = ("exec", "-q", "--upstream", NOWHERE, "echo", "--quiet", "--upstream", "-v", "--", "hello")
    assert await ran(*words, environ=BARE) == (0, "--quiet --upstream -v -- hello\n", "")
    status, out, err = await ran("exec", "-q", "--json", "echo", "hello", environ=BARE)
    assert (status, out, err) == (2, "", "openline: give --quiet or --json, not both (see openline exec --help)\n")


async def test_only_what_it_needs_is_changed_for_the_command() -> None:
    """The address in both spellings and loopback in both lists of exemptions; every other variable is as it was."""
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    given = {**BARE, "NO_PROXY": "corp.example", "MARKER": "é\n", "OPENLINE_UPSTREAM__URL": NOWHERE}
    _, plain, _ = await ran("exec", "-q", "--", *python(show), environ=given)
    seen = json.loads(plain)
    base, exempt = seen["OPENAI_BASE_URL"], "corp.example,127.0.0.1,localhost,::1"
    assert base.startswith("http://127.0.0.1:")
    assert (seen["OPENAI_API_BASE"], seen["NO_PROXY"], seen["no_proxy"]) == (base, exempt, exempt)
    changed = {"OPENAI_BASE_URL", "OPENAI_API_BASE", "NO_PROXY", "no_proxy"}
    ours = {**os.environ, **given}
    others = {name: value for name, value in seen.items() if name not in changed}
    # The test's own harness sets the rest.
    assert {name: ours[name] for name in others if name in ours} == {
        name: value for name, value in others.items() if name in ours
    }
    assert set(others) - set(ours) <= {"XDG_CONFIG_HOME", "XDG_STATE_HOME", "OPENLINE_LOG_FORMAT", "LC_CTYPE"}


async def test_a_forward_proxy_is_not_asked_for_this_machine(simulator: Simulator) -> None:
    """Where the shell has one, the command reaches Openline all the same."""
    environ = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    told = await executed("--upstream", await simulator.start(), "--", *agent(2), environ=environ)
    assert (told.turns, told.deltas) == (2, 1)


async def test_large_input_is_piped_through(tmp_path: Path) -> None:
    """The command has our stdin and stdout themselves: nothing is in between, and nothing is lost."""
    big = tmp_path / "big"
    big.write_bytes(os.urandom(4_000_000))
    openline = f"{sys.executable} -m proxy exec -q --upstream {NOWHERE} --"
    shell = f"cat {big} | {openline} cat | cmp - {big} && {openline} sh -c 'cat <&7' 7<{big} | cmp - {big}"
    process = await asyncio.create_subprocess_exec("sh", "-c", shell, cwd=ROOT, env={**os.environ, **BARE})
    assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_an_address_that_was_set_becomes_the_upstream(simulator: Simulator) -> None:
    """Where no setting names one, the calls go where they would have gone, and it is said who named that."""
    url = await simulator.start()
    told = await executed("--", *agent(1), environ={"OPENAI_BASE_URL": url})
    assert (told.turns, told.upstream, told.upstream_from) == (1, url.removesuffix("/v1"), "OPENAI_BASE_URL")


async def test_an_address_that_is_none_is_one_line() -> None:
    """What cannot be an upstream stops the start, and the command with it."""
    ended = await ran("exec", "--", "echo", "hello", environ={**BARE, "OPENAI_BASE_URL": "api.example/v1"})
    assert ended == (2, "", "openline: OPENAI_BASE_URL: must begin with http:// or https://\n")


async def test_one_in_another_is_one_proxy(simulator: Simulator, tmp_path: Path) -> None:
    """The inner one goes through the outer one's proxy, to its upstream, and each counts its own turns."""
    url = await simulator.start()
    inner = (sys.executable, "-m", "proxy", "exec", "-v", "--", *agent(2))
    words = ("sh", "-c", '"$@" && exec "$@"', "sh", *inner)
    async with started(
        "exec", "-v", "--upstream", url, "--", *words, environ={**BARE, "XDG_STATE_HOME": str(tmp_path)}
    ) as outer:
        status, _, err = await outer.end()
    assert status == 0, err
    host = url.removesuffix("/v1")
    through = (
        f"openline: upstream {host} (the Openline that OPENAI_BASE_URL leads to), by the Openline with pid {outer.pid}"
    )
    first, *lines = [line for line in err.splitlines() if line.startswith("openline: ")]
    assert first == f"openline: upstream {host} (flag --upstream), by a proxy of its own"
    assert [line == through for line in lines] == [True, False, True, False, False]
    assert [line[: line.index(":", 10)] for line in lines if line != through] == [
        *["openline: 2 turns, 1 delta"] * 2,
        "openline: 4 turns, 2 deltas",
    ]


async def test_one_that_runs_is_shared(simulator: Simulator, tmp_path: Path) -> None:
    """Where an Openline of yours goes there by the same settings, no other is made; the line is about this run."""
    url = await simulator.start()
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    async with started("run", "--port", "0", "--upstream", url, environ=environ) as proxy:
        base = await proxy.base()
        for turns in (2, 3):
            told = await executed("--upstream", url, "--", *agent(turns), environ=environ)
            assert (told.turns, told.deltas, told.shared_pid) == (turns, turns - 1, proxy.pid)
        for alone in (("--own",), ("--log", str(tmp_path / "log"))):
            told = await executed(*alone, "--", *agent(1), environ={**environ, "OPENAI_BASE_URL": base})
            assert (told.turns, told.shared_pid, told.upstream) == (1, None, url.removesuffix("/v1"))


async def test_one_that_ends_meanwhile_takes_its_figures_along(tmp_path: Path) -> None:
    """The line says so, and the exit status is the command's all the same."""
    environ = {**BARE, "XDG_STATE_HOME": str(tmp_path)}
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    async with started("run", "--port", "0", "--upstream", NOWHERE, environ=environ) as proxy:
        await proxy.base()
        words = ("exec", "--upstream", NOWHERE, "--", "sh", "-c", f"echo ready; cat {fifo}; exit 5")
        async with started(*words, environ=environ) as command:
            assert await command.line() == "ready"
            proxy.send(signal.SIGTERM)
            await proxy.end()
            await asyncio.to_thread(fifo.write_text, "")
            status, _, err = await command.end()
    assert status == 5
    assert err == (
        "openline: what the calls came to is not known: the Openline that they went through"
        f" (pid {proxy.pid}) has ended\n"
    )


async def test_others_do_not_rely_on_a_passing_one(simulator: Simulator, tmp_path: Path) -> None:
    """Beside an `openline exec`, another makes a proxy of its own: the first may end at any time."""
    url = await simulator.start()
    environ = {**BARE, "XDG_STATE_HOME": str(tmp_path)}
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    async with started(
        "exec", "--upstream", url, "--", "sh", "-c", f"echo ready; cat {fifo}", environ=environ
    ) as first:
        assert await first.line() == "ready"
        (there,) = instances(tmp_path / "openline" / "running")
        assert (there.pid, there.passing) == (first.pid, True)
        told = await executed("--upstream", url, "--", *agent(1), environ=environ)
        assert (told.turns, told.shared_pid) == (1, None)
        await asyncio.to_thread(fifo.write_text, "")
        assert (await first.end())[0] == 0
    assert list(instances(tmp_path / "openline" / "running")) == []


async def test_turns_can_be_written_to_a_file(simulator: Simulator, tmp_path: Path) -> None:
    """A line each, in the form that is asked for, added to what is there."""
    log = tmp_path / "log"
    log.write_text("before\n")
    told = await executed("--upstream", await simulator.start(), "--log", str(log), "--", *agent(2))
    before, full, delta = log.read_text().splitlines()
    assert (before, told.turns) == ("before", 2)
    assert full.startswith("full   200  first")
    assert delta.startswith("delta  200")


async def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """It stops the start, and the command with it."""
    status, out, err = await ran("exec", "--log", str(tmp_path), "--", "echo", "hello", environ=BARE)
    assert (status, out) == (2, "")
    assert err == f"openline: --log {tmp_path}: it cannot be written: Is a directory\n"


async def test_a_setting_that_cannot_be_used_is_seen_before_the_command_starts() -> None:
    """Settings, the file of authorities, the forward proxy: one line, and the command never runs."""
    for environ, line in (
        ({"OPENLINE_POOL__WAIT_SECONDS": "x"}, "pool.wait_seconds: expected a number"),
        ({"OPENLINE_UPSTREAM__CA_FILE": "no-such.pem"}, "upstream.ca_file: no-such.pem cannot be read"),
        ({"https_proxy": "socks5://127.0.0.1:1", "no_proxy": ""}, "https_proxy: names a SOCKS proxy"),
    ):
        status, out, err = await ran("exec", "--", "echo", "hello", environ={**BARE, **environ})
        assert (status, out) == (2, ""), err
        assert err.startswith(f"openline: {line}")
        assert err.count("\n") == 1


async def test_closed_streams_cost_nothing(tmp_path: Path) -> None:
    """Also with none of the three the command runs, by a proxy of its own, and its exit status is ours."""
    words = f"{sys.executable} -m proxy exec --upstream {NOWHERE} -- sh -c 'echo hello >{tmp_path}/out; exit 7'"
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"{words} <&- >&- 2>&-"), cwd=ROOT, env={**os.environ, **BARE, "XDG_STATE_HOME": str(tmp_path)}
    )
    assert await asyncio.wait_for(process.wait(), 20) == 7
    assert (tmp_path / "out").read_text() == "hello\n"


async def test_other_clients_go_where_they_went() -> None:
    """A client that reads the variable that is not set goes to its own default, with its own key."""
    show = "import os; print(*(os.environ.get(name) for name in ('OPENAI_BASE_URL', 'OPENAI_API_BASE')))"
    for name, other in (("OPENAI_BASE_URL", "OPENAI_API_BASE"), ("OPENAI_API_BASE", "OPENAI_BASE_URL")):
        _, out, _ = await ran("exec", "-q", "--", *python(show), environ={**BARE, name: NOWHERE})
        seen = dict(zip(("OPENAI_BASE_URL", "OPENAI_API_BASE"), out.rstrip("\n").split(" "), strict=True))
        assert (seen[name].startswith("http://127.0.0.1:"), seen[name] == NOWHERE, seen[other]) == (True, False, "")
    both = {**BARE, "OPENAI_BASE_URL": NOWHERE, "OPENAI_API_BASE": "https://b.example/v1"}
    status, out, err = await ran("exec", "--", "echo", "hello", environ=both)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("openline: OPENAI_BASE_URL leads to http://127.0.0.1:9, and OPENAI_API_BASE to https://b.ex")


async def test_a_shared_one_that_turns_elsewhere_gets_no_more_calls(simulator: Simulator, tmp_path: Path) -> None:
    """The key is for where it went when the command began: after a reload the calls are refused, and go nowhere."""
    url, file, fifo = await simulator.start(), tmp_path / "settings", tmp_path / "go"
    os.mkfifo(fifo)
    file.write_text(f'[upstream]\nurl = "{url}"\n')
    environ = {**BARE, "XDG_STATE_HOME": str(tmp_path), "OPENLINE_CONFIG": str(file)}
    async with Simulator() as elsewhere, started("run", "--port", "0", environ=environ) as proxy:
        await proxy.base()
        words = ("exec", "--json", "--", "sh", "-c", f'"$@"; echo ready; cat {fifo}; exec "$@"', "sh", *agent(1))
        async with started(*words, environ=environ) as command:
            assert await command.line() == "ready"
            file.write_text(f'[upstream]\nurl = "{await elsewhere.start()}"\n')
            assert (await ran("reload", environ=environ))[0] == 0
            await asyncio.to_thread(fifo.write_text, "")
            status, _, err = await command.end()
    assert (status, "409" in err, len(elsewhere.requests)) == (1, True, 0)
    assert msgspec.json.decode(err.splitlines()[-1], type=Told).shared_pid == proxy.pid


async def test_an_interrupt_at_the_end_does_not_cost_the_exit_status(tmp_path: Path) -> None:
    """While a shared one that is slow is asked what the calls came to, Ctrl-C is for nobody."""
    environ = {**BARE, "XDG_STATE_HOME": str(tmp_path)}
    async with started("run", "--port", "0", "--upstream", NOWHERE, environ=environ) as proxy:
        await proxy.base()
        # As Ctrl-C and the end come at once, and again while it is asked.
        typing = "exec 1>&- 2>&-; for n in 1 2 3 4 5 6 7 8; do sleep 0.1; kill -INT $PPID; done"
        ends = f"kill -STOP {proxy.pid}; ({typing}; kill -CONT {proxy.pid}) & exit 7"
        words = ("exec", "--upstream", NOWHERE, "--", "sh", "-c", ends)
        async with started(*words, environ=environ) as command:
            status, _, err = await command.end()
    assert (status, err.partition(":")[0]) == (7, "openline"), err
