"""Fields that no model is shown: no answer tells whether they arrived, so that is asked of the journal here."""

import pytest

from proxy.config import Settings, Upstream
from proxy.core.scope import FREE
from proxy.simulator import Behaviour
from proxy.simulator.prompt import UNSHOWN_FIELDS
from tests.e2e.stack import begun, chat, goes_on, prompt_of, stack

_SETTINGS = Settings(upstream=Upstream(verifies_ids="yes"))


@pytest.mark.parametrize("websocket", [True, False], ids=["socket", "http"])
@pytest.mark.parametrize("name", sorted(UNSHOWN_FIELDS))
async def test_each_arrives_on_every_turn(name: str, websocket: bool) -> None:  # noqa: FBT001 - a parameter
    """The first turn and a later one bring what the caller wrote, new values too, by socket and by plain HTTP."""
    async with stack(Behaviour(websocket=websocket), _SETTINGS) as running:
        talk = chat().set(**{name: {"run": "1", "nothing": None}})
        first = await running.ask(talk.body)
        assert (first.status, first.route) == (200, "full" if websocket else "http")
        assert running.prompts() == [prompt_of(talk)]
        assert f'{name} = {{"run": "1", "nothing": null}}' in prompt_of(talk)
        later = talk.followed(first.output)
        later = later.set(**{name: {"run": "2"}}) if name in FREE else later
        second = await running.ask(later.body)
        assert (second.status, second.route) == (200, "delta" if websocket else "http")
        assert running.prompts()[-1] == prompt_of(later) != prompt_of(talk.followed(first.output).set(**{name: None}))


async def test_all_at_once_change_no_answer() -> None:
    """A caller that sets them all gets what one that sets none gets, turn by turn."""
    async with stack(settings=_SETTINGS) as running:
        bare, labelled = chat(), chat().set(**{name: {"run": "1"} for name in UNSHOWN_FIELDS})
        bare, labelled = await begun(running, bare), await begun(running, labelled)
        for _ in range(3):
            assert bare.items == labelled.items
            bare, _ = await goes_on(running, bare)
            labelled, _ = await goes_on(running, labelled)


async def test_reasoning_that_nobody_kept_is_the_404_of_plain_http() -> None:
    """Not stored and not encrypted it is the upstream's alone: no delta answers what the API would not."""
    async with stack(settings=_SETTINGS) as running:
        talk = chat(include=[], reasoning={"effort": "low"})
        first = await running.ask(talk.body)
        later = talk.followed(first.output)
        proxied, direct = await running.ask(later.body), await running.ask(later.body, base=running.direct)
        assert (proxied.status, proxied.error) == (direct.status, direct.error)
        assert (direct.status, proxied.route, proxied.reason) == (404, "full", "hidden_reasoning")
