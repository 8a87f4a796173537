"""Recovery through the whole stack: what upgrades, first events and lost lines come to for the caller."""

from dataclasses import replace

import msgspec
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseCreatedEvent, ResponseFailedEvent

from proxy.config import Pool, Settings, Upstream
from proxy.simulator import Behaviour, Fault
from proxy.simulator.errors import ErrorShape
from proxy.simulator.faults import What
from proxy.turns.outcome import End
from tests.e2e.stack import TOOLS, Item, begun, chat, goes_on, stack

VERIFIED = Upstream(verifies_ids="yes")
ACTING: Item = {"type": "code_interpreter", "container": {"type": "auto"}}

both = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
lost = pytest.mark.parametrize("what", ["abort", "close"])


@both
@pytest.mark.parametrize("status", [404, 405, 426])
async def test_a_host_without_websocket_mode_is_asked_over_http(status: int, *, stream: bool) -> None:
    """A refused upgrade of this kind sends turns over HTTP, and the host is not asked again for a while."""
    async with stack(Behaviour(websocket=False, websocket_refusal=status)) as running:
        talk, _ = await goes_on(running, chat(stream=stream), "http", "no_websocket")
        await goes_on(running, talk, "http", "no_websocket")
        assert [handshake.status for handshake in running.sim.handshakes] == [status]


@both
async def test_a_host_that_got_websocket_mode_is_found_out(*, stream: bool) -> None:
    """Once the time is up the host is asked again, and the conversation goes on as deltas."""
    settings = Settings(upstream=VERIFIED, pool=Pool(recheck_seconds=0))
    async with stack(Behaviour(websocket=False), settings) as running:
        talk, _ = await goes_on(running, chat(stream=stream), "http", "no_websocket")
        running.sim.behaviour = replace(running.sim.behaviour, websocket=True)
        talk, _ = await goes_on(running, talk, "full", "no_match")
        await goes_on(running, talk)


@both
@pytest.mark.parametrize("status", [401, 403])
async def test_a_forbidden_upgrade_is_asked_over_http(status: int, *, stream: bool) -> None:
    """A middlebox may forbid upgrades alone: plain HTTP answers, and after some of them nothing is dialled any more."""
    settings = Settings(upstream=VERIFIED, pool=Pool(breaker_failures=2))
    async with stack(settings=settings) as running:
        running.sim.faults.add(Fault("refuse", "upgrade", status=status, times=9))
        talk, _ = await goes_on(running, chat(stream=stream), "http", "upgrade_refused")
        talk, _ = await goes_on(running, talk, "http", "upgrade_refused")
        await goes_on(running, talk, "http", "breaker_open")
        assert len(running.sim.handshakes) == 2


@both
@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key_gets_the_apis_own_answer(status: int, *, stream: bool) -> None:
    """Where the key itself is refused, the caller gets what plain HTTP answers, headers and all."""
    no = {"status": status, "code": "no_way", "message": "Not with this key.", "headers": {"retry-after": "7"}}
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        replies = []
        for base in (running.base, running.direct):
            running.sim.faults.add(Fault("refuse", "upgrade", status=status))
            running.sim.faults.add(msgspec.convert({"what": "error", "transport": "http", **no}, Fault))
            replies.append(await running.ask(chat(stream=stream).body, base=base))
            running.sim.faults.clear()
        proxied, direct = replies
        assert (proxied.status, proxied.error) == (direct.status, direct.error)
        assert (proxied.status, proxied.headers["retry-after"], proxied.reason) == (status, "7", "upgrade_refused")


@both
async def test_a_refusal_of_the_caller_reaches_the_caller(*, stream: bool) -> None:
    """Status, error and Retry-After of a 429 on the upgrade are the caller's answer; the next turn is not affected."""
    fault = Fault("refuse", "upgrade", status=429, code="no_way", message="Not now.", headers={"retry-after": "7"})
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        running.sim.faults.add(fault)
        reply = await running.ask(chat(stream=stream).body)
        assert (reply.status, reply.headers["retry-after"]) == (429, "7")
        assert (reply.error["code"], reply.error["message"]) == ("no_way", "Not now.")
        await running.outcome()
        await goes_on(running, await begun(running, chat(stream=stream)))


@both
@pytest.mark.parametrize("what", ["refuse", "abort", "close"])
async def test_a_failed_dial_is_tried_once_more(what: What, *, stream: bool) -> None:
    """One failed dial is not seen by the caller; two send the turn over HTTP, and the next one dials again."""
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        running.sim.faults.add(Fault(what, "upgrade"))
        await begun(running, chat(stream=stream))
        await running.sim.drop_connections()
        running.sim.faults.add(Fault(what, "upgrade", times=2))
        talk, _ = await goes_on(running, chat("Again.", stream=stream), "http", "dial_failed")
        talk, _ = await goes_on(running, talk, "full", "no_match")
        await goes_on(running, talk)


@both
async def test_dials_that_keep_failing_are_given_up_for_a_while(*, stream: bool) -> None:
    """After some failures in a row turns go over HTTP at once, without another dial."""
    settings = Settings(upstream=VERIFIED, pool=Pool(breaker_failures=2))
    async with stack(settings=settings) as running:
        running.sim.faults.add(Fault("refuse", "upgrade", status=500, times=9))
        talk, _ = await goes_on(running, chat(stream=stream), "http", "dial_failed")
        dialled = len(running.sim.handshakes)
        await goes_on(running, talk, "http", "breaker_open")
        assert len(running.sim.handshakes) == dialled == 2


@both
@pytest.mark.parametrize(
    ("status", "shape", "omits"),
    [
        (400, "wrapped", frozenset()),
        (404, "wrapped", frozenset()),
        (400, "wrapped", frozenset({"code"})),
        (400, "flat", frozenset({"status"})),
    ],
)
async def test_a_forgotten_response_is_never_seen(
    status: int, shape: ErrorShape, omits: frozenset[str], *, stream: bool
) -> None:
    """Where the host forgot a response, the full context goes out on the same socket; the caller knows nothing."""
    behaviour = Behaviour(not_found_status=status, error_shape=shape, error_omits=omits)
    async with stack(behaviour, Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat(stream=stream))
        await running.sim.strike(Fault("forget", "now"))
        talk, outcome = await goes_on(running, talk, "full", "not_found")
        assert outcome.replays == 1
        await goes_on(running, talk)
        assert len(running.sim.handshakes) == 1


@both
async def test_the_age_limit_between_turns_is_never_seen(*, stream: bool) -> None:
    """A socket that reached its age limit while idle is replaced."""
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat(stream=stream))
        await running.sim.strike(Fault("age_limit", "now"))
        await running.sim.until(lambda: running.sim.connections == 0)
        talk, outcome = await goes_on(running, talk, "full", "rotated")
        assert outcome.replays == 0
        await goes_on(running, talk)


@both
async def test_the_age_limit_as_first_event_is_never_seen(*, stream: bool) -> None:
    """A socket that answers a create with its age limit is replaced within the turn."""
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat(stream=stream))
        running.sim.faults.add(Fault("age_limit", "start"))
        talk, outcome = await goes_on(running, talk, "full", "rotated")
        assert outcome.replays == 1
        await goes_on(running, talk)


@both
@lost
async def test_a_line_lost_before_the_first_event_is_replayed(what: What, *, stream: bool) -> None:
    """The full context goes out once more on a new socket; the replay is counted."""
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat(stream=stream))
        running.sim.faults.add(Fault(what, "start"))
        talk, outcome = await goes_on(running, talk, "full", "connection_lost")
        assert outcome.replays == 1
        await goes_on(running, talk)


@both
@pytest.mark.parametrize("why", ["twice", "unsent", "acts"])
async def test_what_may_not_run_twice_is_not_replayed(why: str, *, stream: bool) -> None:
    """Lost again, told not to replay, or with a hosted tool that acts: 502, which SDKs retry by themselves."""
    settings = Settings(upstream=VERIFIED, replay="unsent" if why == "unsent" else "always")
    tools = [*TOOLS, ACTING] if why == "acts" else TOOLS
    async with stack(settings=settings) as running:
        talk = await begun(running, chat(stream=stream, tools=tools))
        running.sim.faults.add(Fault("abort", "start", times=2 if why == "twice" else 1))
        reply = await running.ask(talk.body)
        assert (reply.status, reply.error["code"]) == (502, "openline_line_lost")
        assert (await running.outcome()).replays == (why == "twice")
        # The lost turn used its parent up, so its retry is told that.
        talk, _ = await goes_on(running, talk, "full", "parent_continued")
        await goes_on(running, talk)


@lost
async def test_json_lost_in_mid_answer_is_replayed(what: What) -> None:
    """Nothing was delivered to a JSON caller: its answer comes from the replay."""
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat())
        running.sim.faults.add(Fault(what, "events", after=4))
        talk, outcome = await goes_on(running, talk, "full", "connection_lost")
        assert outcome.replays == 1
        await goes_on(running, talk)


@pytest.mark.parametrize("why", ["stored", "unsent", "acts"])
async def test_json_lost_in_mid_answer_may_be_a_bad_gateway(why: str) -> None:
    """A stored response, `replay = "unsent"` or an acting tool: what began may count, so it is not run twice."""
    settings = Settings(upstream=VERIFIED, replay="unsent" if why == "unsent" else "always")
    talk = chat(store=why == "stored", tools=[*TOOLS, ACTING] if why == "acts" else TOOLS)
    async with stack(settings=settings) as running:
        talk = await begun(running, talk)
        running.sim.faults.add(Fault("abort", "events", after=4))
        reply = await running.ask(talk.body)
        assert (reply.status, reply.error["code"]) == (502, "openline_line_lost")
        await running.outcome()
        route = ("delta", "") if why == "stored" else ("full", "parent_continued")
        talk, _ = await goes_on(running, talk, *route)
        await goes_on(running, talk)


@lost
async def test_a_stream_lost_in_mid_answer_is_cut(what: What) -> None:
    """The caller sees what it would see of a lost line: a body without its last chunk and without an end."""
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat(stream=True))
        running.sim.faults.add(Fault(what, "events", after=4))
        reply = await running.ask(talk.body)
        assert (reply.status, reply.cut, reply.types[0], len(reply.types)) == (200, True, "response.created", 4)
        assert (await running.outcome()).end is End.CUT
        talk, _ = await goes_on(running, talk, "full", "parent_continued")
        await goes_on(running, talk)


@lost
async def test_a_stream_lost_in_mid_answer_may_say_so(what: What) -> None:
    """With `after_loss = "failed"` the last event is response.failed, and the body is whole."""
    async with stack(settings=Settings(upstream=VERIFIED, after_loss="failed")) as running:
        talk = await begun(running, chat(stream=True))
        running.sim.faults.add(Fault(what, "events", after=4))
        reply = await running.ask(talk.body)
        assert (reply.status, reply.cut, reply.types[-1], len(reply.types)) == (200, False, "response.failed", 5)
        await running.outcome()
        talk, _ = await goes_on(running, talk, "full", "parent_continued")
        await goes_on(running, talk)


@lost
async def test_the_sdk_takes_the_failure_that_is_said(what: What) -> None:
    """`responses.stream()` of the openai SDK ends with the failed response itself, under the id that it began with."""
    async with (
        stack(settings=Settings(upstream=VERIFIED, after_loss="failed")) as running,
        AsyncOpenAI(api_key="k", base_url=running.base, max_retries=0) as client,
    ):
        running.sim.faults.add(Fault(what, "events", after=4))
        async with client.responses.stream(model="gpt-5.4", input="Look things up.", store=False) as stream:
            seen = [event async for event in stream]
        first, last = seen[0], seen[-1]
        assert isinstance(first, ResponseCreatedEvent)
        assert isinstance(last, ResponseFailedEvent)
        assert (last.response.id, last.response.status) == (first.response.id, "failed")
        assert last.response.error is not None
        assert "Openline" in last.response.error.message
        assert [event.sequence_number for event in seen] == list(range(len(seen)))
