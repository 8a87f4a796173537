"""Separation: word-for-word equal histories of different callers share no socket, no head and no fingerprint."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Lanes, Settings, Upstream
from proxy.server.app import Openline
from proxy.simulator import Simulator
from tests.conftest import DEEP
from tests.e2e.stack import Chat, Item, Stack, chat, stack
from tests.fuzz.world import Watched, opened, thrown, watched
from tests.trust.session import free_port

EXAMPLES = 600 if DEEP else 40
EXTRA = "x-tenant"
LIKE_OPENAI = Upstream(verifies_ids="yes", identity_headers=(EXTRA,))
# Two values of each header that says who asks, one within the other, and none; never nobody at all.
_VALUES: Mapping[str, tuple[str | None, ...]] = {
    "authorization": ("Bearer a", "Bearer ab", "Bearer A", None),
    "api-key": (None, "a", "Bearer a"),
    "openai-organization": (None, "org", "proj"),
    "openai-project": (None, "proj", "org"),
    "openai-beta": (None, "x=1"),
    EXTRA: (None, "a", "org"),
}
Identity = tuple[tuple[str, str], ...]


def identities() -> st.SearchStrategy[Identity]:
    """A caller's identity: which of the headers it has, with which values."""

    def made(values: Mapping[str, str | None]) -> Identity:
        return tuple((name, value) for name, value in values.items() if value is not None)

    drawn = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in _VALUES.items()})
    return drawn.map(made).filter(lambda identity: bool({"authorization", "api-key"} & dict(identity).keys()))


@dataclass
class Ledger:
    """What was seen of each identity: its sockets, and the responses that it was given."""

    running: Stack
    sockets: dict[Identity, set[int]] = field(default_factory=dict)
    responses: dict[Identity, set[str]] = field(default_factory=dict)

    async def turn(self, identity: Identity, talk: Chat, *, upper: bool) -> Chat:
        """One turn of a caller; how it went out is checked against all that went before."""
        self.running.sim.journal.clear()
        headers = {name.title() if upper else name: value for name, value in identity}
        async with self.running.session.post(
            f"{self.running.base}/responses", data=msgspec.json.encode(talk.body), headers=headers
        ) as response:
            assert response.status == 200
            answer = msgspec.json.decode(await response.read(), type=dict[str, object])
        (create,) = self.running.creates()
        (shaken,) = [shake for shake in self.running.sim.handshakes if shake.connection == create.connection]
        assert identity_of(shaken.headers) == sorted(identity)
        if create.previous_response_id is not None:
            assert create.previous_response_id in self.responses[identity]
        self.sockets.setdefault(identity, set()).add(create.connection)
        self.responses.setdefault(identity, set()).add(str(answer["id"]))
        return talk.followed(msgspec.convert(answer["output"], list[Item]))

    def check(self) -> None:
        """No socket served two identities."""
        every = [number for numbers in self.sockets.values() for number in numbers]
        assert len(every) == len(set(every))


def identity_of(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The headers of an upgrade that say who asks: all of them but the protocol's own, which are known."""
    protocol = {"host", "upgrade", "connection", "user-agent"}
    pairs = [(name.lower(), value) for name, value in headers]
    return sorted(
        (name, value) for name, value in pairs if name not in protocol and not name.startswith("sec-websocket-")
    )


async def equal_histories(running: Stack, callers: list[Identity], upper: list[bool], turns: int) -> None:
    """Some callers with the same words, turn by turn one after the other."""
    ledger = Ledger(running)
    talks = [chat("The very same words. [[rounds=2 calls=1]]") for _ in callers]
    for _ in range(turns):
        talks = [
            await ledger.turn(identity, talk, upper=loud)
            for identity, talk, loud in zip(callers, talks, upper, strict=True)
        ]
    ledger.check()
    # The same words get the same answers: the histories stayed word for word the same.
    assert len({msgspec.json.encode(talk.items, order="deterministic") for talk in talks}) == 1
    await running.sim.drop_connections()


@pytest.fixture(params=["on", "off"])
def world(request: pytest.FixtureRequest) -> Iterator[tuple[Watched, Stack]]:
    """A stack with or without lanes, whose host tells users of a gateway apart by a header of its own."""
    lanes: Lanes = request.param
    settings = Settings(upstream=msgspec.structs.replace(LIKE_OPENAI, lanes=lanes))
    with watched() as seen, opened(seen, stack(settings=settings)) as running:
        yield seen, running


def test_equal_histories_of_different_callers_share_nothing(world: tuple[Watched, Stack]) -> None:
    """Each create goes over a socket opened under its caller's identity, and names only that identity's responses."""
    seen, running = world

    @thrown(EXAMPLES)
    @given(st.lists(st.tuples(identities(), st.booleans()), min_size=2, max_size=4), st.integers(1, 3))
    def prove(callers: list[tuple[Identity, bool]], turns: int) -> None:
        seen.run(equal_histories(running, [one for one, _ in callers], [upper for _, upper in callers], turns))

    prove()


@asynccontextmanager
async def installation(folder: Path, url: str, port: int, patch: pytest.MonkeyPatch) -> AsyncIterator[Openline]:
    """A proxy that keeps its state in `folder`, run until the block ends."""
    patch.setenv("XDG_STATE_HOME", str(folder))
    upstream = msgspec.structs.replace(LIKE_OPENAI, url=url)
    app = Openline(Settings(listen=f"127.0.0.1:{port}", upstream=upstream), lambda _outcome: None)
    await app.start()
    try:
        yield app
    finally:
        await app.close()


async def stored_turn(port: int, identity: Identity, talk: Chat) -> tuple[str, Chat]:
    """A turn whose response is stored: its route, and the history after it."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{port}/v1/responses", data=msgspec.json.encode(talk.body), headers=dict(identity)
        ) as response,
    ):
        answer = msgspec.json.decode(await response.read(), type=dict[str, object])
        return response.headers["x-openline-route"], talk.followed(msgspec.convert(answer["output"], list[Item]))


def fingerprints(app: Openline) -> set[bytes]:
    """Those of the stored heads."""
    assert app._engine is not None
    return {fingerprint for head in app._engine.memory.lasting()[0] for fingerprint in head.fingerprints}


A: Identity = (("authorization", "Bearer a"), ("openai-project", "p"))
OTHERS: tuple[Identity, ...] = (
    (("authorization", "Bearer b"), ("openai-project", "p")),
    (("authorization", "Bearer a"), ("openai-project", "q")),
    (("authorization", "Bearer a"),),
    (("authorization", "Bearer a"), ("openai-organization", "p")),
    (("api-key", "Bearer a"), ("openai-project", "p")),
    (("authorization", "Bearer a"), ("openai-project", "p"), (EXTRA, "t")),
)


async def test_a_stored_response_is_continued_by_nobody_else_even_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the state file of one caller's stored responses, the same history under another identity goes in full."""
    async with Simulator() as sim:
        url, port = await sim.start(), free_port()
        async with installation(tmp_path, url, port, monkeypatch):
            route, talk = await stored_turn(port, A, chat(store=True))
            assert route == "full"
            for other in OTHERS:
                assert (await stored_turn(port, other, talk))[0] == "full"
        async with installation(tmp_path, url, port, monkeypatch):
            sim.journal.clear()
            for other in OTHERS:
                # Their own first turns are continued by now, but by no word of another's.
                _, more = await stored_turn(port, other, talk.followed([], "something else"))
                assert len(more.items) > len(talk.items)
            named = [entry.previous_response_id for entry in sim.journal if entry.transport == "ws"]
            assert set(named) == {None}
            assert (await stored_turn(port, A, talk))[0] == "delta"


async def test_fingerprints_differ_between_callers_and_between_installations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same history has a fingerprint for each identity, and under each installation's key."""
    seen: list[set[bytes]] = []
    async with Simulator() as sim:
        url = await sim.start()
        for name in ("one", "two"):
            port = free_port()
            async with installation(tmp_path / name, url, port, monkeypatch) as app:
                before: set[bytes] = set()
                for identity in (A, *OTHERS):
                    await stored_turn(port, identity, chat(store=True))
                    now = fingerprints(app)
                    assert len(now - before) == 1
                    before = now
                seen.append(before)
    assert len(seen[0]) == len(OTHERS) + 1
    assert seen[0].isdisjoint(seen[1])
    # What was kept on disk are those, and no other installation's.
    files = [next((tmp_path / name).rglob("*.msgpack")).read_bytes() for name in ("one", "two")]
    for index, kept in enumerate(files):
        assert all((one in kept) == (which == index) for which, those in enumerate(seen) for one in those)
