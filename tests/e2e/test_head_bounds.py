"""The bounds of heads, as settings give them: by count and by age, what goes first is sent in full again."""

import time

import pytest

from proxy.config import Heads, Settings, Upstream
from tests.e2e.stack import begun, chat, goes_on, stack
from tests.upstream.peer import until


def remembering(heads: Heads) -> Settings:
    """Settings for a host that is known to verify ids."""
    return Settings(upstream=Upstream(verifies_ids="yes"), heads=heads)


@pytest.mark.parametrize("store", [False, True])
async def test_as_many_as_the_setting_says(*, store: bool) -> None:
    """Of three conversations the one that was used longest ago is forgotten; the latest goes on as a delta."""
    async with stack(settings=remembering(Heads(max_count=2))) as running:
        talks = [await begun(running, chat(f"Talk {number}. [[rounds=0]]", store=store)) for number in range(3)]
        assert running.app._engine is not None
        assert len(running.app._engine.memory._heads) == 2
        await goes_on(running, talks[2])
        await goes_on(running, talks[0], "full", "no_match")


async def test_no_older_than_the_setting_says() -> None:
    """What is older than a moment is always forgotten by the next turn, though its socket is open still."""
    async with stack(settings=remembering(Heads(max_age_seconds=0.001))) as running:
        talk = await begun(running, chat())
        old = time.monotonic() + 0.001
        await until(lambda: time.monotonic() > old)
        await goes_on(running, talk, "full", "no_match")
        assert running.app.status().pool.sockets.idle >= 1
