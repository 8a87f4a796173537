"""The status: how a listener is told, and that nothing in it can be changed."""

import dataclasses
import os

import pytest

from proxy import __version__
from proxy.server.status import Identity, url
from proxy.upstream.breaker import Breakers


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 - no socket
        ("::", "http://[::1]:80"),
        ("192.0.2.1", "http://192.0.2.1:80"),
    ],
)
def test_a_listener_is_told_as_this_machine_reaches_it(host: str, expected: str) -> None:
    """A URL that can be used: in brackets where need be, and one address where it listens at all."""
    assert url(host, 80) == expected


def test_an_identity_is_this_process() -> None:
    """Name, version and process, and no address before there is one."""
    assert dataclasses.astuple(Identity()) == ("openline", __version__, os.getpid(), None, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Identity().pid = 1  # type: ignore[misc] # the point of the test


def test_seconds_are_told_to_a_person() -> None:
    """Three places: what is left of a breaker's time has as many as any clock."""
    times = iter(range(1, 100))
    breakers = Breakers(1, 30.0, name="x", clock=lambda: next(times) / 7, notice=lambda _: None)
    breakers.failed(b"key", 0.0)
    left = breakers.status().seconds_left
    assert left > 0
    assert left == round(left, 3)
