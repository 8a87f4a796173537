"""History: the latest outcomes, so many and no more, found by the end of their id."""

from proxy.core.reasons import Route
from proxy.telemetry.history import History
from proxy.turns.outcome import Outcome


def outcomes(count: int) -> list[Outcome]:
    """So many, every third one of a run."""
    return [Outcome(f"ol_{n:04}", Route.FULL, run=None if n % 3 else "r") for n in range(count)]


def test_of_too_many_the_oldest_goes() -> None:
    """It holds the latest, oldest first."""
    history = History(most=5)
    for outcome in outcomes(8):
        history.add(outcome)
    assert [one.id for one in history] == ["ol_0003", "ol_0004", "ol_0005", "ol_0006", "ol_0007"]
    assert len(history) == 5


def test_the_last_ones_of_a_run() -> None:
    """As many as there are and are asked for."""
    history = History()
    for outcome in outcomes(8):
        history.add(outcome)
    assert [one.id for one in history.latest(2)] == ["ol_0006", "ol_0007"]
    assert [one.id for one in history.latest(2, "r")] == ["ol_0003", "ol_0006"]
    assert history.latest(0) == history.latest(5, "other") == []


def test_the_end_of_an_id_will_do() -> None:
    """Where it is the end of one alone; a whole id always does."""
    history = History()
    for outcome in (*outcomes(12), Outcome("0011", Route.HTTP)):
        history.add(outcome)
    found = history.find("0007")
    assert found is not None
    assert found.id == "ol_0007"
    whole = history.find("0011")
    assert whole is not None
    assert whole.route is Route.HTTP
    assert history.find("1") is None
    assert history.find("x") is None
    assert history.find("") is None
