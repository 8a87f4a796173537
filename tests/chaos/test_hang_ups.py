"""Hang-ups: whenever a caller goes, no frame of its answer reaches another turn, and nothing is left of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest

from proxy.config import Lanes, Pool, Settings, Upstream
from proxy.core.lane import State
from proxy.turns.outcome import End
from tests.chaos.census import check_maps, connections, held, nothing_left, of_turns, process, quiet, until
from tests.chaos.rig import Asked, Create, Rig, rigged, right
from tests.upstream.peer import event, failure

both = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
with_and_without_lanes = pytest.mark.parametrize("lanes", ["on", "off"])
Moment = Literal["before the first event", "between events", "at the terminal event"]


@asynccontextmanager
async def running(
    lanes: Lanes, *, verifies: Literal["auto", "yes"] = "yes", pool: Pool | None = None
) -> AsyncIterator[Rig]:
    """A rig that ends as empty as it began."""
    before = process()
    async with rigged(Settings(upstream=Upstream(verifies_ids=verifies, lanes=lanes), pool=pool or Pool())) as rig:
        yield rig
        await quiet(rig.app)
        check_maps(rig.app, 1, 20_000)
        assert of_turns() == 0
        assert rig.host.unanswered == 0
    await nothing_left(before)


async def begun(rig: Rig, name: str, streaming: int, *, stream: bool) -> tuple[Asked, Create, list[bytes]]:
    """A caller whose answer has begun; the frames that are to come. `streaming` lanes are at it now."""
    asked = rig.ask(name, stream=stream)
    create = await rig.host.create()
    answer = create.said(f"for {name}")
    assert await create.answer(answer[0])
    await rig.lanes_in(State.STREAMING, streaming)
    return asked, create, answer


async def served(rig: Rig, name: str, *, stream: bool, between: tuple[Create, list[bytes]] | None = None) -> Create:
    """A turn that is answered by its own frames alone, while those `between` come on another lane."""
    asked = rig.ask(name, stream=stream)
    create = await rig.host.create()
    assert create.text == name
    answer = create.said(f"for {name}")
    left = list(between[1]) if between else []
    for frame in answer:
        if between and left:
            assert await between[0].answer(left.pop(0))
        assert await create.answer(frame)
    if between:
        assert await between[0].answer(*left)
    right(await asked.reply(), answer, stream=stream)
    return create


async def reach(rig: Rig, moment: Moment, streaming: int, *, stream: bool) -> tuple[Asked, Create, list[bytes]]:
    """A caller who is about to leave; what of its answer is to come."""
    if moment == "before the first event":
        asked = rig.ask("leaver", stream=stream)
        create = await rig.host.create()
        return asked, create, create.said("abandoned")
    asked, create, answer = await begun(rig, "leaver", streaming, stream=stream)
    if moment == "between events":
        return asked, create, answer[1:]
    assert await create.answer(*answer[1:3])
    return asked, create, answer[3:]


@both
@pytest.mark.parametrize("moment", ["before the first event", "between events", "at the terminal event"])
async def test_no_frame_slips_on_a_shared_socket(moment: Moment, *, stream: bool) -> None:
    """The rest comes between the events of two others: each gets its own, and then the lane is used again."""
    async with running("on") as rig:
        other, there, answer = await begun(rig, "bystander", 1, stream=stream)
        leaver, left, rest = await reach(rig, moment, 2, stream=stream)
        assert left.line is there.line
        leaver.leave()
        if moment == "at the terminal event":  # in the same breath
            assert await left.answer(*rest)
            rest = []
        assert (await rig.ended(1)).end in {End.HUNG_UP} | ({End.COMPLETED} if not rest else set())
        if rest:
            beside = await served(rig, "newcomer", stream=stream, between=(left, rest))
            assert beside.line is there.line
            assert beside.lane != left.lane
        await rig.lanes_in(State.IDLE, len(rig.states()) - 1)
        assert (await served(rig, "successor", stream=stream)).line is there.line
        assert await there.answer(*answer[1:])
        right(await other.reply(), answer, stream=stream)
        assert rig.host.upgrades == 1


@both
@pytest.mark.parametrize("moment", ["before the first event", "between events", "at the terminal event"])
async def test_no_frame_slips_on_sockets_of_their_own(moment: Moment, *, stream: bool) -> None:
    """Without lanes the socket is closed, which stops the generation; another's answer and the next turn go on."""
    async with running("off") as rig:
        other, there, answer = await begun(rig, "bystander", 1, stream=stream)
        leaver, left, rest = await reach(rig, moment, 2, stream=stream)
        assert left.line is not there.line
        leaver.leave()
        if moment == "at the terminal event":  # in the same breath: the answer may be whole, and its line be kept
            await left.answer(*rest)
            await rig.ended(1)
        else:
            assert (await rig.ended(1)).end is End.HUNG_UP
            await left.line.closed()
            assert not await left.answer(*rest)
        await served(rig, "newcomer", stream=stream)
        assert await there.answer(*answer[1:])
        right(await other.reply(), answer, stream=stream)
        assert rig.host.upgrades == 3


@both
async def test_a_long_abandoned_answer_costs_its_lane_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    """Over 256 KB the lane is given up: more of it comes, others get their own alone, and the socket goes with them."""
    monkeypatch.setattr("proxy.upstream.drain._SECONDS", 3_600.0)  # so that it is its bytes that cost it
    async with running("on") as rig:
        other, there, answer = await begun(rig, "bystander", 1, stream=stream)
        leaver, left, rest = await reach(rig, "between events", 2, stream=stream)
        leaver.leave()
        await rig.ended(1)
        piece = event("response.output_text.delta", **left.lane, output_index=0, delta="abandoned " * 10_000)
        assert await left.answer(piece, piece, piece)
        await rig.lanes_in(State.QUARANTINED)
        await served(rig, "newcomer", stream=stream, between=(left, [piece, *rest]))
        assert await there.answer(*answer[1:3], piece, answer[3])
        right(await other.reply(), answer, stream=stream)
        await there.line.closed()
        assert rig.host.upgrades == 2


@both
@with_and_without_lanes
async def test_gone_while_dialling(lanes: Lanes, *, stream: bool) -> None:
    """Nothing was asked: the dial is given up, its room is free at once, and the next turn dials anew."""
    async with running(lanes, pool=Pool(max_connections=1)) as rig:
        rig.host.gate.clear()
        leaver = rig.ask("leaver", stream=stream)
        await until(lambda: rig.host.upgrades == 1, lambda: held(rig.app))
        assert held(rig.app).coming == 1
        leaver.leave()
        assert (await rig.ended(1)).end is End.HUNG_UP
        assert (held(rig.app).coming, connections(rig.app)) == (0, [])
        rig.host.gate.set()
        await served(rig, "newcomer", stream=stream)
        assert rig.host.upgrades == 2


@both
@with_and_without_lanes
async def test_gone_while_waiting_in_the_pool(lanes: Lanes, *, stream: bool) -> None:
    """Who waits behind it gets what becomes free, and nothing of the one who left was ever sent."""
    async with running(lanes, pool=Pool(max_connections=1, wait_seconds=10)) as rig:
        holder = rig.ask("holder", stream=stream)
        create = await rig.host.create()
        leaver = rig.ask("leaver", stream=stream)
        await until(lambda: held(rig.app).waiting == 1, lambda: held(rig.app))
        patient = rig.ask("patient", stream=stream)
        await until(lambda: held(rig.app).waiting == 2, lambda: held(rig.app))
        leaver.leave()
        assert (await rig.ended(1)).end is End.HUNG_UP
        assert held(rig.app).waiting == 1
        answer = create.said("for holder")
        assert await create.answer(*answer)
        right(await holder.reply(), answer, stream=stream)
        create = await rig.host.create()
        assert create.text == "patient"
        answer = create.said("for patient")
        assert await create.answer(*answer)
        right(await patient.reply(), answer, stream=stream)


@both
@with_and_without_lanes
async def test_gone_before_the_probes_answer(lanes: Lanes, *, stream: bool) -> None:
    """A socket that nothing has been heard on yet is closed with its question; the next one asks and serves again."""
    async with running(lanes, verifies="auto") as rig:
        leaver = rig.ask("leaver", stream=stream)
        probe, left = await rig.host.create(), await rig.host.create()
        assert (probe.text, left.text) == ("", "leaver")
        leaver.leave()
        assert (await rig.ended(1)).end is End.HUNG_UP
        await left.line.closed()
        asked = rig.ask("newcomer", stream=stream)
        probe, create = await rig.host.create(), await rig.host.create()
        answer = create.said("for newcomer")
        refused = failure("previous_response_not_found", param="previous_response_id")
        assert await create.answer(refused, *answer)
        right(await asked.reply(), answer, stream=stream)
        assert (probe.line, probe.text) == (create.line, "")


@both
async def test_gone_in_the_middle_of_the_probes_answer(*, stream: bool) -> None:
    """With lanes: the rest of both answers, the probe's and the abandoned one, comes and is dropped."""
    async with running("on", verifies="auto") as rig:
        leaver = rig.ask("leaver", stream=stream)
        probe, left = await rig.host.create(), await rig.host.create()
        lenient = probe.said("lenient")
        assert await probe.answer(lenient[0])
        await until(lambda: any(line.lanes.proven for line in connections(rig.app)), rig.states)
        leaver.leave()
        assert (await rig.ended(1)).end is End.HUNG_UP
        rest = [*lenient[1:], *left.said("abandoned")]
        beside = await served(rig, "newcomer", stream=stream, between=(left, rest))
        assert beside.line is left.line
        await rig.lanes_in(State.IDLE, 2)
        await served(rig, "successor", stream=stream)
        assert rig.host.upgrades == 1
