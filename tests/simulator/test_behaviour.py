"""Behaviour and Link are checked when they are made."""

import pytest

from proxy.simulator import Behaviour, Link


@pytest.mark.parametrize(
    "bad",
    [
        {"delta_chars": 0},
        {"named_lanes": 0},
        {"in_flight": 0},
        {"base_path": "v1"},
        {"base_path": "/v1/"},
        {"base_path": ""},
        {"frame_limit": 0},
        {"journal_limit": 0},
        {"store_limit": 0},
        {"think_seconds": -1.0},
        {"event_seconds": -1.0},
        {"age_limit": -1.0},
        {"forgetful": 1.5},
        {"error_omits": frozenset({"everything"})},
    ],
    ids=str,
)
def test_impossible_values_are_refused(bad: dict[str, object]) -> None:
    """The message names the option."""
    with pytest.raises(ValueError, match=f"Behaviour.{next(iter(bad))}"):
        Behaviour(**bad)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize("bad", [(-1.0, 0.0), (0.0, -1.0)])
def test_impossible_links_are_refused(bad: tuple[float, float]) -> None:
    """A link cannot be quicker than none."""
    with pytest.raises(ValueError, match="Link: "):
        Link(*bad)


def test_a_link_takes_a_round_trip_and_the_time_to_send() -> None:
    """Twice the latency, and the size over the uplink; no link takes no time."""
    assert Link(0.05, 1_000).delay(500) == pytest.approx(0.6)
    assert Link(0.05).delay(10**9) == pytest.approx(0.1)
    assert Link().delay(10**9) == 0
