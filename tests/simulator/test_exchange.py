"""`POST /v1/responses` over HTTP: streams, JSON, errors, encodings."""

import gzip
import json
import sys
import zlib

import brotli
import pytest

from proxy.simulator import Fault, render_request
from tests.simulator.conftest import Start
from tests.simulator.wire import KEY, TOOL, Running

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


async def test_a_stream_is_framed_as_the_api_frames_it(running: Running) -> None:
    """`event:` and `data:` lines only, no [DONE]; numbered events from created to completed."""
    events = await running.stream(input="hi")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"


async def test_json_and_stream_and_socket_answer_alike(running: Running) -> None:
    """The same context gets the same answer whatever the transport, item ids and encrypted content included."""
    fields = {
        "input": "hi [[rounds=1 calls=2 reasoning=2 phase=1]]",
        "tools": [TOOL],
        "include": ["reasoning.encrypted_content"],
    }
    _, whole = await running.create(**fields)
    streamed = (await running.stream(**fields))[-1]["response"]
    framed = (await (await running.socket()).turn(**fields))["response"]
    assert whole["output"] == streamed["output"] == framed["output"]
    assert len({whole["id"], streamed["id"], framed["id"]}) == 3
    prompts = {entry.prompt for entry in running.sim.journal}
    assert prompts == {render_request({"model": "m", **fields})}


async def test_answers_carry_the_apis_headers(running: Running) -> None:
    """Request id, timing and rate limits come with every HTTP answer."""
    for stream in (True, False):
        body = json.dumps({"model": "m", "input": "hi", "stream": stream})
        async with running.http.post(f"{running.base}/responses", data=body, headers=KEY) as answer:
            assert answer.headers["x-request-id"].startswith("req_")
            assert answer.headers["openai-version"] == "2020-10-01"
            assert answer.headers["openai-processing-ms"].isdigit()
            assert answer.headers["x-ratelimit-limit-requests"]


def _raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODINGS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, raw": _raw_deflate,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "identity": bytes,
}


@pytest.mark.parametrize("name", ENCODINGS)
async def test_compressed_bodies_are_read(running: Running, name: str) -> None:
    """gzip, deflate (both kinds), br and zstd; the journal keeps the bytes as they came."""
    raw = ENCODINGS[name](json.dumps({"model": "m", "input": "hi"}).encode())
    headers = {**KEY, "Content-Encoding": name.partition(",")[0]}
    status, _ = await running.json("POST", "/v1/responses", raw, headers)
    assert status == 200
    assert running.last.raw == raw
    assert running.last.body == {"model": "m", "input": "hi"}


@pytest.mark.parametrize(
    ("raw", "encoding", "status"),
    [
        (b"{", "", 400),
        (b"[]", "", 400),
        (b"x", "gzip", 400),
        (b"x", "br", 400),
        (b"{}", "lzma", 415),
        (b"\xff", "", 400),
    ],
)
async def test_unreadable_bodies_are_refused(running: Running, raw: bytes, encoding: str, status: int) -> None:
    """What cannot be read is refused in the API's error shape, and journaled."""
    got, body = await running.json("POST", "/v1/responses", raw, {**KEY, "Content-Encoding": encoding})
    assert got == status
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (running.last.outcome, running.last.body, running.last.status) == ("rejected", None, status)


async def test_early_errors_have_their_own_status(running: Running) -> None:
    """A stream that is refused before its first event is a plain HTTP error, with its headers."""
    running.sim.faults.add(Fault("error", status=429, code="rate_limit_exceeded", headers={"retry-after": "7"}))
    body = json.dumps({"model": "m", "input": "hi", "stream": True})
    async with running.http.post(f"{running.base}/responses", data=body, headers=KEY) as answer:
        assert answer.status == 429
        assert answer.headers["retry-after"] == "7"
        assert (await answer.json())["error"]["code"] == "rate_limit_exceeded"


async def test_errors_in_mid_stream_are_flat_events(running: Running) -> None:
    """After the first event, an error is an event of the stream."""
    running.sim.faults.add(Fault("error", "events", after=2, code="server_error", message="sorry"))
    events = await running.stream(input="hi")
    assert events[2:] == [
        {"type": "error", "code": "server_error", "message": "sorry", "param": None, "sequence_number": 2}
    ]


async def test_stored_responses_are_continued_over_http(running: Running) -> None:
    """`previous_response_id` works for what is stored; for all else it is refused as on a socket."""
    _, first = await running.create(input="one")
    status, second = await running.create(input="two", previous_response_id=first["id"])
    assert (status, second["previous_response_id"]) == (200, first["id"])
    assert len(running.last.context or ()) == 3
    _, unstored = await running.create(input="one", store=False)
    status, body = await running.create(input="two", previous_response_id=unstored["id"])
    assert (status, body["error"]["code"]) == (400, "previous_response_not_found")


async def test_stored_items_can_be_referred_to(running: Running) -> None:
    """An item_reference stands for the stored item; an unknown one is refused."""
    _, first = await running.create(input="one")
    said = first["output"][0]
    await running.create(input=[{"type": "item_reference", "id": said["id"]}, {"role": "user", "content": "two"}])
    assert running.last.context == (said, {"role": "user", "content": "two"})
    status, body = await running.create(input=[{"id": "msg_unknown"}])
    assert status == 404
    assert "msg_unknown" in body["error"]["message"]


async def test_background_responses_are_queued_and_can_be_fetched(running: Running) -> None:
    """Over HTTP, `background: true` answers at once; the response is there to be fetched."""
    _, queued = await running.create(input="hi", background=True)
    assert (queued["status"], queued["output"], queued["background"]) == ("queued", [], True)
    _, fetched = await running.json("GET", f"/v1/responses/{queued['id']}")
    assert fetched["status"] == "completed"
    assert fetched["output"]


async def test_the_first_event_is_not_held_back(start: Start) -> None:
    """Events arrive as they are sent: the first is read while the turn still hangs."""
    running = await start()
    running.sim.faults.add(Fault("hang", "events", after=1))
    body = json.dumps({"model": "m", "input": "hi", "stream": True})
    async with running.http.post(f"{running.base}/responses", data=body, headers=KEY) as answer:
        assert (await answer.content.readline()) == b"event: response.created\n"
        running.sim.faults.release()
        assert (await answer.read()).endswith(b"\n\n")
