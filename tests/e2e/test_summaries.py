"""Summaries: encrypted reasoning that comes back with another summary, as some clients send it."""

from dataclasses import replace
from typing import get_args

import pytest

from proxy.config import Match, Settings, Upstream
from proxy.simulator import Behaviour, render_request
from tests.e2e.stack import Chat, Item, begun, chat, goes_on, stack

_ENCRYPTED = {"include": ["reasoning.encrypted_content"]}
_OTHER = {"summary": [{"type": "summary_text", "text": "in other words"}]}


def _retold(talk: Chat) -> Chat:
    """The history with every summary told otherwise."""
    items = tuple({**item, **_OTHER} if item.get("type") == "reasoning" else item for item in talk.items)
    return replace(talk, items=items)


def _prompts(items: tuple[Item, ...]) -> str:
    return render_request({**chat().set(**_ENCRYPTED).body, "input": list(items)}, summaries_count=True)


@pytest.mark.parametrize("match", get_args(Match))
async def test_where_summaries_count_only_relaxed_goes_on(match: Match) -> None:
    """The host reads summaries: another one is another history, but in relaxed mode, which keeps the first."""
    settings = Settings(match=match, upstream=Upstream(verifies_ids="yes", summaries_count="yes"))
    async with stack(Behaviour(summaries_count=True), settings) as running:
        first = await begun(running, chat().set(**_ENCRYPTED))
        retold = _retold(first)
        assert retold.items != first.items
        reply = await running.ask(retold.body)
        route, read = ("delta", first) if match == "relaxed" else ("full", retold)
        assert (reply.route, reply.reason) == (route, "" if route == "delta" else "no_match")
        assert running.prompts()[-1] == _prompts(read.items)


@pytest.mark.parametrize("match", ["faithful", "relaxed"])
async def test_where_they_do_not_count_it_is_the_same_history(match: Match) -> None:
    """A host that is known to read the encrypted content alone: every turn is a delta, with the very same prompt."""
    settings = Settings(match=match, upstream=Upstream(verifies_ids="yes", summaries_count="no"))
    async with stack(settings=settings) as running:
        talk = await begun(running, chat().set(**_ENCRYPTED))
        for _ in range(3):
            talk, _ = await goes_on(running, _retold(talk))
