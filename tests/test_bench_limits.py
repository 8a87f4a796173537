"""The benchmarks of time and of number: each runs at its smallest size, and keeps its own account right."""

import msgspec
import pytest

from bench import account
from bench.caller import Caller, Tools, work
from bench.chat import Chat, chat, text
from bench.crowd import Crowd, crowd
from bench.loop import Loop, loop
from bench.plan import Plan
from bench.process import BenchError
from bench.result import Result
from bench.shown import nowhere
from bench.stack import Host, simulator
from bench.startup import Startup, startup
from bench.websocket import websocket
from proxy.simulator import Link

SMALL = Plan(
    loop_rounds=2,
    loop_output_bytes=2_000,
    loop_repeats=1,
    startups=1,
    crowd=6,
    crowd_bytes=8_000,
    crowd_at_once=2,
)


def told(result: Result) -> bytes:
    """Its figures as JSON, once no turn failed and its table is whole."""
    assert result.sound
    assert {len(row) for row in result.cells} == {len(result.cells[0])}
    assert len(list(result.lines())) == len(result.cells) + 2
    return msgspec.json.encode(list(result.figures))


async def test_the_loop_sends_the_same_turns_each_way() -> None:
    """All three ways are given the same prompts; over WebSockets all turns but the first are deltas, and small ones."""
    plain, openline, own = msgspec.json.decode(told(await loop(SMALL, nowhere)), type=list[Loop])
    assert [one.turns for one in (plain, openline, own)] == [3, 3, 3]
    assert [one.deltas for one in (plain, openline, own)] == [0, 2, 2]
    assert plain.up_bytes == plain.request_bytes == openline.request_bytes
    assert own.up_bytes == own.request_bytes < openline.up_bytes < plain.up_bytes
    assert plain.of_plain == own.of_websocket == 1.0
    assert openline.of_plain == pytest.approx(openline.seconds / plain.seconds, abs=0.01)


async def test_a_link_is_charged_alike_on_both_transports() -> None:
    """A body and a frame both wait for as long as their bytes take on the uplink, and for a round trip."""
    link = Link(latency=0.05, uplink=200_000)
    opening = chat().said(f"{text(20_000, 'link')} [[rounds=0]]")
    async with simulator(Host(lanes=False, link=link)) as (base, _upstream, session, _home), websocket(base) as own:
        turns = [await Caller(session, base).ask(opening), await own.ask(opening)]
    for turn in turns:
        assert not turn.error
        assert turn.sent_bytes > 20_000
        assert turn.wait >= link.delay(turn.sent_bytes)


async def test_an_own_websocket_sends_what_is_new() -> None:
    """Its answers are those to the caller's whole history, of which each turn sends the rest alone."""
    opening = chat().said("Look at all of it. [[rounds=2 calls=2 reasoning=1]]")
    async with simulator(Host(lanes=False)) as (base, upstream, _session, _home):
        async with websocket(base) as own:
            turns = await work(own.ask, opening, ["one", "two"], Tools(0.0))
        await upstream.settled(len(turns))
    assert [turn.route for turn in turns] == ["full", "delta", "delta"]
    assert account.wrong(turns) == 0
    assert account.errors(turns) == {}
    assert (upstream.counts.sockets, upstream.counts.up_bytes) == (1, sum(turn.sent_bytes for turn in turns))


async def test_an_own_websockets_refused_turn_is_an_error() -> None:
    """An answer that is none is counted as an error, by the name of the event that ended it."""
    async with simulator(Host(lanes=False)) as (base, _upstream, _session, _home), websocket(base) as own:
        turn = await own.ask(Chat({"model": 1}))
    assert account.errors([turn]) == {"error": 1}


async def test_a_start_ends_with_a_proxy_that_listens() -> None:
    """Each command starts as often as the plan says; Openline takes connections by its first line, after Python."""
    openline, python, libraries = msgspec.json.decode(told(await startup(SMALL, nowhere)), type=list[Startup])
    assert [one.starts for one in (openline, python, libraries)] == [1, 1, 1]
    for one in (openline, python, libraries):
        assert 0 < one.seconds_least <= one.seconds_p50
        assert len(one.all_seconds) == 1


async def test_a_crowd_is_held_with_a_socket_each() -> None:
    """Each conversation begins once and goes on twice, as a delta on its own socket; over plain HTTP there is none."""
    held, plain = msgspec.json.decode(told(await crowd(SMALL, nowhere)), type=list[Crowd])
    assert (held.turns, plain.turns) == (18, 18)
    assert (held.first_ways, held.later_ways, held.deltas) == ({"full": 6}, {"delta": 12}, 1.0)
    assert (plain.first_ways, plain.later_ways, plain.deltas) == ({"": 6}, {"": 12}, 0.0)
    assert (held.sockets, plain.sockets) == (6, 2)
    assert 0 < held.later_wait_p50 <= held.later_wait_p99
    assert held.memory
    assert held.memory.none < held.memory.last
    assert plain.memory is None


async def test_a_crowd_too_large_for_the_system_is_not_begun() -> None:
    """Where more sockets are needed than there can be open files, the error says how many there can be."""
    with pytest.raises(BenchError, match=r"1000000000 sockets take \d+ open files, of which \d+ are allowed"):
        await crowd(Plan(crowd=1_000_000_000), nowhere)
