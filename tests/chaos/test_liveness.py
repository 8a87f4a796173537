"""Liveness: a line that died unseen is found out, a host that only thinks is not, and silence is said in time."""

import time

import pytest

from proxy.config import Lanes, Pool, Settings, Timeouts, Upstream
from proxy.core.lane import State
from proxy.simulator import Fault
from proxy.turns.outcome import End
from tests.chaos.census import connections
from tests.chaos.rig import rigged, right
from tests.e2e.link import Link
from tests.e2e.stack import Stack, begun, chat, goes_on, stack
from tests.upstream.peer import said

both = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
with_and_without_lanes = pytest.mark.parametrize("lanes", ["on", "off"])


def configured(lanes: Lanes) -> Settings:
    """Lines are doubted after the usual 20 s; a doubted one has milliseconds to answer."""
    return Settings(
        upstream=Upstream(verifies_ids="yes", lanes=lanes),
        pool=Pool(pong_seconds=0.5),
        timeouts=Timeouts(first_event_seconds=1.5),
    )


def sleep_through(running: Stack, seconds: float) -> None:
    """The machine slept: the wall clock ran on, the monotonic one did not."""
    for connection in connections(running.app):
        connection._silence._since = time.monotonic(), time.time() - seconds


@both
@with_and_without_lanes
async def test_a_machine_that_slept_finds_its_line_dead(lanes: Lanes, *, stream: bool) -> None:
    """The router forgot the line meanwhile: the next turn is replayed on a new one, and the caller never notices."""
    link = Link()
    async with stack(settings=configured(lanes), link=link) as running:
        talk = await begun(running, chat(stream=stream))
        link.freeze()
        sleep_through(running, 3_600)
        talk, outcome = await goes_on(running, talk, "full", "connection_lost")
        assert outcome.replays == 1
        await goes_on(running, talk)


@both
@with_and_without_lanes
async def test_a_machine_that_slept_keeps_a_line_that_lives(lanes: Lanes, *, stream: bool) -> None:
    """A doubt is no loss: the pong comes, and the conversation goes on as deltas on the same socket."""
    async with stack(settings=configured(lanes)) as running:
        talk = await begun(running, chat(stream=stream))
        sleep_through(running, 3_600)
        talk, outcome = await goes_on(running, talk)
        assert (outcome.replays, len(running.sim.handshakes)) == (0, 1)


@both
async def test_a_line_heard_just_now_is_not_doubted(*, stream: bool) -> None:
    """Without a doubt nothing but the turn's own limit ends it: 504, and the next turn is right."""
    link = Link()
    async with stack(settings=configured("off"), link=link) as running:
        talk = await begun(running, chat(stream=stream))
        link.freeze()
        reply = await running.ask(talk.body)
        assert (reply.status, reply.error["code"]) == (504, "openline_silence")
        assert (await running.outcome()).end is End.ERROR
        talk, _ = await goes_on(running, talk, "full", "parent_continued")
        await goes_on(running, talk)


@both
async def test_an_upgrade_that_never_ends_is_given_up(*, stream: bool) -> None:
    """A black hole costs dial_seconds, twice at most; then plain HTTP answers, and the next turn dials again."""
    timeouts = Timeouts(dial_seconds=0.3)
    async with stack(settings=Settings(upstream=Upstream(verifies_ids="yes"), timeouts=timeouts)) as running:
        running.sim.faults.add(Fault("hang", "upgrade", times=2))
        talk, outcome = await goes_on(running, chat(stream=stream), "http", "dial_failed")
        assert len(outcome.faults) == 2
        await goes_on(running, talk, "full", "no_match")


@both
async def test_no_comment_before_the_first_event(*, stream: bool) -> None:
    """A comment would commit a 200: a host that says nothing is a 504 of its own, however long the caller waited."""
    timeouts = Timeouts(first_event_seconds=0.2, keepalive_seconds=0.01)
    async with rigged(Settings(upstream=Upstream(verifies_ids="yes"), timeouts=timeouts)) as rig:
        asked = rig.ask("hello", stream=stream)
        await rig.host.create()
        reply = await asked.reply()
        assert (reply.status, reply.error["code"]) == (504, "openline_silence")
        assert b"keep-alive" not in reply.body


@both
async def test_comments_fill_the_silence_within_an_answer(*, stream: bool) -> None:
    """They come between whole events, for streaming callers alone, and the answer is none the worse for them."""
    timeouts = Timeouts(keepalive_seconds=0.01)
    async with rigged(Settings(upstream=Upstream(verifies_ids="yes", lanes="off"), timeouts=timeouts)) as rig:
        asked = rig.ask("hello", stream=stream)
        create = await rig.host.create()
        answer = said()
        for frame in answer[:-1]:
            await create.answer(frame)
            await rig.lanes_in(State.STREAMING)
            if stream:
                await asked.until(lambda frame=frame: asked.body.endswith(frame + b"\n\n: keep-alive\n\n"))  # type: ignore[misc] # bound at once
        await create.answer(answer[-1])
        reply = await asked.reply()
        right(reply, answer, stream=stream)
        assert (b"keep-alive" in reply.body) is stream


@both
async def test_comments_do_not_lengthen_the_limit(*, stream: bool) -> None:
    """Silence is measured from event to event: a stream that was kept alive is cut, a JSON caller gets a 504."""
    timeouts = Timeouts(keepalive_seconds=0.01, silence_seconds=0.2)
    async with rigged(Settings(upstream=Upstream(verifies_ids="yes", lanes="off"), timeouts=timeouts)) as rig:
        asked = rig.ask("hello", stream=stream)
        create = await rig.host.create()
        await create.answer(said()[0])
        reply = await asked.reply()
        assert (reply.status, reply.cut) == ((200, True) if stream else (504, False))
        assert (b": keep-alive\n\n" in reply.body) is stream
        await create.line.closed()
