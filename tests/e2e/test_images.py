"""Images whose preparation may go by the transport, end to end: which way they go, and that nothing is lost of it."""

import gzip
from itertools import product
from typing import Literal

import msgspec
import pytest

from proxy.config import Images, Mode, Settings, Upstream
from proxy.core.reasons import Plain, Route
from proxy.turns.outcome import Outcome
from tests.e2e.stack import TOOLS, Chat, Item, Reply, Stack, prompt_of, stack
from tests.e2e.test_observe import Course, course

IMAGE: Item = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
SEEN: Item = {"role": "user", "content": [{"type": "input_text", "text": "Look. [[rounds=2 reasoning=1]]"}, IMAGE]}
SPELLED = (
    rb'{ "model":"gpt-5.4", "st\u006fre" : false,'
    rb' "input":[ {"role":"user","content":[{"type":"input\u005fimage","image_url":"u"}]} ] , "top_p":1.0 }'
)
FIXED: tuple[Literal["enabled", "disabled"], ...] = ("enabled", "disabled")


def given(images: Images = "http", mode: Mode = "on") -> Settings:
    """Settings for a host that verifies ids."""
    return Settings(mode=mode, upstream=Upstream(verifies_ids="yes", images=images))


def look(**settings: object) -> Chat:
    """A conversation that begins with an image."""
    return Chat((SEEN,), settings)


def policy(reply: Reply) -> object:
    """What the answer says of how images were prepared."""
    return reply.response.get("image")


async def turn(running: Stack, chat: Chat, headers: dict[str, str] | None = None) -> tuple[Reply, Outcome]:
    """One turn that goes well, with the prompt that its request spells out."""
    reply = await running.ask(chat.body, headers=headers)
    assert (reply.status, running.prompts()[-1]) == (200, prompt_of(chat))
    return reply, await running.outcome()


async def test_images_go_over_http_where_that_is_set() -> None:
    """From the first turn with one to the end of the conversation; no socket is opened, the policy is that of HTTP."""
    async with stack(settings=given()) as running:
        chat = look()
        for streamed in (False, True, False):
            reply, outcome = await turn(running, chat.set(stream=streamed))
            assert (reply.route, reply.reason, policy(reply)) == ("http", "images", {"context_compression": "disabled"})
            assert (outcome.route, outcome.reason, outcome.would) == (Route.HTTP, Plain.IMAGES, None)
            assert outcome.sent_bytes == outcome.request_bytes == running.sim.journal[-1].size
            chat = chat.followed(reply.output)
        assert [entry.transport for entry in running.sim.journal] == ["http"] * 3
        assert not running.sim.handshakes


@pytest.mark.parametrize("coded", [False, True])
async def test_the_request_arrives_byte_for_byte(coded: bool) -> None:  # noqa: FBT001 # a table
    """Spelling, white space and compression are those of the caller."""
    raw, headers = (gzip.compress(SPELLED), {"content-encoding": "gzip"}) if coded else (SPELLED, {})
    async with stack(settings=given()) as running:
        reply = await running.ask_raw(raw, headers=headers)
        assert (reply.status, reply.route, reply.reason) == (200, "http", "images")
        (entry,) = running.sim.journal
        assert (entry.transport, entry.raw) == ("http", raw)


async def test_an_image_that_comes_later_ends_the_deltas() -> None:
    """Text goes as deltas until a tool gives an image; the way back is a history without it."""
    async with stack(settings=given()) as running:
        chat = Chat(({"role": "user", "content": "Look it up. [[rounds=3]]"},), {"tools": TOOLS})
        first, _ = await turn(running, chat)
        chat = chat.followed(first.output)
        second, _ = await turn(running, chat)
        assert (first.route, second.route) == ("full", "delta")
        seen = chat.followed(second.output)
        seen = Chat((*seen.items[:-1], {**seen.items[-1], "output": [IMAGE]}), seen.settings)
        third, _ = await turn(running, seen)
        assert (third.route, third.reason) == ("http", "images")
        unseen, _ = await turn(running, chat.followed(second.output))
        assert unseen.route == "delta"


@pytest.mark.parametrize("fixed", FIXED)
async def test_a_policy_of_the_callers_own_goes_as_deltas(fixed: str) -> None:
    """It is the same over every transport: nothing is kept back, and the host is told of it each time."""
    image = {"context_compression": fixed}
    async with stack(settings=given()) as running:
        chat, routes = look(image=image), []
        for _ in range(3):
            reply, _ = await turn(running, chat)
            assert policy(reply) == image == policy(await running.ask(chat.body, base=running.direct))
            routes.append(reply.route)
            chat = chat.followed(reply.output)
        assert routes == ["full", "delta", "delta"]
        assert [entry.body and entry.body["image"] for entry in running.creates()] == [image] * 3


@pytest.mark.parametrize("image", [None, {}, {"context_compression": "auto"}], ids=str)
async def test_by_default_they_go_as_any_other(image: object) -> None:
    """As deltas, with what the caller says of them; the host may then go by the transport, and says so."""
    said = {} if image is None else {"image": image}
    async with stack(settings=given("socket")) as running:
        chat = look(**said)
        first, _ = await turn(running, chat)
        chat = chat.followed(first.output)
        second, _ = await turn(running, chat)
        assert (first.route, second.route, second.reason) == ("full", "delta", "")
        assert policy(second) == {"context_compression": "enabled"}
        assert policy(await running.ask(chat.body, base=running.direct)) == {"context_compression": "disabled"}
        assert [(entry.body or {}).get("image") for entry in running.creates()] == [image] * 2


async def test_another_policy_is_never_continued() -> None:
    """A turn that says otherwise of images than the one before goes in full, and is told why."""
    policies: list[Item] = [{}, {"image": {}}]
    policies += [{"image": {"context_compression": each}} for each in ("auto", *FIXED)]
    async with stack(settings=given("socket")) as running:
        for before, after in product(policies, repeat=2):
            start: Item = {"role": "user", "content": f"After {before} comes {after}. [[rounds=0]]"}
            first, _ = await turn(running, Chat((start, SEEN), before))
            second, outcome = await turn(running, Chat((start, SEEN), after).followed(first.output))
            if before == after:
                assert second.route == "delta"
            else:
                assert (second.route, second.reason) == ("full", "no_match")
                assert outcome.why
                assert outcome.why.settings == ("image",)


@pytest.mark.parametrize(("asked", "reason"), [("full", "images"), ("on", "images"), ("off", "mode_off")])
async def test_the_header_for_one_turn_does_not_put_them_on_a_socket(asked: str, reason: str) -> None:
    """`x-openline-mode` says how deltas are made; where images go is the owner's to say."""
    async with stack(settings=given()) as running:
        reply, _ = await turn(running, look(), {"x-openline-mode": asked})
        assert (reply.route, reply.reason) == ("http", reason)


async def courses(images: Images, mode: Mode) -> list[Course]:
    """How the two turns of three conversations go, or would: with images, with a fixed policy for them, without."""
    found: list[Course] = []
    async with stack(settings=given(images, mode)) as running:
        for chat in (
            look(),
            look(image={"context_compression": "disabled"}),
            Chat(({"role": "user", "content": "x"},)),
        ):
            talk = chat
            for _ in range(2):
                reply, outcome = await turn(running, talk)
                assert (outcome.would is not None) == (reply.reason == "observed") == (mode == "observe")
                found.append(course(outcome))
                talk = talk.followed(reply.output)
    return found


@pytest.mark.parametrize(("images", "ways"), [("socket", ["full", "delta"]), ("http", ["http", "http"])])
async def test_observed_they_would_go_as_they_do(images: Images, ways: list[str]) -> None:
    """Mode `observe` tells the routes, reasons and sizes of mode `on`, whatever becomes of images."""
    told = await courses(images, "observe")
    assert [each.route for each in told] == [*ways, "full", "delta", "full", "delta"]
    assert told == await courses(images, "on")


async def test_a_reload_counts_from_the_next_turn_on() -> None:
    """A conversation on its socket goes over plain HTTP once that is set, and may come back."""
    async with stack(settings=given("socket")) as running:
        chat = look()
        routes: list[str] = []
        for images in ("socket", "http", "socket"):
            upstream = msgspec.structs.replace(running.app.settings.upstream, images=images)
            told = running.app.reload(msgspec.structs.replace(running.app.settings, upstream=upstream))
            assert told.changed == (("upstream.images",) if routes else ())
            reply, _ = await turn(running, chat)
            routes.append(f"{reply.route} {reply.reason}")
            chat = chat.followed(reply.output)
        assert routes == ["full first", "http images", "full no_match"]
