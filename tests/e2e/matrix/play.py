"""A play: one case through a real stack, and whether caller, upstream and record saw what the table says."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import msgspec

from proxy.core.reasons import Route
from proxy.core.recovery import Action, Fact
from proxy.errors import Problem
from proxy.simulator import Entry
from proxy.turns.outcome import End, Outcome
from tests.e2e.matrix.course import Case
from tests.e2e.matrix.gate import Gate
from tests.e2e.matrix.mishap import LONG, Scene
from tests.e2e.matrix.sight import REFUSED, Sight
from tests.e2e.stack import TOOLS, Chat, Item, Reply, begun, chat, comparable, prompt_of, stack

ACTING: Item = {"type": "code_interpreter", "container": {"type": "auto"}}
# Far more than all waits of a case together: who reaches it hangs.
_SECONDS = 15.0


@dataclass(frozen=True)
class Authority:
    """A server's TLS context, and the file that makes its certificate trusted."""

    context: ssl.SSLContext
    file: str


async def play(case: Case, authority: Authority) -> None:
    """Set the scene, let the mishap fall on a turn, look at the turn and at the two after it."""
    async with asyncio.timeout(_SECONDS), _scene(case, authority) as scene:
        if case.later:
            scene.talk = await begun(scene.running, scene.talk)
        if case.mishap.long:
            long: Item = {"role": "user", "content": LONG}
            scene.talk = replace(scene.talk, items=(*scene.talk.items, long))
        if case.later and case.mishap.offline:
            await scene.running.sim.drop_connections()
            await scene.gone()
        scene.running.sim.faults.add(*case.mishap.strikes)
        await case.mishap.do(scene)
        reply = await _struck(case, scene)
        if case.stops:
            await scene.gone()
        await case.mishap.mend(scene)
        scene.as_usual()
        await _after(case, scene, reply)


@contextlib.asynccontextmanager
async def _scene(case: Case, authority: Authority) -> AsyncIterator[Scene]:
    gate = Gate(authority.context if case.mishap.tls else None)
    wanted = case.mishap.configured(case.lanes, case.facts)
    if case.mishap.tls:
        upstream = msgspec.structs.replace(wanted.upstream, ca_file=authority.file)
        wanted = msgspec.structs.replace(wanted, upstream=upstream)
    tools = [*TOOLS, ACTING] if Fact.ACTS in case.facts else TOOLS
    talk = chat(stream=case.stream, store=Fact.STORED in case.facts, tools=tools)
    async with stack(case.mishap.behaviour, wanted, link=gate) as running:
        scene = Scene(running, gate, talk)
        try:
            yield scene
        finally:
            scene.as_usual()
            await scene.tasks.close()


async def _struck(case: Case, scene: Scene) -> Reply:
    """The turn that the mishap falls on."""
    running = scene.running
    seen, upgrades = len(running.sim.journal), scene.gate.upgrades
    reply = await running.ask(scene.talk.body)
    scene.scarcity.end()  # what follows asks the simulator directly
    entries, upgrades = list(running.sim.journal)[seen:], scene.gate.upgrades - upgrades
    outcome = await _outcome(scene, scene.talk)
    told = [fault.rpartition(": ")[2] for fault in outcome.faults if not fault.startswith("plain HTTP: ")]
    assert told == [taken.action.value for taken in case.course], outcome.faults
    assert len(outcome.faults) - len(told) == case.mishap.unreachable  # why plain HTTP came to nothing either
    assert outcome.replays == case.replays
    assert (outcome.route, outcome.reason) == case.said
    assert (reply.route, reply.reason) == (case.said[0].value, case.said[1].value if case.said[1] else "")
    assert [entry.transport for entry in entries if entry.generate] == case.creates
    assert upgrades + scene.unseen_dials == case.dials
    _ran_once(case, entries)
    if case.as_http:
        await _as_http(case, scene, reply)
    elif case.sight:
        _sees(case, case.sight, reply)
        assert outcome.end is (End.ERROR if case.mishap.unreachable else case.sight.end)
    if _whole(case):
        assert (reply.status, reply.cut) == (200, False)
        assert running.prompts()[-1] == prompt_of(scene.talk)
        assert outcome.end is (End.COMPLETED if case.completes else End.PASSED)
        await _same_answer(scene, scene.talk, reply)
    return reply


async def _outcome(scene: Scene, talk: Chat) -> Outcome:
    """The record of the turn that asked for this; those of others are passed over."""
    while True:
        outcome = await scene.running.outcome()
        if outcome.request_bytes == len(msgspec.json.encode(talk.body)):
            return outcome


def _whole(case: Case) -> bool:
    """Whether the caller gets the whole answer."""
    over_http = case.end is not None and case.end.action is Action.HTTP and not case.mishap.unreachable
    return case.completes or over_http


def _sees(case: Case, sight: Sight, reply: Reply) -> None:
    """What the caller sees of the action that ended the turn."""
    problem = sight.problem or (Problem.UNREACHABLE if case.mishap.unreachable else None)
    assert reply.cut is sight.cut
    if sight.status:
        assert reply.status == sight.status
    if problem:
        assert (reply.status, reply.error["code"]) == problem.value[:2]
        assert reply.error.keys() == {"message", "type", "param", "code"}
        assert not reply.streamed
    elif sight.status:
        assert reply.streamed
        assert case.mishap.unbegun or b"not for you" not in reply.body
        assert (reply.types[-1] if sight.last else None) == sight.last
        assert not {"response.completed", "response.incomplete"} & set(reply.types)


def _ran_once(case: Case, entries: list[Entry]) -> None:
    """Whatever the table says: what may not run twice was given to the upstream once, but for creates it refused."""
    refused = sum(taken.step.arrives and taken.step.fault in REFUSED for taken in case.course)
    if case.facts & {Fact.ACTS, Fact.UNSENT_ONLY}:
        assert sum(entry.generate for entry in entries) - refused <= 1


async def _as_http(case: Case, scene: Scene, reply: Reply) -> None:
    """The same strike over plain HTTP gives the same answer."""
    spoken = case.mishap.spoken or (case.mishap.strikes[-1] if case.mishap.strikes else None)
    scene.running.sim.faults.add(*([spoken] if spoken else []))
    direct = await scene.running.ask(scene.talk.body, base=scene.running.direct)
    assert (reply.status, reply.streamed, reply.cut) == (direct.status, direct.streamed, direct.cut)
    assert reply.headers.get("retry-after") == direct.headers.get("retry-after")
    if reply.streamed:
        assert reply.types == direct.types
        last, would = (msgspec.json.decode(one.frames[-1], type=dict[str, object]) for one in (reply, direct))
        assert _without_ids(last) == _without_ids(would)
    elif reply.status == 200:
        assert _without_ids(reply.response) == _without_ids(direct.response)
    elif case.mishap.vague:
        assert reply.error["message"] == direct.error["message"]
    else:
        assert reply.error == direct.error


def _without_ids(said: dict[str, object]) -> dict[str, object]:
    """Without what differs between any two answers, nested responses too."""
    own = {"id", "created_at", "completed_at", "usage"}
    return {
        key: _without_ids(value) if key == "response" and isinstance(value, dict) else value
        for key, value in said.items()
        if key not in own
    }


async def _same_answer(scene: Scene, talk: Chat, reply: Reply) -> Reply:
    """What the simulator answers to the same request; nothing of a lane shows."""
    direct = await scene.running.ask(talk.body, base=scene.running.direct)
    assert reply.output == direct.output
    assert comparable(reply.response) == comparable(direct.response)
    assert b'"stream_id"' not in reply.body
    return direct


async def _after(case: Case, scene: Scene, reply: Reply) -> None:
    """The next turn (the same one again, where there was no answer) is right; so is the one after, as a delta."""
    talk = scene.talk.followed(reply.output) if _whole(case) else scene.talk
    answer = await _goes_well(case, scene, talk, case.next_route)
    assert case.next_reason is None or answer.reason == case.next_reason.value
    await _goes_well(case, scene, talk.followed(answer.output), Route.HTTP if case.lasts else Route.DELTA)
    if case.later and not case.lasts:
        # An undo: the caller goes back to where it was struck.
        await _goes_well(case, scene, scene.talk, None)


async def _goes_well(case: Case, scene: Scene, talk: Chat, route: Route | None) -> Reply:
    answer = await scene.running.ask(talk.body)
    assert (answer.status, answer.cut) == (200, False)
    assert route is None or answer.route == route.value, answer.reason
    assert scene.running.prompts()[-1] == prompt_of(talk)
    direct = await _same_answer(scene, talk, answer)
    assert answer.types == direct.types if answer.streamed else not direct.streamed
    outcome = await _outcome(scene, talk)
    if not case.lasts:
        assert (outcome.replays, outcome.faults) == (0, [])
    return answer
