"""A sink whose caller has limited time."""

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.core.events import sniff
from proxy.core.reasons import Route
from proxy.errors import Answer
from proxy.turns.outcome import Outcome
from proxy.turns.sink import CallerGone, PatientSink
from tests.turns.wiring import Recorder
from tests.upstream.peer import created

OUTCOME = Outcome("ol_1", Route.FULL)
CALLS = ("begin", "write", "keep_alive", "end", "answer")


async def call(sink: PatientSink, name: str) -> None:
    """Make one of the calls."""
    match name:
        case "begin":
            await sink.begin(OUTCOME)
        case "write":
            await sink.write([sniff(created())])
        case "keep_alive":
            await sink.keep_alive()
        case "end":
            await sink.end()
        case _:
            await sink.answer(Answer(200, b"{}"), OUTCOME)


@pytest.mark.parametrize("name", CALLS)
async def test_a_caller_who_takes_nothing_is_gone(name: str) -> None:
    """No call waits for a caller longer than allowed."""
    patient = PatientSink(Recorder(blocks=frozenset({name})), 0.01)
    with pytest.raises(CallerGone):
        await call(patient, name)


async def test_calls_reach_the_sink() -> None:
    """Everything is passed on, in order, with what it carries."""
    recorder = Recorder(wants_json=True)
    patient = PatientSink(recorder, 5.0)
    for name in CALLS:
        await call(patient, name)
    patient.cut()
    assert recorder.calls == [*CALLS, "cut"]
    assert recorder.types == ["response.created"]
    assert [answer.status for answer in recorder.answers] == [200]
    assert patient.wants_json


async def test_a_callers_own_timeout_is_not_taken_for_silence() -> None:
    """CallerGone from the sink itself goes through as it is."""

    def leave(_call: str) -> None:
        raise CallerGone("hung up")

    with pytest.raises(CallerGone, match="hung up"):
        await PatientSink(Recorder(look=leave), 5.0).end()


async def test_forwarding_has_no_limit_of_its_own() -> None:
    """An answer over plain HTTP takes as long as it takes: no lane waits for it."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="whole")

    application = web.Application()
    application.router.add_get("/", answer)
    recorder = Recorder()
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        response = await session.get(server.make_url("/"))
        await PatientSink(recorder, 0.0).forward(response, OUTCOME)
    assert recorder.answers[0].body == b"whole"
