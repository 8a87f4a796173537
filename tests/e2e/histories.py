"""Histories: what callers do with a conversation, as plays on a stage, by the words of docs/histories.md."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import msgspec

from proxy.simulator import Fault
from proxy.simulator.faults import What
from proxy.state import state_file
from tests.e2e.stack import TOOLS, Body, Chat, Item
from tests.e2e.stage import LOOK, TALK, Stage, Went, asks, changed, says, way
from tests.e2e.test_caller_restart import called, spelled_out
from tests.upstream.peer import until

# ---- openings: what has happened so far

Opening: TypeAlias = Callable[[Stage], Awaitable[Chat]]


async def _talking(stage: Stage) -> Chat:
    """A person is about to say something more."""
    return await stage.begun()


async def _first_loop(stage: Stage) -> Chat:
    """The conversation's first message has begun a loop of tools; its second result is there."""
    return await stage.begun(LOOK, turns=2)


async def _later_loop(stage: Stage) -> Chat:
    """A later message has begun one; its second result is there."""
    talk = await stage.begun()
    for asked in (asks(replace(talk, items=talk.items[:-1]), LOOK), None):
        talk = (await stage.turn(asked or talk)).talk
    return talk


async def _long(stage: Stage) -> Chat:
    """Three messages were answered."""
    return await stage.begun(turns=3)


# ---- acts: what the caller does next

Act: TypeAlias = Callable[[Stage, Chat], Awaitable[list[Went]]]


async def _goes_on(stage: Stage, talk: Chat) -> list[Went]:
    return [await stage.turn(talk)]


def _set(**settings: object) -> Act:
    async def act(stage: Stage, talk: Chat) -> list[Went]:
        return [await stage.turn(talk.set(**settings))]

    return act


def _children(count: int) -> Act:
    async def act(stage: Stage, talk: Chat) -> list[Went]:
        return await stage.together([says(talk, f"Child {number}.") for number in range(count)])

    return act


async def _one_more(stage: Stage, talk: Chat) -> list[Went]:
    await _children(8)(stage, talk)
    return [await stage.turn(says(talk, "One more child."))]


async def _loop_after_child(stage: Stage, talk: Chat) -> list[Went]:
    await stage.turn(asks(talk))
    return [await stage.turn(talk)]


def _after(turns: int, act: Act) -> Act:
    """What is done from here once the conversation has gone on for so many turns."""

    async def later(stage: Stage, talk: Chat) -> list[Went]:
        went = talk
        for _ in range(turns):
            went = (await stage.turn(went)).talk
        return await act(stage, talk)

    return later


async def _edits(stage: Stage, talk: Chat) -> list[Went]:
    return [await stage.turn(says(talk, "In other words."))]


async def _edits_after_tools(stage: Stage, talk: Chat) -> list[Went]:
    went = asks(replace(talk, items=talk.items[:-1]), LOOK)
    while True:
        went = (await stage.turn(went)).talk
        if went.items[-1].get("role") == "user":
            return await _edits(stage, talk)


async def _other_result(stage: Stage, talk: Chat) -> list[Went]:
    return [await stage.turn(changed(talk, -1, output="something else"))]


async def _twice(stage: Stage, talk: Chat) -> list[Went]:
    return await stage.together([talk, talk], apart=True)


def _breaks_off(then: Callable[[Chat], Chat]) -> Act:
    async def act(stage: Stage, talk: Chat) -> list[Went]:
        await stage.broken_off(talk)
        return [await stage.turn(then(talk))]

    return act


def _ends(what: What) -> Act:
    """The answer ends so; all that was said of it stays in the history."""

    async def act(stage: Stage, talk: Chat) -> list[Went]:
        stage.running.sim.faults.add(Fault(what, "terminal", transport="ws"))
        reply = await stage.running.ask(talk.body)
        assert reply.types[-1] == f"response.{what}"
        await stage.running.outcome()
        return [await stage.turn(talk.followed(reply.output, TALK))]

    return act


async def _changes_answer(stage: Stage, talk: Chat) -> list[Went]:
    return [await stage.turn(changed(talk, -2, content="Something else."))]


async def _changes_first(stage: Stage, talk: Chat) -> list[Went]:
    return [await stage.turn(changed(talk, 0, content="Something else."))]


async def _shortens(stage: Stage, talk: Chat) -> list[Went]:
    (first, *_) = (at for at, item in enumerate(talk.items) if item.get("type") == "function_call_output")
    return [await stage.turn(changed(talk, first, output="[left out]"))]


async def _compacts(stage: Stage, talk: Chat) -> list[Went]:
    body, sent = {"model": "gpt-5.4", "input": list(talk.items)}, {"authorization": "Bearer k"}
    async with stage.running.session.post(f"{stage.running.base}/responses/compact", json=body, headers=sent) as answer:
        assert (answer.status, answer.headers["x-openline-route"]) == (200, "passthrough")
        left = msgspec.convert((await answer.json())["output"], list[dict[str, object]])
    await stage.running.outcome()
    return [await stage.turn(asks(replace(talk, items=tuple(left))))]


async def _loses_the_line(stage: Stage, talk: Chat) -> list[Went]:
    await stage.running.sim.drop_connections()
    await until(lambda: not stage.running.app.status().pool.sockets.idle)
    return [await stage.turn(talk)]


async def _grows_old(stage: Stage, talk: Chat) -> list[Went]:
    stage.clock.ahead = stage.running.sim.behaviour.age_limit - 300.0
    return [await stage.turn(talk)]


# ---- plays that open in their own way

Play: TypeAlias = Callable[[Stage], Awaitable[list[Went]]]


async def _another_process(stage: Stage) -> list[Went]:
    file = stage.folder / "conversation.json"
    file.write_bytes(msgspec.json.encode(stage.talk(LOOK).body))
    turns = [told for _ in range(2) for told in await called(file, stage.running.base, 1)]
    assert stage.running.prompts() == spelled_out(turns)
    body = msgspec.json.decode(file.read_bytes(), type=Body)
    items = msgspec.convert(body.pop("input"), list[dict[str, object]])
    return [Went(way(turns[1].route, turns[1].reason, []), Chat(tuple(items), body))]


async def _restarts(stage: Stage) -> list[Went]:
    await stage.starts()
    talk = await stage.begun()
    await stage.running.app.close()
    await stage.starts()
    return [await stage.turn(talk)]


async def _reloads(stage: Stage) -> list[Went]:
    await stage.starts()
    talk = await stage.begun()
    settings = stage.running.app.settings
    pool = msgspec.structs.replace(settings.pool, wait_seconds=settings.pool.wait_seconds + 1)
    stage.running.app.reload(msgspec.structs.replace(settings, pool=pool))
    return [await stage.turn(talk)]


async def _is_killed(stage: Stage) -> list[Went]:
    await stage.starts()
    talk = await stage.begun()
    file = state_file(stage.running.app.settings)
    assert file is not None
    left = file.path.read_bytes() if file.path.exists() else None
    await stage.running.app.close()
    if left is None:
        file.path.unlink(missing_ok=True)
    else:
        file.path.write_bytes(left)
    await stage.starts()
    return [await stage.turn(talk)]


async def _fourteen(stage: Stage) -> list[Went]:
    return await stage.together([await stage.begun(f"I am {number}. [[rounds=0]]") for number in range(14)])


async def _thirty_three(stage: Stage) -> list[Went]:
    talks = [await stage.begun(f"I am {number}. [[rounds=0]]") for number in range(33)]
    return [await stage.turn(talks[0])]


def _play(opening: Opening, act: Act) -> Play:
    async def play(stage: Stage) -> list[Went]:
        return await act(stage, await opening(stage))

    return play


_AGAIN = _after(1, _goes_on)
_OTHER_TOOLS: Sequence[Item] = [{**TOOLS[0], "name": "other"}]
_HEARD: Item = {"role": "assistant", "content": "Caf"}


def _same(talk: Chat) -> Chat:
    return talk


PLAYS: Mapping[str, Play] = {
    # It goes on.
    "A tool's result": _play(_first_loop, _goes_on),
    "A person's next message": _play(_talking, _goes_on),
    "Other instructions, tools or effort from now on": _play(
        _talking, _set(instructions="Be brief.", tools=_OTHER_TOOLS, reasoning={"effort": "low"})
    ),
    "Another model from now on": _play(_talking, _set(model="gpt-5.4-mini")),
    "Another process of the caller goes on with the saved history": _another_process,
    # Several at once.
    "Eight sub-agents start together from one history": _play(_talking, _children(8)),
    "20 sub-agents start together from one history": _play(_talking, _children(20)),
    "One more sub-agent, once those have answered": _play(_talking, _one_more),
    "A loop of tools goes on after a sub-agent started from within it": _play(_first_loop, _loop_after_child),
    "14 conversations, all at work at once": _fourteen,
    "33 conversations one after the other, then the first again": _thirty_three,
    # Back, and again.
    "The last message is edited, or taken back for another one": _play(_talking, _after(1, _edits)),
    "The same, and that message had begun a loop of tools": _play(_talking, _edits_after_tools),
    "Three messages are taken back": _play(_talking, _after(3, _edits)),
    "31 messages are taken back": _play(_talking, _after(31, _edits)),
    "32 messages are taken back": _play(_talking, _after(32, _edits)),
    "A message is sent again after its answer": _play(_talking, _AGAIN),
    "A message is sent again while the first still runs": _play(_talking, _twice),
    "A result is sent again after its answer (first task)": _play(_first_loop, _AGAIN),
    "A result is sent again after its answer (later task)": _play(_later_loop, _AGAIN),
    "A result is sent again while the first still runs": _play(_first_loop, _twice),
    "A result is replaced by another one (first task)": _play(_first_loop, _after(1, _other_result)),
    "A result is replaced by another one (later task)": _play(_later_loop, _after(1, _other_result)),
    # An answer that did not come to its end.
    "A message's answer is broken off, and another message takes its place": _play(
        _talking, _breaks_off(lambda talk: says(talk, "Another question."))
    ),
    "A message's answer is broken off, and the same is sent again": _play(_talking, _breaks_off(_same)),
    "A message's answer is broken off, and another message comes behind what was heard": _play(
        _talking, _breaks_off(lambda talk: asks(talk, TALK, _HEARD))
    ),
    "A result's answer is broken off, and the same is sent again (first task)": _play(_first_loop, _breaks_off(_same)),
    "A result's answer is broken off, and the same is sent again (later task)": _play(_later_loop, _breaks_off(_same)),
    "A result's answer is broken off, and a message comes behind the result (first task)": _play(
        _first_loop, _breaks_off(asks)
    ),
    "A result's answer is broken off, and a message comes behind the result (later task)": _play(
        _later_loop, _breaks_off(asks)
    ),
    "A message's answer fails (`response.failed`), and the next message comes": _play(_talking, _ends("failed")),
    "A message's answer is cut short (`response.incomplete`), and the next message comes": _play(
        _talking, _ends("incomplete")
    ),
    # The history is rewritten.
    "The last answer comes back changed": _play(_long, _changes_answer),
    "The first message is changed": _play(_long, _changes_first),
    "An old result is shortened (first task)": _play(_first_loop, _shortens),
    "An old result is shortened (later task)": _play(_later_loop, _shortens),
    "`/v1/responses/compact` made it shorter: its first turn": _play(_long, _compacts),
    # Lines and processes.
    "The connection is lost between two turns": _play(_talking, _loses_the_line),
    "The connection is replaced before the host's age limit": _play(_talking, _grows_old),
    "Openline is stopped and started again": _restarts,
    "Settings by which turns go upstream are changed, and Openline is told to reload": _reloads,
    "Openline is killed within 30 s of the answer, and started again": _is_killed,
}
