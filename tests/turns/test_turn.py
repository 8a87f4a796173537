"""A turn as a value: what it continues, and what its outcome names."""

import msgspec

from proxy.core.continuation import Delta, Full
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Head
from proxy.core.lane import Lane
from proxy.core.lanes import Lanes
from proxy.core.reasons import Route, Whole
from proxy.core.recovery import Phase
from proxy.core.request import parse
from proxy.turns.outcome import Outcome
from proxy.turns.turn import Turn
from proxy.upstream.address import Address, pool_key
from proxy.upstream.http import HttpRequest


def turn() -> Turn:
    """One that has just come in."""
    body = msgspec.json.encode({"model": "m", "input": "my secret prompt"})
    headers = (("Authorization", "Bearer sk-secret"), ("Idempotency-Key", "other-secret"))
    key = pool_key(Address("http://h/v1"), headers, (), "", Fingerprints(b"k" * 32))
    create = parse(body, most_items=1)
    return Turn(create, key, HttpRequest("POST", "/v1/responses", headers, body), False, Outcome("ol_1", Route.FULL))  # noqa: FBT003


def head() -> Head:
    """Some head."""
    return Head("resp_1", (b"f",), b"key", Lane(Lanes(1, named=False, clock=float), None), stored=False)


def test_a_delta_names_its_head() -> None:
    """While a turn goes as a delta its head is the one continued, and the outcome needs no reason."""
    one, parent = turn(), head()
    assert one.continued is None
    one.go(Delta(parent, 1))
    assert one.continued is parent
    assert (one.outcome.route, one.outcome.reason) == (Route.DELTA, None)


def test_a_full_turn_names_its_reason() -> None:
    """Another course starts from the beginning, and the outcome tells the last one taken."""
    one = turn()
    one.go(Delta(head(), 1))
    one.phase = Phase.WRITTEN
    one.go(Full(Whole.NOT_FOUND))
    assert one.continued is None
    assert one.phase is Phase.UNSENT
    assert (one.outcome.route, one.outcome.reason) == (Route.FULL, Whole.NOT_FOUND)


def test_a_turn_shows_nothing_private() -> None:
    """Its repr holds neither credentials nor the prompt."""
    assert "secret" not in repr(turn())
