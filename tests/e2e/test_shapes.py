"""Shapes: whatever kinds of items a conversation has, each turn has its context, and is a delta where that is safe."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import msgspec
import pytest

from proxy.config import Match, Settings
from proxy.core.meaning import Rules
from proxy.simulator import Behaviour, render_request
from tests.conftest import DEEP
from tests.core.documented import MODELS
from tests.core.histories import KNOWN_HOST, STRICT, mark, prompt
from tests.e2e.hosted_shapes import SHAPES as HOSTED
from tests.e2e.hosted_shapes import UPSTREAM_SIDE
from tests.e2e.shapes import CLIENT_SIDE, ON, OPENING, Round, Script, user
from tests.e2e.stack import Chat, Item, Stack, chat, goes_on, prompt_of, stack
from tests.e2e.test_captures import LIKE_OPENAI

SHAPES: Mapping[str, Sequence[Round]] = {**CLIENT_SIDE, **HOSTED}
FAITHFUL = Settings(upstream=LIKE_OPENAI)
# Of the changes to a history so many are tried: all of them take half a minute.
STRIDE = 1 if DEEP else 4
# What nearly all shapes have.
USUAL = [*OPENING.adds, *OPENING.says, *ON.adds, *ON.says]
by_shape = pytest.mark.parametrize("name", SHAPES)


def at(rounds: Sequence[Round], turn: int, **settings: object) -> Chat:
    """The caller's conversation at this turn: all that it added, and what it was answered."""
    items: list[Item] = []
    for number in range(turn + 1):
        items = [*([] if rounds[number].anew else items), *rounds[number].adds]
        items += rounds[number].says if number < turn else []
    return Chat(tuple(items), {"metadata": {"turn": str(turn)}, **settings})


async def goes(running: Stack, talk: Chat, goes: str, new: Sequence[Item]) -> None:
    """The turn goes so, with the context and the answer of its full request; a delta brings what is new alone."""
    route, _, reason = goes.partition(" ")
    await goes_on(running, talk, route, reason)
    create = running.creates()[-1]
    assert (create.body or {})["input"] == list(new if route == "delta" else talk.items)
    assert (create.previous_response_id is not None) == (route == "delta")


@by_shape
@pytest.mark.parametrize("match", ["faithful", "relaxed"])
async def test_each_turn_goes_the_best_way_that_is_safe(name: str, match: Match) -> None:
    """Each turn of each shape goes as the shape says, in both modes that forgive."""
    rounds = SHAPES[name]
    async with stack(Behaviour(model=Script(rounds)), Settings(match=match, upstream=LIKE_OPENAI)) as running:
        for turn, one in enumerate(rounds):
            way = one.relaxed if one.relaxed and match == "relaxed" else one.goes
            await goes(running, at(rounds, turn), way, one.adds)


def test_each_documented_type_has_a_shape() -> None:
    """What a new SDK documents is decided here: whether it holds all that the model is given, and what follows."""
    items = [item for rounds in SHAPES.values() for one in rounds for item in (*one.adds, *one.says)]
    types = {str(item.get("type", "message")) for item in items}
    assert MODELS.keys() - types == {"item_reference"}, "those have tests of their own below"


# ---- what differs, however little, is not continued


def changes(value: object) -> Iterator[object]:
    """The value with one thing in it changed, for each thing in it."""
    if isinstance(value, dict):
        yield {**value, "more": None}
        for key, member in value.items():
            yield {name: other for name, other in value.items() if name != key}
            # With another call_id a call is not paired any more: hosts refuse that.
            yield from ({**value, key: other} for other in (() if key == "call_id" else changes(member)))
    elif isinstance(value, list):
        yield [*value, None]
        for index, member in enumerate(value):
            yield from ([*value[:index], other, *value[index + 1 :]] for other in changes(member))
    elif isinstance(value, str):
        yield f"{value} "
    else:
        yield "other" if value is None else None


@by_shape
def test_no_change_is_taken_for_the_same_that_the_model_could_tell(name: str) -> None:
    """Every single change to every item: what has one fingerprint has one prompt, in all modes."""
    for item in (item for one in SHAPES[name] for item in (*one.adds, *one.says)):
        for rules in (STRICT, KNOWN_HOST, Rules("relaxed", summaries_count=False)):
            one = json.dumps(item)
            same = mark([one], rules)
            for other in map(json.dumps, changes(item)):
                assert mark([other], rules) != same or prompt([other], rules) == prompt([one], rules), other


@by_shape
async def test_a_change_anywhere_in_a_history_reaches_the_model(name: str) -> None:
    """Whatever is changed in any item, with all earlier heads alive: the model is given what was sent."""
    rounds = SHAPES[name]
    last = len(rounds) - 1
    async with stack(Behaviour(model=Script(rounds)), FAITHFUL) as running:
        for turn in range(last):
            await running.ask(at(rounds, turn, store=True).body)
        talk = at(rounds, last, store=True)
        for index, item in enumerate(talk.items[:-1]):
            for other in () if item in USUAL else islice(changes(item), index % STRIDE, None, STRIDE):
                changed = Chat((*talk.items[:index], other, *talk.items[index + 1 :]), talk.settings)  # type: ignore[arg-type] # an item
                reply = await running.ask(changed.body)
                if reply.status == 200:
                    assert running.prompts()[-1] == prompt_of(changed)
                else:
                    assert reply.status == (await running.ask(changed.body, base=running.direct)).status, other
        await goes(running, talk, "delta", rounds[last].adds)


# ---- what the upstream ran, or compacted


@pytest.mark.parametrize(("match", "way"), [("faithful", "full hosted_tools"), ("relaxed", "delta")])
@pytest.mark.parametrize("name", ["web_search_call", "mcp_list_tools, mcp_call", "from_the_future"])
async def test_what_the_upstream_ran_may_be_dropped_in_relaxed_mode(name: str, match: Match, way: str) -> None:
    """Who sends back only what he knows goes in full; in relaxed mode as a delta, and the rest is still there."""
    rounds = HOSTED[name]
    kept = [item for item in rounds[1].says if item not in UPSTREAM_SIDE[name][0]]
    talk = Chat((*at(rounds, 1).items, *kept, user("And?")), at(rounds, 2).settings)
    async with stack(Behaviour(model=Script(rounds)), Settings(match=match, upstream=LIKE_OPENAI)) as running:
        for turn in range(2):
            await goes(running, at(rounds, turn), rounds[turn].goes, rounds[turn].adds)
        reply = await running.ask(talk.body)
        assert f"{reply.route} {reply.reason}".strip() == way
        assert running.prompts()[-1] == prompt_of(talk if match == "faithful" else at(rounds, 2))


@pytest.mark.parametrize(
    "name", ["web_search_call", "computer_call", "a compaction by the upstream, whose history goes on whole"]
)
async def test_where_responses_are_stored_the_head_before_serves(name: str) -> None:
    """An answer that gives no head costs a stored conversation that answer alone: it is sent back as it was told."""
    rounds = SHAPES[name]
    async with stack(Behaviour(model=Script(rounds)), FAITHFUL) as running:
        for turn, one in enumerate(rounds):
            new = [*rounds[1].adds, *rounds[1].says, *one.adds] if turn == 2 else one.adds
            await goes(running, at(rounds, turn, store=True), "delta" if turn else "full first", new)


async def test_how_the_context_is_managed_must_stay_as_it_is() -> None:
    """`context_management` is a setting that counts: with another one all is sent, and null is as good as none."""
    rounds = [OPENING, *[ON] * 5]
    managed, other = ([{"type": "compaction", "compact_threshold": tokens}] for tokens in (1000, 2000))
    async with stack(Behaviour(model=Script(rounds)), FAITHFUL) as running:
        ways = ["full first", "delta", "full no_match", "delta", "full no_match"]
        for turn, (way, asked) in enumerate(zip(ways, [managed, managed, other, other, None], strict=True)):
            await goes(running, at(rounds, turn, context_management=asked), way, rounds[turn].adds)
        await goes(running, at(rounds, 5), "delta", ON.adds)


async def test_a_compacted_history_starts_a_chain_of_its_own() -> None:
    """The compact endpoint passes through; what it made is sent in full once, and goes on in deltas."""
    include = ["reasoning.encrypted_content"]
    async with stack(settings=FAITHFUL) as running:
        talk = chat(include=include)
        for turn in range(2):
            talk, _ = await goes_on(running, talk, "delta" if turn else "full", "" if turn else "first")
        body = {"model": "gpt-5.4", "input": list(talk.items)}
        sent = {"authorization": "Bearer k"}
        async with running.session.post(f"{running.base}/responses/compact", json=body, headers=sent) as answer:
            assert (answer.status, answer.headers["x-openline-route"]) == (200, "passthrough")
            compacted = msgspec.convert((await answer.json())["output"], list[dict[str, object]])
        async with running.session.post(f"{running.direct}/responses/compact", json=body, headers=sent) as answer:
            assert (await answer.json())["output"] == compacted
        assert [item["type"] for item in compacted if "type" in item] == ["compaction"]
        talk = Chat((*compacted, user("Go on. [[rounds=3 reasoning=1]]")), {"include": include})
        for turn in range(4):
            talk, _ = await goes_on(running, talk, "delta" if turn else "full", "" if turn else "first")


# ---- a string, and its list


@pytest.mark.parametrize("text", ["Look things up.", "", 'é "\\u00e9" \u2028 😀\n'])
@pytest.mark.parametrize("listed", ["a string", "a part", "a message"])
async def test_a_string_goes_on_as_the_list_that_it_stands_for(text: str, listed: str) -> None:
    """A bare string is one message of the user: the next turn, which lists it in any form, is a delta."""
    part = [{"type": "input_text", "text": text}]
    form: Mapping[str, Item] = {
        "a string": {"role": "user", "content": text},
        "a part": {"role": "user", "content": part},
        "a message": {"type": "message", "role": "user", "content": part, "id": None, "status": "completed"},
    }
    talk = Chat((form[listed],))
    async with stack(settings=FAITHFUL) as running:
        # The same again is no continuation of its own answer.
        replies = [await running.ask({**talk.body, "input": text}) for _ in range(2)]
        assert [(reply.route, reply.reason) for reply in replies] == [("full", "first")] * 2
        assert running.prompts() == [prompt_of(talk)] * 2
        talk = talk.followed(replies[0].output)
        for _ in range(3):
            talk, _ = await goes_on(running, talk)


# ---- references


def named(item: Item, *, bare: bool) -> Item:
    """A reference to the item, in either form."""
    return {"id": item["id"]} if bare else {"type": "item_reference", "id": item["id"]}


@pytest.mark.parametrize("bare", [False, True], ids=["typed", "bare"])
@pytest.mark.parametrize("kind", ["reasoning", "function_call", "message"])
@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_reference_to_a_stored_item_goes_on_as_the_item(kind: str, *, bare: bool, encrypted: bool) -> None:
    """Reasoning, calls and messages of stored responses may be named instead of sent, at any time, and once more."""
    include = ["reasoning.encrypted_content"] if encrypted else []
    talk = chat("Go. [[rounds=2 calls=2 reasoning=1 phase=1]]", store=True, include=include)
    stored: dict[str, Item] = {}
    async with stack(settings=FAITHFUL) as running:
        for turn in range(5):
            reply = await running.ask(talk.body)
            assert (reply.status, reply.route) == (200, "delta" if turn else "full")
            assert running.prompts()[-1] == render_request(talk.body, stored=stored)
            stored |= {str(item["id"]): item for item in reply.output}
            plain = talk.followed(reply.output)
            said = [
                named(item, bare=bare) if item.get("id") in stored and item["type"] == kind else item
                for item in reply.output
            ]
            again = [named(stored[str(item["id"])], bare=bare) for item in reply.output if item["type"] == "message"]
            new = plain.items[len(talk.items) + len(said) :]
            talk = Chat((*talk.items, *said, *new, *again), talk.settings)


@pytest.mark.parametrize("bare", [False, True], ids=["typed", "bare"])
@pytest.mark.parametrize("host", ["the caller does not store", "the host stores nothing"])
async def test_a_reference_to_what_nobody_stored_is_refused_as_ever(host: str, *, bare: bool) -> None:
    """The host's own 404 comes, as from the API itself; who then sends the item goes on as if he had never asked."""
    store = host == "the host stores nothing"
    behaviour = Behaviour(honours_store=not store)
    async with stack(behaviour, FAITHFUL) as running:
        begun = chat(store=store, include=["reasoning.encrypted_content"])
        reply = await running.ask(begun.body)
        talk = begun.followed(reply.output)
        thought = reply.output[0]
        odd = Chat(tuple(named(item, bare=bare) if item == thought else item for item in talk.items), talk.settings)
        refused = await running.ask(odd.body)
        assert refused.status == 404
        assert refused.error == (await running.ask(odd.body, base=running.direct)).error
        await goes_on(running, talk)


async def test_a_reference_to_what_openline_never_saw_is_only_itself() -> None:
    """What another client was told is sent as it is named, and from there on the conversation goes on in deltas."""
    async with stack(settings=FAITHFUL) as running:
        first = chat("Go. [[rounds=0 reasoning=1]]", store=True)
        told = (await running.ask(first.body, base=running.direct)).output
        stored = {str(item["id"]): item for item in told}
        talk = Chat(
            (*first.items, *(named(item, bare=True) for item in told), user("And? [[rounds=2]]")), first.settings
        )
        for turn in range(3):
            reply = await running.ask(talk.body)
            assert (reply.route, reply.reason) == (("delta", "") if turn else ("full", "no_match"))
            assert running.prompts()[-1] == render_request(talk.body, stored=stored)
            talk = talk.followed(reply.output)
