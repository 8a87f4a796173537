"""Odd hosts: errors in shapes of their own, names that run out early, echoes that never come."""

from dataclasses import replace

import pytest

from proxy.config import Pool
from proxy.simulator import Fault
from proxy.simulator.behaviour import Link
from proxy.tasks import Tasks
from tests.e2e.hosts import HOSTS
from tests.e2e.stack import Chat, Stack, chat, prompt_of
from tests.e2e.test_hosts import (
    At,
    all_followed,
    ask_all,
    at,
    authority,
    callers,
    keeps_to,
    named,
    ran_as_asked,
    routes,
)

__all__ = ["at", "authority"]  # the fixtures


@pytest.mark.parametrize("omits", [(), ("status",)], ids=["status", "no status"])
async def test_chatgpt_refuses_a_lane(at: At, omits: tuple[str, ...]) -> None:
    """`{"type":"error","status":400,"error":{"detail":"Unsupported parameter: stream_id"}}` is about the lane."""
    behaviour = {"lane_refusal": "text", "error_shape": "detail", "error_omits": frozenset(omits)}
    async with at(HOSTS["ChatGPT"], lanes="on", **behaviour) as running:
        (reply,) = await ask_all(running, [chat("Look things up. [[rounds=2]]")])
        assert (reply.route, reply.reason) == ("full", "lanes_refused")
        running.sim.behaviour = replace(running.sim.behaviour, error_shape="wrapped")
        assert not named(running.creates()[-1])


async def test_a_host_without_deltas_needs_no_socket_a_turn(at: At) -> None:
    """What a host that is not trusted remembers is never continued: it keeps no lane from the next turn."""
    async with at(HOSTS["LiteLLM"]) as running:
        talk = chat("Look things up. [[rounds=9]]")
        for _ in range(6):
            (reply,) = await ask_all(running, [talk])
            talk = talk.followed(reply.output)
        assert len(running.sim.handshakes) == 1


@pytest.mark.parametrize("omits", [("code",), ("type", "code")], ids=["no code", "no type, no code"])
async def test_xais_age_limit_without_a_code(at: At, omits: tuple[str, ...]) -> None:
    """In answer to a create, told by its words alone: that create did not run, and goes elsewhere unseen."""
    async with at(HOSTS["xAI"], error_omits=frozenset(omits)) as running:
        talk = chat("Look things up. [[rounds=3]]")
        (reply,) = await ask_all(running, [talk])
        grown = talk.followed(reply.output)
        running.sim.faults.add(Fault("age_limit", "start"))
        (reply,) = await ask_all(running, [grown])
        assert (reply.route, reply.reason) == ("full", "rotated")
        assert running.prompts() == [prompt_of(talk), prompt_of(grown)]


async def test_those_who_wait_for_an_echo_that_never_comes(at: At) -> None:
    """As soon as a host is seen to have no lanes, who waits for one dials: nobody waits for the others' turns."""
    pool = Pool(wait_seconds=5.0)
    async with at(HOSTS["unknown"], lanes="on", lane_refusal="ignored", pool=pool) as running:
        tasks = Tasks()
        running.sim.faults.add(Fault("hang", "events", after=2, times=16, skip=1))
        asked = callers(20)
        answers = [tasks.start(running.ask(talk.body), "caller") for talk in asked]
        await running.sim.until(lambda: len(running.prompts()) == len(asked), 2.0)
        running.sim.faults.clear()
        replies = [await each for each in answers]
        assert routes(replies) == {("full", "first"): 20}
        ran_as_asked(running, asked)


async def test_a_ninth_caller_is_not_held_up_by_eight_that_think(at: At) -> None:
    """What turns in one breath wait for is an echo, which the made-up id ahead of them brings: no model need speak."""
    async with at(HOSTS["OpenAI"], pool=Pool(wait_seconds=5.0)) as running:
        running.sim.faults.add(Fault("hang", times=99))
        tasks, asked = Tasks(), callers(9)
        answers = [tasks.start(running.ask(talk.body), "caller") for talk in asked[:8]]
        await running.sim.until(lambda: len(running.sim.faults.struck) == 8)
        answers.append(tasks.start(running.ask(asked[8].body), "ninth caller"))
        await running.sim.until(lambda: len(running.sim.faults.struck) == 9, 2.0)
        running.sim.faults.clear()
        assert routes([await answer for answer in answers]) == {("full", "first"): 9}


async def test_names_that_are_refused_for_no_reason_told(at: At) -> None:
    """It is learned how few there are, and each turn is answered all the same."""
    async with at(HOSTS["OpenAI"], named_lanes=2, error_shape="text") as running:
        first = callers(24)
        second = all_followed(first, await ask_all(running, first))
        third = all_followed(second, await ask_all(running, second))
        before = len(running.creates())
        await ask_all(running, third)
        assert {entry.outcome for entry in running.creates()[before:]} == {"completed"}


async def test_errors_that_name_no_lane_cost_others_once(at: At) -> None:
    """From then on the host has no lanes, nor do connections that had some: a second mistake is its caller's alone."""
    async with at(HOSTS["OpenAI"], error_omits=frozenset({"stream_id"})) as running:
        first = callers()
        second = all_followed(first, await ask_all(running, first))
        await mistaken_among(running, second)
        before = len(running.creates())
        assert await mistaken_among(running, second) == (400, {200})
        assert not any(named(entry) for entry in running.creates()[before:])


async def mistaken_among(running: Stack, talks: list[Chat]) -> tuple[int, set[int]]:
    """While all of these are being answered somebody makes a mistake: the status that he gets, and those of theirs."""
    tasks, struck = Tasks(), len(running.sim.faults.struck)
    refused = [entry for entry in running.creates() if entry.outcome == "rejected"]
    running.sim.faults.add(Fault("hang", "events", after=2, times=len(talks)))
    asked = [tasks.start(running.ask(talk.set(stream=False).body), "caller") for talk in talks]
    await running.sim.until(lambda: len(running.sim.faults.struck) == struck + len(talks))
    wrong = chat("").body | {"input": [{"type": "function_call_output", "call_id": "none", "output": "x"}]}
    mistaken = tasks.start(running.ask(wrong), "mistaken caller")
    await running.sim.until(lambda: sum(one.outcome == "rejected" for one in running.creates()) > len(refused))
    running.sim.faults.clear()
    return (await mistaken).status, {(await one).status for one in asked}


async def test_a_crowd_far_from_its_host(at: At) -> None:
    """By the default settings a turn waits for a dial and an echo though both take longer than its wait for others."""
    async with at(HOSTS["OpenAI"], link=Link(latency=0.28)) as running:
        asked = callers(24)
        assert routes(await ask_all(running, asked)) == {("full", "first"): 24}
        keeps_to(running, asked, lanes=True)
        assert len(running.sim.handshakes) <= 8


@pytest.mark.parametrize("most", [1, 2])
async def test_more_callers_than_names(at: At, most: int) -> None:
    """They stay on sockets: a host that has shown how few names it gives is not asked for more, twice a turn."""
    async with at(HOSTS["OpenAI"], named_lanes=most) as running:
        first = callers(24)
        replies = await ask_all(running, first)
        second = all_followed(first, replies)
        more = await ask_all(running, second)
        assert "http" not in {reply.route for reply in (*replies, *more)}
        ran_as_asked(running, first + second)
