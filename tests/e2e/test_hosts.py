"""Every known host under its real name and URL: what the capabilities table makes of it, and what lanes come to."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from proxy.config import Lanes, Pool, Settings, Upstream
from proxy.simulator import Entry, Fault
from proxy.simulator.errors import ErrorShape, LaneRefusal
from proxy.tasks import Tasks
from tests.e2e.hosts import HOSTS, KnownHost, Road
from tests.e2e.stack import Chat, Item, Reply, Stack, chat, prompt_of, stack
from tests.upstream.authority import Authority

_CALLERS = 8
_LEAST_LEFT, _MOST_LEFT = 300.0, 360.0
"""Seconds before a host's age limit within which a connection is replaced, by the default settings."""

At = Callable[..., contextlib.AbstractAsyncContextManager[Stack]]
every_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whose certificates are for the hosts' real names."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def at(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> At:
    """Starts a stack whose upstream is a known host; its behaviour may be changed by name, and `lanes` set."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # in place of the machine's own, which take long to load
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)

    @contextlib.asynccontextmanager
    async def begin(
        host: KnownHost, *, lanes: Lanes | None = None, pool: Pool | None = None, **behaviour: object
    ) -> AsyncIterator[Stack]:
        options = {"think_seconds": 0.02, **behaviour}
        acts = replace(host.behaviour, **options)  # type: ignore[arg-type] # the options' types are Behaviour's
        upstream = Upstream(lanes=lanes or host.setting, ca_file=str(authority.file))
        settings = Settings(upstream=upstream, pool=pool or Pool())
        async with stack(acts, settings, link=Road(host, authority, monkeypatch)) as running:
            yield running

    return begin


async def ask_all(running: Stack, talks: list[Chat]) -> list[Reply]:
    """The next turn of each, all at once: ordinary answers, with one response each."""
    replies = await asyncio.gather(*(running.ask(talk.body) for talk in talks))
    for talk, reply in zip(talks, replies, strict=True):
        assert (reply.status, reply.cut) == (200, False), reply.body
        assert not talk.settings.get("stream") or reply.types.count("response.created") == 1
        assert reply.response["status"] == "completed"
    return list(replies)


def all_followed(talks: list[Chat], replies: list[Reply]) -> list[Chat]:
    """Their histories after these answers."""
    return [talk.followed(reply.output) for talk, reply in zip(talks, replies, strict=True)]


def named(entry: Entry) -> bool:
    """Whether a create named a lane."""
    return entry.body is not None and "stream_id" in entry.body


def frames(running: Stack) -> list[Entry]:
    """All that came over sockets, made-up ids included."""
    return [entry for entry in running.sim.journal if entry.transport == "ws"]


def keeps_to(running: Stack, asked: list[Chat], *, lanes: bool) -> None:
    """The protocol's rules: the model was given what was asked, once each; lanes are used as the host has them."""
    creates = running.creates()
    assert all(named(entry) is lanes for entry in frames(running))
    ran_as_asked(running, asked)
    for own in by_connection(creates).values():
        assert max(entry.at_work for entry in own) <= (16 if lanes else 1)
        assert len({entry.lane for entry in own}) <= (32 if lanes else 1)
        assert not lanes or all(entry.echoed for entry in own[1:])


def ran_as_asked(running: Stack, asked: list[Chat]) -> None:
    """No plain HTTP; each request's context ran exactly once; what was sent besides provably did not run."""
    assert all(entry.transport == "ws" for entry in running.sim.journal)
    creates = running.creates()
    assert all((entry.prompt is None) is (entry.outcome == "rejected") for entry in creates)
    ran = Counter(entry.prompt for entry in creates if entry.prompt)
    assert ran == Counter(prompt_of(talk) for talk in asked)


def by_connection(creates: list[Entry]) -> dict[int, list[Entry]]:
    """The creates of each socket."""
    own: dict[int, list[Entry]] = {}
    for entry in creates:
        own.setdefault(entry.connection, []).append(entry)
    return own


def routes(replies: list[Reply]) -> Counter[tuple[str, str]]:
    """How many took each route, and why."""
    return Counter((reply.route, reply.reason) for reply in replies)


def later(host: KnownHost) -> tuple[str, str]:
    """How a turn goes whose conversation the host remembers."""
    return ("delta", "") if host.deltas else ("full", "host_unverified")


def callers(count: int = _CALLERS) -> list[Chat]:
    """Conversations that begin; every other caller wants JSON."""
    return [chat(f"Caller {number}. [[rounds=3 calls=2]]", stream=number % 2 == 0) for number in range(count)]


def children(parent: Chat, output: list[Item]) -> list[Chat]:
    """The same history, with something else said next by each."""
    return [parent.followed(output, f"Child {number}.").set(stream=number % 2 == 0) for number in range(_CALLERS)]


@every_host
async def test_a_conversation(at: At, host: KnownHost) -> None:
    """On one socket, at the host's own URL; deltas where the host is known to verify ids, or shows that it does."""
    async with at(host) as running:
        talk, asked = chat("Look things up. [[rounds=2 calls=2]]"), []
        for number in range(4):
            (reply,) = await ask_all(running, [talk])
            assert (reply.route, reply.reason) == (later(host) if number else ("full", "first"))
            asked.append(talk)
            talk = talk.followed(reply.output)
        keeps_to(running, asked, lanes=host.lanes)
        handshake = running.sim.handshakes[0]
        assert len(running.sim.handshakes) == 1
        assert handshake.path == f"{host.path}/responses"
        assert dict(handshake.headers)["Host"].partition(":")[0] == host.name
        assert any(not entry.generate for entry in frames(running)) is host.asked


@every_host
async def test_callers_at_once(at: At, host: KnownHost) -> None:
    """Each in full, then as a delta; where there are no lanes, each on a socket of its own."""
    async with at(host) as running:
        first = callers()
        replies = await ask_all(running, first)
        assert routes(replies) == {("full", "first"): _CALLERS}
        second = all_followed(first, replies)
        assert routes(await ask_all(running, second)) == {later(host): _CALLERS}
        keeps_to(running, first + second, lanes=host.lanes)
        sockets = len(running.sim.handshakes)
        assert sockets <= _CALLERS if host.lanes else sockets == _CALLERS or not host.deltas


@every_host
async def test_siblings_of_an_unstored_parent(at: At, host: KnownHost) -> None:
    """With lanes all of them are deltas on their parent's socket; elsewhere the first is, and the others go in full."""
    async with at(host) as running:
        parent = chat("Talk. [[rounds=0]]")
        replies = await ask_all(running, [parent])
        siblings = children(parent, replies[0].output)
        replies = await ask_all(running, siblings)
        if host.lanes:
            assert routes(replies) == {("delta", ""): _CALLERS}
            assert len(running.sim.handshakes) == 1
        else:
            others = ("full", "parent_continued" if host.deltas else "host_unverified")
            assert routes(replies) == Counter([later(host), *[others] * (_CALLERS - 1)])
        grown = all_followed(siblings, replies)
        assert routes(await ask_all(running, grown)) == {later(host): _CALLERS}
        keeps_to(running, [parent, *siblings, *grown], lanes=host.lanes)


async def test_many_callers_do_not_wait_for_each_others_answers(at: At) -> None:
    """Where there are lanes they may wait for an echo: never for what the model is still thinking about."""
    async with at(HOSTS["OpenAI"], pool=Pool(wait_seconds=15.0)) as running:
        running.sim.faults.add(Fault("hang", times=99))
        tasks, asked = Tasks(), callers(24)
        answers = [tasks.start(running.ask(talk.body), "caller") for talk in asked]
        await running.sim.until(lambda: len(running.sim.faults.struck) == len(asked))
        running.sim.faults.clear()
        assert routes([await answer for answer in answers]) == {("full", "first"): len(asked)}
        keeps_to(running, asked, lanes=True)


async def test_the_budgets_of_one_connection(at: At) -> None:
    """On the only socket that is allowed: 16 turns at once, 32 names; who comes then waits, or takes a name over."""
    pool = Pool(max_connections_per_key=1, wait_seconds=15.0)
    async with at(HOSTS["OpenAI"], pool=pool) as running:
        asked = [chat(f"Caller {number}. [[rounds=0]]") for number in range(40)]
        assert routes(await ask_all(running, asked)) == {("full", "first"): len(asked)}
        keeps_to(running, asked, lanes=True)
        assert len(running.sim.handshakes) == 1


@pytest.mark.parametrize(
    ("host", "how", "shape", "omits"),
    [
        ("unknown", "unknown_parameter", "wrapped", ()),
        ("unknown", "invalid_stream_id", "wrapped", ("status",)),
        ("Azure", "invalid_stream_id", "flat", ()),
        ("xAI", "unknown_parameter", "wrapped", ("type", "code")),
        ("xAI", "unknown_parameter", "flat", ("status", "code")),
        ("Vercel", "text", "wrapped", ()),
        ("LiteLLM", "text", "text", ()),
        ("unknown", "vague", "wrapped", ()),
        ("unknown", "vague", "wrapped", ("status",)),
        ("Vercel", "vague", "flat", ("stream_id",)),
        ("Azure", "vague", "detail", ()),
        ("ChatGPT", "vague", "text", ()),
    ],
)
async def test_a_host_that_refuses_lanes(
    at: At, host: str, how: LaneRefusal, shape: ErrorShape, omits: tuple[str, ...]
) -> None:
    """Whatever its error looks like: what it refused is sent again without a name, unseen; no later turn has one."""
    behaviour = {"lane_refusal": how, "error_shape": shape, "error_omits": frozenset(omits)}
    async with at(HOSTS[host], lanes="on", **behaviour) as running:
        await goes_on_without(running, HOSTS[host], callers())


@pytest.mark.parametrize("host", ["unknown", "Vercel", "LiteLLM"])
async def test_a_host_that_ignores_lanes(at: At, host: str) -> None:
    """It answers without the name: the turn is good as it is, and no later one has a name."""
    async with at(HOSTS[host], lanes="on", lane_refusal="ignored") as running:
        await goes_on_without(running, HOSTS[host], callers(), refused=False)


async def test_a_host_that_loses_its_lanes_while_running(at: At) -> None:
    """Refused on a connection where names were echoed: sent again without a name, unseen; no later turn has one."""
    async with at(HOSTS["OpenAI"]) as running:
        first = callers()
        second = all_followed(first, await ask_all(running, first))
        running.sim.behaviour = replace(running.sim.behaviour, lanes=False)
        replies = await ask_all(running, second)
        third = all_followed(second, replies)
        await ask_all(running, third)
        ran_as_asked(running, first + second + third)
        assert not any(named(entry) for entry in running.creates()[-len(third) :])


async def goes_on_without(running: Stack, host: KnownHost, first: list[Chat], *, refused: bool = True) -> None:
    """Several at once, then their next turns: nobody sees anything of the lanes, and from then on there are none."""
    replies = await ask_all(running, first)
    assert {reply.route for reply in replies} == {"full"}
    assert {reply.reason for reply in replies} <= {"first", *(["lanes_refused"] if refused else [])}
    known = len(frames(running))
    second = all_followed(first, replies)
    replies = await ask_all(running, second)
    third = all_followed(second, replies)
    assert routes(await ask_all(running, third)) == {later(host): len(third)}
    newcomers = [chat(f"Newcomer {number}. [[rounds=1]]") for number in range(2)]
    await ask_all(running, newcomers)
    assert named(frames(running)[0])
    assert not any(named(entry) for entry in frames(running)[known:])
    ran_as_asked(running, first + second + third + newcomers)
    creates = running.creates()
    assert {entry.outcome for entry in creates if named(entry)} == {"rejected" if refused else "completed"}
    assert max(entry.at_work for entry in creates) == 1


@pytest.mark.parametrize("most", [1, 3])
async def test_a_host_with_fewer_names(at: At, most: int) -> None:
    """A connection whose names are used up is replaced: what was refused is sent again under a name, unseen."""
    async with at(HOSTS["OpenAI"], named_lanes=most) as running:
        first = callers()
        replies = [(await ask_all(running, [talk]))[0] for talk in first]
        assert routes(replies).keys() == {("full", "first"), ("full", "lanes_refused")}
        second = all_followed(first, replies)
        replies = [(await ask_all(running, [talk]))[0] for talk in second]
        assert routes(replies).keys() <= {("delta", ""), ("full", "lanes_refused")}
        ran_as_asked(running, first + second)
        assert all(named(entry) for entry in frames(running))
        refused = [entry for entry in running.creates() if entry.outcome == "rejected"]
        assert {entry.error_code for entry in refused} == {"websocket_stream_limit_reached"}


async def test_siblings_on_a_host_with_fewer_names(at: At) -> None:
    """A fork for which no name is left goes in full on another connection; those that have one go on."""
    async with at(HOSTS["OpenAI"], named_lanes=3) as running:
        parent = chat("Talk. [[rounds=0]]")
        replies = await ask_all(running, [parent])
        siblings = children(parent, replies[0].output)
        replies = await ask_all(running, siblings)
        grown = all_followed(siblings, replies)
        await ask_all(running, grown)
        ran_as_asked(running, [parent, *siblings, *grown])
        assert "lanes_refused" in {reply.reason for reply in replies}


async def test_single_calls_take_no_lane_from_a_loop(at: At) -> None:
    """Titles and summaries, however many: on the only socket there is, they give each other up, and loops go on."""
    async with at(
        HOSTS["OpenAI"], pool=Pool(max_connections=1, max_connections_per_key=1, wait_seconds=15.0)
    ) as running:
        loops = callers(6)
        for round_ in range(3):
            loops = all_followed(loops, replies := await ask_all(running, loops))
            assert routes(replies) == {later(HOSTS["OpenAI"]) if round_ else ("full", "first"): 6}
            for batch in range(4):
                await ask_all(running, [chat(f"Title {round_} {batch} {number}. [[rounds=0]]") for number in range(9)])


async def test_sub_agents_where_all_names_are_used_and_no_socket_more_is_allowed(at: At) -> None:
    """They take the places of conversations, as full turns would have to, and are deltas as long as there are any."""
    async with at(
        HOSTS["OpenAI"], pool=Pool(max_connections=1, max_connections_per_key=1, wait_seconds=15.0)
    ) as running:
        parent = chat("Talk. [[rounds=0]]")
        (reply,) = await ask_all(running, [parent])
        siblings = children(parent, reply.output)
        for batch in range(3):
            await ask_all(running, callers(9) if not batch else [chat(f"{batch} {n}. [[rounds=2]]") for n in range(9)])
        assert routes(await ask_all(running, siblings)) == {("delta", ""): _CALLERS}


async def test_a_person_goes_on_from_a_first_answer_without_a_call(at: At) -> None:
    """Its lane is given up before others, and not unless it is needed."""
    async with at(HOSTS["OpenAI"]) as running:
        talk = chat("Hello. [[rounds=0]]")
        (reply,) = await ask_all(running, [talk])
        await ask_all(running, [chat(f"Title {number}. [[rounds=0]]") for number in range(9)])
        assert routes(await ask_all(running, [talk.followed(reply.output)])) == {("delta", ""): 1}


@pytest.mark.parametrize("most", [1, 2])
async def test_a_host_with_fewer_in_flight(at: At, most: int) -> None:
    """It lets the others wait: their turns are as good, on the same lanes."""
    async with at(HOSTS["OpenAI"], in_flight=most) as running:
        parent = chat("Talk. [[rounds=0]]")
        replies = await ask_all(running, [parent])
        siblings = children(parent, replies[0].output)
        replies = await ask_all(running, siblings)
        assert {reply.status for reply in replies} == {200}
        keeps_to(running, [parent, *siblings], lanes=True)


@dataclass(frozen=True)
class Race:
    """How siblings lose the race for their parent, and what the host must be for it."""

    behaviour: Mapping[str, object]
    forget: bool = False


RACES = {
    "moved on": Race({"parent_gone_at": "next_created"}),
    "once only": Race({"once_only_parents": True}),
    "once only, 404": Race({"once_only_parents": True, "not_found_status": 404}),
    "forgotten": Race({}, forget=True),
}


@pytest.mark.parametrize("race", RACES.values(), ids=RACES.keys())
async def test_a_lost_race(at: At, race: Race) -> None:
    """Forks whose parent is gone are sent in full in the same turn, once each; only the record says so."""
    async with at(HOSTS["OpenAI"], **race.behaviour) as running:
        parent = chat("Look things up. [[rounds=2 calls=1]]")
        replies = await ask_all(running, [parent])
        await running.outcome()
        if race.forget:
            await running.sim.strike(Fault("forget", "now"))
        siblings = [answered(parent, replies[0].output, number) for number in range(_CALLERS)]
        replies = await ask_all(running, siblings)
        ran_as_asked(running, [parent, *siblings])
        lost = [entry for entry in running.creates() if entry.outcome == "rejected"]
        assert lost
        assert {entry.error_code for entry in lost} == {"previous_response_not_found"}
        repaired = [reply for reply in replies if reply.reason == "not_found"]
        assert len(repaired) == len(lost)
        assert routes(replies).keys() <= {("delta", ""), ("full", "not_found"), ("full", "parent_continued")}
        outcomes = [await running.outcome() for _ in siblings]
        assert Counter((str(one.reason or ""), one.replays) for one in outcomes) == Counter(
            (reply.reason, int(reply.reason == "not_found")) for reply in replies
        )
        grown = all_followed(siblings, replies)
        running.sim.behaviour = replace(running.sim.behaviour, once_only_parents=False)
        assert routes(await ask_all(running, grown)) == {("delta", ""): _CALLERS}


def answered(parent: Chat, output: list[Item], number: int) -> Chat:
    """The parent's calls answered in one way of several."""
    followed = parent.followed(output)
    last = followed.items[-1]
    assert last["type"] == "function_call_output"
    followed = followed.set(stream=number % 2 == 0)
    return replace(followed, items=(*followed.items[:-1], {**last, "output": f"as child {number} found it"}))


class Clock:
    """The monotonic clock, which a test may put forward; for the rest, the module `time`."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return time.monotonic() + self.ahead

    def __getattr__(self, name: str) -> object:
        """Whatever else is asked of it."""
        value: object = getattr(time, name)
        return value


@pytest.mark.parametrize("host", [pytest.param(host, id=name) for name, host in HOSTS.items() if host.deltas])
async def test_a_connection_is_replaced_before_the_host_would(
    at: At, host: KnownHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the host's own age limit: until shortly before it nothing happens, then a new socket; it is never reached."""
    clock = Clock()
    monkeypatch.setattr("proxy.upstream.pool.time", clock)
    async with at(host, clock=clock.monotonic, age_limit=host.age_limit) as running:
        talk, asked = chat("Look things up. [[rounds=4]]"), []
        for ahead, expected, sockets in (
            (0.0, ("full", "first"), 1),
            (host.age_limit - _MOST_LEFT - 30.0, later(host), 1),
            (host.age_limit - _LEAST_LEFT, ("full", "rotated"), 2),
            (host.age_limit + 30.0, later(host), 2),
        ):
            clock.ahead = ahead
            (reply,) = await ask_all(running, [talk])
            assert ((reply.route, reply.reason), len(running.sim.handshakes)) == (expected, sockets)
            asked.append(talk)
            talk = talk.followed(reply.output)
        keeps_to(running, asked, lanes=host.lanes)
        assert not [entry for entry in running.creates() if entry.outcome == "rejected"]
