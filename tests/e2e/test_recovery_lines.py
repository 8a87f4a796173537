"""Recovery through the whole stack: hosts that lose context, frames too large, callers that leave, lines that died."""

import asyncio
from dataclasses import replace

import pytest

from proxy.config import Lanes, Pool, Settings, Upstream
from proxy.simulator import Behaviour, Fault
from proxy.tasks import Tasks
from proxy.turns.outcome import End
from tests.e2e.link import Link
from tests.e2e.stack import Chat, Stack, begun, chat, goes_on, prompt_of, stack
from tests.upstream.peer import named, over, until

VERIFIED = Upstream(verifies_ids="yes")
LONG = "Look things up. [[rounds=3 calls=1]] " + "words " * 1_000

both = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


@both
async def test_an_unknown_host_is_asked_once(*, stream: bool) -> None:
    """A host that refuses a made-up id gets deltas from its second turn on, and is not asked again."""
    async with stack() as running:
        talk = await begun(running, chat(stream=stream))
        for _ in range(3):
            talk, _ = await goes_on(running, talk)
        probes = [entry for entry in running.sim.journal if not entry.generate]
        assert [(probe.outcome, probe.error_code) for probe in probes] == [("rejected", "previous_response_not_found")]


@both
async def test_a_lenient_host_gets_no_deltas(*, stream: bool) -> None:
    """A host that continues made-up ids would lose context unseen: everything goes to it in full, and is right."""
    async with stack(Behaviour(lenient_ids=True)) as running:
        talk = await begun(running, chat(stream=stream))
        for _ in range(3):
            talk, _ = await goes_on(running, talk, "full", "host_unverified")
            await running.sim.strike(Fault("forget", "now"))


@both
async def test_lost_context_trips_the_wire(*, stream: bool) -> None:
    """Far fewer tokens than the delta implied: it is said aloud, and no more deltas go to that host."""
    async with stack(Behaviour(lenient_ids=True), Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat(LONG, stream=stream))
        talk, outcome = await goes_on(running, talk)
        assert not outcome.context_suspect
        await running.sim.strike(Fault("forget", "now"))
        reply = await running.ask(talk.body)
        assert (reply.status, reply.route) == (200, "delta")
        assert (await running.outcome()).context_suspect
        talk, _ = await goes_on(running, talk, "full", "parent_continued")
        await goes_on(running, talk, "full", "context_suspect")
        await begun(running, chat("Another conversation."))


@both
async def test_a_frame_over_the_limit_goes_over_http(*, stream: bool) -> None:
    """A create larger than the host's limit is not even tried on a socket, while small ones still are."""
    settings = Settings(upstream=Upstream(verifies_ids="yes", frame_limit_bytes=4_000))
    async with stack(Behaviour(frame_limit=4_000), settings) as running:
        await goes_on(running, chat(LONG, stream=stream), "http", "oversize")
        assert running.creates() == []
        await goes_on(running, await begun(running, chat(stream=stream)))


@both
async def test_a_frame_over_an_unknown_limit_goes_over_http(*, stream: bool) -> None:
    """A host that closes with 1009 gets that turn over HTTP, and the next one on a new socket."""
    async with stack(Behaviour(frame_limit=4_000), Settings(upstream=VERIFIED)) as running:
        await goes_on(running, chat(LONG, stream=stream), "http", "oversize")
        await goes_on(running, await begun(running, chat(stream=stream)))


async def test_deltas_go_on_where_the_whole_history_is_over_the_limit() -> None:
    """A conversation that has outgrown the frame limit continues as deltas: they are small."""
    limit = 4_000
    settings = Settings(upstream=Upstream(verifies_ids="yes", frame_limit_bytes=limit))
    async with stack(Behaviour(frame_limit=limit), settings) as running:
        talk = await begun(running, chat("Talk. [[rounds=0]]"))
        size = 0
        while size < 2 * limit:
            reply = await running.ask(talk.body)
            assert (reply.status, reply.route) == (200, "delta")
            assert running.prompts()[-1] == prompt_of(talk)
            talk = talk.followed(reply.output, "Tell me more. [[rounds=0 size=900]]")
            size = len(str(talk.body))


async def _leave(running: Stack, talk: Chat) -> None:
    """Ask while the host hangs in mid-answer, and hang up."""
    running.sim.faults.add(Fault("hang", "events", after=3))
    tasks = Tasks()
    asked = tasks.start(running.ask(talk.body), "caller")
    await running.sim.until(lambda: len(running.sim.faults.struck) == 1)
    assert not asked.done()
    await tasks.close()


@both
async def test_a_caller_who_leaves_stops_the_generation(*, stream: bool) -> None:
    """Without lanes the socket is closed, as HTTP's would be; the caller's next turn is right."""
    settings = Settings(upstream=Upstream(verifies_ids="yes", lanes="off"))
    async with stack(settings=settings) as running:
        talk = await begun(running, chat(stream=stream))
        await _leave(running, talk)
        assert (await running.outcome()).end is End.HUNG_UP
        await running.sim.until(lambda: running.sim.connections == 0)
        talk, _ = await goes_on(running, talk, "full", "parent_continued")
        await goes_on(running, talk)


@both
async def test_a_caller_who_leaves_takes_no_other_down(*, stream: bool) -> None:
    """With lanes the socket stays open for its other conversations; nothing of the abandoned answer reaches anyone."""
    settings = Settings(upstream=Upstream(verifies_ids="yes", lanes="on"))
    async with stack(settings=settings) as running:
        other = await begun(running, chat("Another. [[rounds=3]]", stream=stream))
        talk = await begun(running, chat(stream=stream))
        await _leave(running, talk)
        assert (await running.outcome()).end is End.HUNG_UP
        other, _ = await goes_on(running, other)
        running.sim.faults.release()
        talk, _ = await goes_on(running, talk, "full", "parent_continued")
        await goes_on(running, talk)


@both
@pytest.mark.parametrize("lanes", ["on", "off"])
async def test_a_line_that_died_unseen_is_found_out(lanes: Lanes, *, stream: bool) -> None:
    """A socket that was silent for long is pinged with the turn; no pong: the turn is replayed on a new one."""
    settings = Settings(
        upstream=Upstream(verifies_ids="yes", lanes=lanes), pool=Pool(doubtful_after_seconds=0, pong_seconds=0.05)
    )
    link = Link()
    async with stack(settings=settings, link=link) as running:
        talk = await begun(running, chat(stream=stream))
        link.freeze()
        talk, outcome = await goes_on(running, talk, "full", "connection_lost")
        assert outcome.replays == 1
        await goes_on(running, talk)


@both
async def test_a_large_create_on_a_slow_uplink_is_not_taken_for_a_dead_line(*, stream: bool) -> None:
    """The ping goes ahead of the create: its pong is back while most of the create is still on its way."""
    upstream = Upstream(verifies_ids="yes", compression=False)
    link, tasks = Link(), Tasks()
    async with stack(settings=Settings(upstream=upstream, pool=Pool(pong_seconds=0.3)), link=link) as running:
        link.narrow(100_000)
        asked = tasks.start(running.ask(chat("words " * 150_000, stream=stream).body), "caller")
        await until(lambda: any(task.get_name() == "doubtful line" for task in asyncio.all_tasks()))
        await over(named("doubtful line"))
        assert not running.creates()
        link.widen()
        reply = await asked
        assert (reply.status, reply.route, reply.cut) == (200, "full", False)
        assert (await running.outcome()).replays == 0
        assert len(running.sim.handshakes) == 1


@both
async def test_a_host_that_only_thinks_is_not_taken_for_dead(*, stream: bool) -> None:
    """A pong proves the line: a turn on a doubtful line may take longer than the pong may."""
    settings = Settings(upstream=VERIFIED, pool=Pool(doubtful_after_seconds=0, pong_seconds=0.05))
    async with stack(settings=settings) as running:
        talk = await begun(running, chat(stream=stream))
        running.sim.behaviour = replace(running.sim.behaviour, think_seconds=0.2)
        _, outcome = await goes_on(running, talk)
        assert outcome.replays == 0


@pytest.mark.parametrize("lanes", ["on", "off"])
async def test_callers_with_different_keys_never_share_a_socket(lanes: Lanes) -> None:
    """The same conversation under another key starts anew, on a socket with that key."""
    settings = Settings(upstream=Upstream(verifies_ids="yes", lanes=lanes))
    async with stack(settings=settings) as running:
        talk = chat()
        replies = await asyncio.gather(*(running.ask(talk.body, key=key) for key in ("one", "two")))
        talk = talk.followed(replies[0].output)
        for key in ("one", "two"):
            assert (await running.ask(talk.body, key=key)).route == "delta"
        assert (await running.ask(talk.body, key="three")).route == "full"
        keys = {
            (entry.connection, {name.lower(): value for name, value in entry.headers}["authorization"])
            for entry in running.creates()
        }
        assert sorted(key for _, key in keys) == ["Bearer one", "Bearer three", "Bearer two"]
