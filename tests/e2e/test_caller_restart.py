"""Restart of the caller, of the daemon, or of both: a conversation that is resumed finds its head again, by content."""

import asyncio
import contextlib
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgpack
import msgspec
import pytest

from proxy.config import Settings
from proxy.server.app import Openline
from proxy.simulator import Fault, Simulator, render_request
from proxy.state import StateFile
from tests.cli.daemons import free_port
from tests.cli.process import ROOT, started
from tests.e2e.stack import Chat, Item, chat, prompt_of, stack
from tests.e2e.test_captures import LIKE_OPENAI

FAITHFUL = Settings(upstream=LIKE_OPENAI)
_SECONDS = 20.0


class Told(msgspec.Struct):
    """What a caller says of one turn."""

    route: str
    reason: str
    sent: str
    said: list[dict[str, object]]


def begun(folder: Path, *, store: bool) -> Path:
    """The file of a conversation that has not begun."""
    file = folder / "conversation.json"
    talk = chat(include=["reasoning.encrypted_content"], stream=True, store=store)
    file.write_bytes(msgspec.json.encode(talk.body))
    return file


@contextlib.asynccontextmanager
async def calling(file: Path, base: str, turns: int, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The caller's process; killed in the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.caller", str(file), base, str(turns), *words),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def called(file: Path, base: str, turns: int, *words: str) -> list[Told]:
    """A caller's process from its start to its end: its turns."""
    async with calling(file, base, turns, *words) as process:
        out, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
        assert process.returncode == 0
    return [msgspec.json.decode(line, type=Told) for line in out.splitlines() if line != b"answering"]


def given(sim: Simulator) -> list[str]:
    """The prompts that the model was given."""
    return [entry.prompt for entry in sim.journal if entry.prompt is not None]


def spelled_out(turns: Sequence[Told]) -> list[str]:
    """The prompts that the turns' own requests spell out."""
    stored: Mapping[str, Item] = {str(item["id"]): item for turn in turns for item in turn.said}
    return [render_request(msgspec.json.decode(turn.sent, type=dict[str, object]), stored=stored) for turn in turns]


# ---- the caller


@pytest.mark.parametrize("store", [False, True])
async def test_a_new_process_finds_the_head_by_content(tmp_path: Path, *, store: bool) -> None:
    """Two processes take turns at one conversation, which is saved in another spelling each time: one full turn."""
    file = begun(tmp_path, store=store)
    async with stack(settings=FAITHFUL) as running:
        turns = [turn for _ in range(3) for turn in await called(file, running.base, 2)]
        assert [turn.route for turn in turns] == ["full", *["delta"] * 5]
        assert running.prompts() == spelled_out(turns)


@pytest.mark.parametrize("store", [False, True])
async def test_one_that_was_killed_in_an_answer_is_resumed(tmp_path: Path, *, store: bool) -> None:
    """After kill -9 in the middle of an answer the next process asks again, and gets the same; then deltas go on."""
    file = begun(tmp_path, store=store)
    async with stack(settings=FAITHFUL) as running:
        before = await called(file, running.base, 2)
        running.sim.faults.add(Fault("hang", "events", after=5, transport="ws"))
        async with calling(file, running.base, 1) as process:
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), _SECONDS) == b"answering\n"
            process.kill()
            assert await asyncio.wait_for(process.wait(), _SECONDS) == -signal.SIGKILL
        for _ in range(3):  # the hang-up has been seen by then
            await running.outcome()
        running.sim.faults.clear()
        after = await called(file, running.base, 3)
        assert running.prompts()[-4:] == spelled_out([*before, after[0], *after])[-4:]
        assert [turn.route for turn in after] == ["delta" if store else "full", "delta", "delta"]
        # What is not stored can be continued once only, and the one that was killed has.
        assert after[0].reason == ("" if store else "parent_continued")


# ---- the daemon


@pytest.mark.parametrize("words", [(), ("--references",)], ids=["items", "references"])
async def test_caller_and_daemon_may_both_be_new(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A stored conversation goes on as a delta on another daemon's first connection, sent whole or by reference."""
    file = begun(tmp_path, store=True)
    turns: list[Told] = []
    async with Simulator() as sim:
        upstream, port = await sim.start(), str(free_port())
        known = {"OPENLINE_UPSTREAM__VERIFIES_IDS": "yes", "OPENLINE_UPSTREAM__SUMMARIES_COUNT": "no"}
        for _ in range(3):
            environ = {**known, "XDG_STATE_HOME": str(tmp_path)}
            async with started("run", "--port", port, "--upstream", upstream, environ=environ) as daemon:
                turns += await called(file, await daemon.base(), 2, *words)
                daemon.send(signal.SIGTERM)
                assert (await daemon.end())[0] == 0
        assert [turn.route for turn in turns] == ["full", *["delta"] * 5]
        assert given(sim) == spelled_out(turns)
        creates = [entry for entry in sim.journal if entry.transport == "ws"]
        assert [create.connection for create in creates] == [1, 1, 2, 2, 3, 3]
        assert [one.previous_response_id for one in creates[1:]] == [one.response_id for one in creates[:-1]]


@dataclass
class Daemons:
    """Proxies in this process, each at a port of its own that it keeps, in front of one simulator."""

    sim: Simulator
    upstream: str
    folder: Path
    session: aiohttp.ClientSession

    def file(self, port: int) -> Path:
        """Where the one at this port keeps its state."""
        return self.folder / "openline" / f"heads-127.0.0.1-{port}.msgpack"

    async def life(self, port: int, *talks: Chat) -> list[tuple[str, list[Item]]]:
        """One starts at this port, answers each of the conversations once, and ends: how, and with what."""
        upstream = msgspec.structs.replace(LIKE_OPENAI, url=self.upstream)
        app = Openline(Settings(listen=f"127.0.0.1:{port}", upstream=upstream), lambda _: None)
        told: list[tuple[str, list[Item]]] = []
        try:
            base = await app.start()
            for talk in talks:
                headers = {"authorization": "Bearer k"}
                async with self.session.post(f"{base}/responses", json=talk.body, headers=headers) as response:
                    assert response.status == 200
                    body = msgspec.json.decode(await response.read(), type=_Answer)
                assert given(self.sim)[-1] == prompt_of(talk)
                way = (response.headers["x-openline-route"], response.headers.get("x-openline-reason", ""))
                told.append((" ".join(way).strip(), list[Item](body.output)))
        finally:
            await app.close()
        return told


class _Answer(msgspec.Struct):
    output: list[dict[str, object]]


@pytest.fixture
async def daemons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Daemons]:
    """Their simulator and folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with Simulator() as sim, aiohttp.ClientSession() as session:
        yield Daemons(sim, await sim.start(), tmp_path, session)


def _other_version(raw: bytes) -> bytes:
    content = msgpack.unpackb(raw)
    changed: bytes = msgpack.packb({**content, "version": content["version"] + 1})
    return changed


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


HARM: Mapping[str, Callable[[Path], object]] = {
    "emptied": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "overwritten at its start": lambda file: file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:]),
    "of another version": lambda file: file.write_bytes(_other_version(file.read_bytes())),
    "of another program": lambda file: file.write_text('{"version": 1, "heads": []}'),
    "not to be read": _loop,
    "a folder": _folder,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("harm", HARM)
async def test_a_state_file_that_cannot_be_used_costs_one_full_turn(harm: str, daemons: Daemons) -> None:
    """The daemon starts all the same, sends all of the conversation once, and has its head from then on."""
    port, talk = free_port(), chat("Go. [[rounds=0 reasoning=1]]", store=True)
    [(way, output)] = await daemons.life(port, talk)
    assert (way, stat.S_IMODE(daemons.file(port).stat().st_mode)) == ("full first", 0o600)
    HARM[harm](daemons.file(port))
    talk = talk.followed(output)
    [(way, output)] = await daemons.life(port, talk)
    assert way == "full no_match"
    if not daemons.file(port).is_dir():  # which no file replaces
        assert [way for way, _ in await daemons.life(port, talk.followed(output))] == ["delta"]


async def test_no_damage_to_a_state_file_stops_a_start(daemons: Daemons) -> None:
    """Wherever it is cut, whatever byte is another: it is read, or it counts as none."""
    port, talk = free_port(), chat("Go. [[rounds=0 reasoning=1]]", store=True)
    await daemons.life(port, talk)
    whole, file = daemons.file(port).read_bytes(), StateFile(daemons.file(port))
    assert len(file.load().heads) == 1
    for index, byte in enumerate(whole):
        file.path.write_bytes(whole[:index])
        assert file.load().heads == ()
        file.path.write_bytes(whole[:index] + bytes([byte ^ 0xFF]) + whole[index + 1 :])
        assert len(file.load().heads) <= 1


async def test_two_daemons_share_nothing(daemons: Daemons) -> None:
    """What one remembers of stored responses the other does not know, nor does it after both were started anew."""
    ports = (free_port(), free_port())
    talks = [chat(f"I am {name}. [[rounds=0]]", store=True) for name in "ab"]
    for own in (0, 1):
        [(_, output)] = await daemons.life(ports[own], talks[own])
        talks[own] = talks[own].followed(output)
    assert daemons.file(ports[0]).read_bytes() != daemons.file(ports[1]).read_bytes()
    for own in (0, 1):
        ways = [way for way, _ in await daemons.life(ports[own], talks[own], talks[1 - own])]
        assert ways == ["delta", "full no_match"]
