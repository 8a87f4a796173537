"""What outlives a connection."""

import time

import pytest

from proxy.simulator import Behaviour, Handshake, Link, Request
from proxy.simulator.host import Host, Seen


async def test_what_is_seen_is_journaled_and_observed() -> None:
    """Handshakes and requests go to their lists, and to the observer."""
    observed: list[Seen] = []
    host = Host(Behaviour(), observed.append)
    handshake, request = Handshake("/v1/responses", (), 101, 1), Request("GET", "/v1/models", (), b"")
    host.saw(handshake)
    host.saw(request)
    assert observed == [handshake, request]
    assert (list(host.handshakes), list(host.requests)) == ([handshake], [request])


async def test_lists_are_bounded() -> None:
    """The oldest go first."""
    host = Host(Behaviour(journal_limit=2), None)
    for status in (1, 2, 3):
        host.saw(Handshake("/", (), status))
    assert [handshake.status for handshake in host.handshakes] == [2, 3]


async def test_forgetting_is_repeatable() -> None:
    """The same seed loses the same responses; chances of 0 and 1 are certain."""

    def losses(seed: int, chance: float) -> list[bool]:
        host = Host(Behaviour(seed=seed, forgetful=chance), None)
        return [host.forgets("resp") for _ in range(64)]

    assert losses(1, 0.5) == losses(1, 0.5)
    assert losses(1, 0.5) != losses(2, 0.5)
    assert set(losses(1, 0.0)) == {False}
    assert set(losses(1, 1.0)) == {True}


async def test_consuming_counts_only_where_parents_do() -> None:
    """Only a host with once-only parents minds."""
    for once in (True, False):
        host = Host(Behaviour(once_only_parents=once), None)
        host.consume("resp")
        assert host.consumed("resp") is once


async def test_the_link_takes_its_time() -> None:
    """The emulated link really waits."""
    host = Host(Behaviour(link=Link(0.01, 10_000)), None)
    begun = time.monotonic()
    await host.until(host.crossing(100))
    assert time.monotonic() - begun >= 0.03


async def test_what_follows_shares_the_uplink_and_waits_for_no_answer() -> None:
    """Two frames sent at once pay one round trip between them, and each the time of both on the uplink."""
    host = Host(Behaviour(link=Link(1.0, 10_000)), None)
    first, second = host.crossing(5_000), host.crossing(5_000)
    assert second - first == pytest.approx(0.5, abs=0.01)
