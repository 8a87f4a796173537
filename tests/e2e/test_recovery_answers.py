"""Recovery through the whole stack: answers that are errors, and frames that are no events."""

import msgspec
import pytest

from proxy.config import Lanes, Settings, Timeouts, Upstream
from proxy.simulator import Fault
from proxy.simulator.faults import What
from proxy.turns.outcome import End
from tests.e2e.stack import Chat, Reply, Stack, begun, chat, goes_on, stack

VERIFIED = Upstream(verifies_ids="yes")

both = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
with_or_without_lanes = pytest.mark.parametrize("lanes", ["on", "off"])
noise = pytest.mark.parametrize("what", ["garbage", "binary", "foreign_lane"])


async def struck(running: Stack, talk: Chat, fault: Fault) -> tuple[Reply, Reply]:
    """The answers to the same request under the same fault, through the proxy and over plain HTTP."""
    replies = []
    for base in (running.base, running.direct):
        running.sim.faults.add(fault)
        replies.append(await running.ask(talk.body, base=base))
    await running.outcome()
    return replies[0], replies[1]


async def recovers(running: Stack, talk: Chat, *reasons: str) -> None:
    """The turn after is right and in full; the one after that is a delta again."""
    reply = await running.ask(talk.body)
    assert (reply.status, reply.route, reply.cut) == (200, "full", False)
    assert reply.reason in reasons
    await running.outcome()
    await goes_on(running, talk.followed(reply.output))


@both
@pytest.mark.parametrize(("status", "code"), [(400, "invalid_prompt"), (429, "rate_limit_exceeded"), (503, None)])
async def test_an_early_error_is_that_of_plain_http(status: int, code: str | None, *, stream: bool) -> None:
    """An error instead of a first event: status, error object and Retry-After as over HTTP; its parent is gone."""
    fault = Fault("error", "start", status=status, code=code, message="No.", headers={"retry-after": "7"})
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat(stream=stream))
        proxied, direct = await struck(running, talk, fault)
        assert (proxied.status, proxied.error) == (direct.status, direct.error)
        assert proxied.headers["retry-after"] == direct.headers["retry-after"] == "7"
        assert proxied.streamed is False
        await recovers(running, talk, "rejected")


@both
async def test_an_error_in_mid_answer_is_that_of_plain_http(*, stream: bool) -> None:
    """An error after events: the same flat event, or the same JSON error, as over HTTP."""
    fault = Fault("error", "events", after=4, status=500, code="server_error", message="Sorry.")
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat(stream=stream))
        proxied, direct = await struck(running, talk, fault)
        assert (proxied.status, proxied.streamed, proxied.cut) == (direct.status, direct.streamed, direct.cut)
        if stream:
            assert [msgspec.json.decode(reply.frames[-1]) for reply in (proxied, direct)] == [
                {"type": "error", "code": "server_error", "message": "Sorry.", "param": None, "sequence_number": 4}
            ] * 2
        else:
            assert proxied.error == direct.error
        await recovers(running, talk, "rejected", "parent_continued")


@both
@pytest.mark.parametrize("what", ["failed", "incomplete"])
async def test_a_response_that_ends_short_is_passed_on(what: What, *, stream: bool) -> None:
    """response.failed and response.incomplete reach the caller; nothing is continued from them."""
    async with stack(settings=Settings(upstream=VERIFIED)) as running:
        talk = await begun(running, chat(stream=stream))
        proxied, direct = await struck(running, talk, Fault(what, "terminal"))
        assert proxied.response["status"] == direct.response["status"] == what
        assert proxied.types == direct.types
        await recovers(running, talk, "parent_continued")


@with_or_without_lanes
@both
@noise
async def test_noise_in_mid_answer_ends_that_turn_alone(what: What, lanes: Lanes, *, stream: bool) -> None:
    """A frame that is no event of the turn never reaches the caller: 502 or a cut body, and the next turn is right."""
    async with stack(settings=Settings(upstream=msgspec.structs.replace(VERIFIED, lanes=lanes))) as running:
        talk = await begun(running, chat(stream=stream))
        running.sim.faults.add(Fault(what, "events", after=3))
        reply = await running.ask(talk.body)
        assert (reply.status, reply.cut) == ((200, True) if stream else (502, False))
        assert b"not for you" not in reply.body
        await running.outcome()
        await recovers(running, talk, "parent_continued")


@both
async def test_noise_may_end_a_stream_in_words(*, stream: bool) -> None:
    """With `after_loss = "failed"` a stream that broke ends with response.failed; JSON stays a 502."""
    async with stack(settings=Settings(upstream=VERIFIED, after_loss="failed")) as running:
        running.sim.faults.add(Fault("garbage", "events", after=3))
        reply = await running.ask(chat(stream=stream).body)
        assert (reply.status, reply.cut) == (200 if stream else 502, False)
        assert not stream or reply.types[-1] == "response.failed"


@with_or_without_lanes
@pytest.mark.parametrize("what", ["garbage", "binary", "foreign_lane", "stray"])
async def test_noise_on_an_idle_socket_closes_it(what: What, lanes: Lanes) -> None:
    """What comes while nothing was asked is seen at once: the socket is given up, and the next turn goes in full."""
    async with stack(settings=Settings(upstream=msgspec.structs.replace(VERIFIED, lanes=lanes))) as running:
        talk = await begun(running, chat())
        await running.sim.strike(Fault(what, "now"))
        await running.sim.until(lambda: running.sim.connections == 0)
        talk, outcome = await goes_on(running, talk, "full", "connection_lost")
        assert outcome.replays == 0
        await goes_on(running, talk)


@both
async def test_a_host_that_says_nothing_is_given_up(*, stream: bool) -> None:
    """No first event within the limit: 504; the next turn is right."""
    settings = Settings(upstream=VERIFIED, timeouts=Timeouts(first_event_seconds=0.1))
    async with stack(settings=settings) as running:
        talk = await begun(running, chat(stream=stream))
        running.sim.faults.add(Fault("hang", "start"))
        reply = await running.ask(talk.body)
        assert (reply.status, reply.error["code"]) == (504, "openline_silence")
        await running.outcome()
        await recovers(running, talk, "parent_continued")


@both
async def test_a_host_that_falls_silent_is_given_up(*, stream: bool) -> None:
    """No further event within the limit: the stream is cut, JSON callers get a 504; the next turn is right."""
    settings = Settings(upstream=VERIFIED, timeouts=Timeouts(silence_seconds=0.1, keepalive_seconds=0.02))
    async with stack(settings=settings) as running:
        talk = await begun(running, chat(stream=stream))
        running.sim.faults.add(Fault("hang", "events", after=3))
        reply = await running.ask(talk.body)
        assert (reply.status, reply.cut) == ((200, True) if stream else (504, False))
        # While the host was silent a streaming caller was shown that the line is alive.
        assert (b"\n\n: keep-alive\n\n" in reply.body) is stream
        assert (await running.outcome()).end is (End.CUT if stream else End.ERROR)
        await recovers(running, talk, "parent_continued")
