"""Answers that are observed while they pass: whatever they are, nothing is raised and nothing is left over."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import brotli
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.config import Settings, Upstream
from proxy.core.events import sniff, sse
from proxy.core.fingerprint import Fingerprints
from proxy.core.meaning import Rules
from proxy.core.reasons import Route
from proxy.core.request import parse
from proxy.turns.memory import Keyed
from proxy.turns.observer import Observation, Observer
from proxy.turns.outcome import Outcome
from proxy.turns.turn import Turn
from proxy.upstream.address import PoolKey
from proxy.upstream.capabilities import Host, capabilities
from proxy.upstream.http import HttpRequest
from tests.conftest import DEEP
from tests.fuzz.mutants import mutants, torn, write
from tests.fuzz.streams import events, message
from tests.fuzz.world import thrown

EXAMPLES = 20_000 if DEEP else 800
USER: dict[str, object] = {"role": "user", "content": "hi"}
RIGHT = [write(event) for event in events("m", "resp_1", None)]
STREAM = b"".join(sse(sniff(frame)) for frame in RIGHT)
# An answer with an id of its own: one that comes again continues nothing.
LAST = b"".join(sse(sniff(write(event))) for event in events("m", "resp_last", None))

frames = st.sampled_from(RIGHT) | mutants(st.sampled_from(events("m", "resp_1", None)))
nearly = st.tuples(st.integers(0, len(RIGHT)), st.integers(0, len(RIGHT)), st.lists(frames, max_size=3)).map(
    lambda drawn: [*RIGHT[: drawn[0]], *drawn[2], *RIGHT[drawn[1] :]]
)
streams = nearly.map(lambda given: b"".join(b"data: " + frame + b"\n\n" for frame in given))
objects = mutants(st.just(events("m", "resp_1", None)[-1]["response"]))
bodies = streams | torn(streams) | objects | st.binary(max_size=200) | st.just(STREAM)
CODINGS = {"": bytes, "identity": bytes, "gzip": gzip.compress, "br": brotli.compress, "zstd": bytes, "rot13": bytes}


def observer(lanes: Literal["on", "off", "auto"] = "auto") -> Observer:
    """For a host that verifies ids."""
    settings = Settings(upstream=Upstream(verifies_ids="yes", lanes=lanes))
    host = Host(capabilities(settings.upstream), recheck_seconds=1.0, clock=lambda: 0.0)
    keyed = Keyed(passing=Fingerprints(b"k" * 32), stored=Fingerprints(b"s" * 32))
    return Observer(settings, Rules(), keyed, host, lambda: 0.0)


def begun(observing: Observer, *items: object) -> tuple[Observation, Outcome]:
    """A turn with these items."""
    body = write({"model": "m", "store": False, "input": list(items)})
    outcome = Outcome("ol_1", Route.FULL, request_bytes=len(body))
    request = HttpRequest("POST", "/v1/responses", (), body)
    turn = Turn(parse(body, most_items=100), PoolKey(b"k" * 16, ()), request, forced_full=False, outcome=outcome)
    return observing.begin(turn), outcome


def passes(observation: Observation, body: bytes, headers: dict[str, str], cuts: Sequence[int] = ()) -> None:
    """An answer, in pieces."""
    observation.answered(200, CIMultiDictProxy(CIMultiDict(headers)))
    for start, end in pairwise([0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]):
        observation.see(body[start:end])


@thrown(EXAMPLES)
@given(
    body=bodies,
    kind=st.sampled_from(["text/event-stream", "application/json", "application/json; charset=utf-8", "", "x"]),
    coding=st.sampled_from(sorted(CODINGS)),
    length=st.sampled_from([None, 0, -1, 5]),
    cuts=st.lists(st.integers(0, 3_000), max_size=4),
    is_torn=st.booleans(),
    is_whole=st.booleans(),
)
def test_no_answer_disturbs_its_observer(
    *, body: bytes, kind: str, coding: str, length: int | None, cuts: list[int], is_torn: bool, is_whole: bool
) -> None:
    """Of any form, in any pieces, with any head: each call returns, its lane is free, and the next turn is observed."""
    observing = observer()
    observation, outcome = begun(observing, USER)
    coded = CODINGS[coding](body)
    coded = coded[: len(coded) // 2] if is_torn else coded
    sizes = {} if length is None else {"Content-Length": str(len(coded) + length)}
    passes(observation, coded, {"Content-Type": kind, "Content-Encoding": coding, **sizes}, cuts)
    if is_whole:
        observation.whole()
    observation.end()
    assert len(outcome.faults) <= 1
    lanes = [lane for connection in observing._pool._connections.values() for lane in connection.lanes]
    assert all(lane.idle for lane in lanes)
    other: dict[str, object] = {"role": "user", "content": "another"}
    observation, _ = begun(observing, other)
    passes(observation, LAST, {"Content-Type": "text/event-stream"})
    observation.end()
    said = [message("m", f"msg_m_{number}") for number in range(2)]
    _, outcome = begun(observing, other, *said, USER)
    assert outcome.would
    assert outcome.would.route is Route.DELTA


@dataclass(frozen=True)
class Met:
    """What one turn of a conversation meets: a status, the body of what is answered, and whether its caller stays."""

    status: int
    body: bytes
    kind: str
    stays: bool


TERMINAL = RIGHT[-1]
FAULTS = (
    ["not observed: its content type is neither that of events nor JSON"],
    ["not observed: its JSON is no response that has ended"],
)
short = TERMINAL.replace(b"response.completed", b"response.incomplete").replace(b'"completed"', b'"incomplete"')
error = write({"type": "error", "status": 500, "error": {"code": "server_error", "message": "no"}})
turns = st.builds(
    Met,
    st.sampled_from([200, 200, 200, 400, 429, 500]),
    st.sampled_from([[], RIGHT, [TERMINAL], [short], [error], RIGHT[:1], [RIGHT[0], error], RIGHT[:-1]]).map(
        lambda given: b"".join(b"data: " + frame + b"\n\n" for frame in given)
    ),
    st.sampled_from(["text/event-stream", "text/event-stream", "application/json", "text/plain"]),
    st.booleans(),
)


@thrown(EXAMPLES)
@given(met=st.lists(turns, max_size=6), lanes=st.sampled_from(["on", "off"]), overlap=st.integers(0, 2))
def test_no_turns_behind_each_other_disturb_their_observer(
    *, met: list[Met], lanes: Literal["on", "off"], overlap: int
) -> None:
    """Refused, ended at once, broken off or left alone, in any order and side by side: all are free in the end."""
    observing = observer(lanes)
    running: list[Observation] = []
    for one in met:
        observation, outcome = begun(observing, USER)
        observation.answered(one.status, CIMultiDictProxy(CIMultiDict({"Content-Type": one.kind})))
        observation.see(one.body)
        if one.stays:
            observation.whole()
        running.append(observation)
        while len(running) > overlap:
            running.pop(0).end()
        assert outcome.would
        assert outcome.faults in ([], *FAULTS)
    for observation in running:
        observation.end()
    lanes_left = [lane for connection in observing._pool._connections.values() for lane in connection.lanes]
    assert all(lane.idle for lane in lanes_left)
    observation, outcome = begun(observing, USER)
    passes(observation, LAST, {"Content-Type": "text/event-stream"})
    observation.end()
    assert outcome.faults == []
    _, outcome = begun(observing, USER, *[message("m", f"msg_m_{number}") for number in range(2)], USER)
    assert outcome.would
    assert outcome.would.route is Route.DELTA
