"""Keys of fingerprints: one for what dies with the process, another for what is kept, of each installation its own."""

from pathlib import Path

import pytest

from proxy.server.app import Openline
from proxy.simulator import Simulator
from tests.e2e.stack import chat
from tests.trust.session import free_port
from tests.trust.test_separation import A, installation, stored_turn


def known(app: Openline) -> set[bytes]:
    """The fingerprints of all heads, stored or not."""
    assert app._engine is not None
    return set(app._engine.memory._heads._heads)


async def test_only_what_is_stored_has_a_lasting_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One installation, started twice: the same stored history has the same fingerprint, an unstored one another."""
    seen: list[tuple[set[bytes], set[bytes]]] = []
    port = free_port()
    async with Simulator() as sim:
        url = await sim.start()
        for _ in range(2):
            async with installation(tmp_path, url, port, monkeypatch) as app:
                before = known(app)
                await stored_turn(port, A, chat(store=False))
                passing = known(app) - before
                await stored_turn(port, A, chat(store=True))
                seen.append((passing, known(app) - passing))
    (first, kept), (second, again) = seen
    assert first
    assert first.isdisjoint(second | again | kept)
    assert kept == again
