"""Bodies of creates, mutated: the caller gets what the upstream itself thinks of them."""

import asyncio
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import brotli
import msgspec
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Upstream
from tests.conftest import DEEP
from tests.e2e import captures
from tests.e2e.stack import Reply, Stack, chat, comparable, stack
from tests.fuzz.mutants import mutants, texts, torn
from tests.fuzz.world import Watched, is_clean, opened, quick, still_works, thrown, watched

LARGEST_BASE = 12_000
BASES: list[object] = [
    *(chat(stream=stream, store=store).body for stream in (True, False) for store in (True, False)),
    *(
        exchange.body
        for name in captures.RUNS
        for exchange in captures.run(name)[:3]
        if len(exchange.raw) < LARGEST_BASE
    ),
]
CODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
    "GZIP": gzip.compress,
}
EXAMPLES = 1_500 if DEEP else 60


@pytest.fixture
def world() -> Iterator[tuple[Watched, Stack]]:
    """A simulator and a proxy in front of it."""
    with watched() as seen, opened(seen, stack(settings=quick(upstream=Upstream(verifies_ids="yes")))) as running:
        yield seen, running


def judged(reply: Reply) -> tuple[object, ...]:
    """What must not depend on the way: the status, and the error or what was answered."""
    if reply.status != 200:
        return reply.status, reply.body
    if reply.streamed:
        kinds = [event.type for event in reply.events]
        return reply.status, reply.cut, kinds, reply.output
    return reply.status, reply.cut, comparable(reply.response)


async def all_judged(running: Stack, bodies: Sequence[tuple[bytes, str]]) -> None:
    """Each is answered as the upstream answers the same bytes directly; and then a normal turn works."""
    sent = [(raw, {"content-encoding": coding} if coding else {}) for raw, coding in bodies]
    replies = await asyncio.gather(*(running.ask_raw(raw, headers=headers) for raw, headers in sent))
    for (raw, headers), reply in zip(sent, replies, strict=True):
        direct = await running.ask_raw(raw, headers=headers, base=running.direct)
        assert judged(reply) == judged(direct), (raw[:3_000], headers, reply.route, reply.reason)
        assert reply.status < 500
        assert is_clean(reply.body)
    running.sim.journal.clear()
    await still_works(running)


def test_mutated_bodies_get_the_upstreams_judgement(world: tuple[Watched, Stack]) -> None:
    """Whatever stands in a create, the caller gets the status, error or answer that plain HTTP gives him."""
    seen, running = world

    @thrown(EXAMPLES)
    @given(st.lists(mutants(st.sampled_from(BASES)).map(lambda raw: (raw, "")), min_size=1, max_size=4))
    def prove(bodies: list[tuple[bytes, str]]) -> None:
        seen.run(all_judged(running, bodies))

    prove()


@st.composite
def encoded(draw: st.DrawFn) -> tuple[bytes, str]:
    """A body under some content coding: as declared, declared and not true, torn, or of something else."""
    raw = draw(st.just(msgspec.json.encode(chat().body)) | texts(st.sampled_from(BASES[:4]), 1))
    made, said = (
        draw(st.sampled_from(sorted(CODINGS))),
        draw(st.sampled_from([*sorted(CODINGS), "compress", "gzip,,br"])),
    )
    data = CODINGS[made](raw)
    data = draw(st.just(data) | torn(st.just(data)) | st.just(data + data) | st.just(data + b"\x00"))
    return data, draw(st.just(made) | st.just(said))


def test_encoded_bodies_get_the_upstreams_judgement(world: tuple[Watched, Stack]) -> None:
    """A content coding that is broken, wrong or unknown changes nothing: the upstream says what it thinks of it."""
    seen, running = world

    @thrown(EXAMPLES)
    @given(st.lists(encoded(), min_size=1, max_size=4))
    def prove(bodies: list[tuple[bytes, str]]) -> None:
        seen.run(all_judged(running, bodies))

    prove()
