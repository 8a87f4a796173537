"""Silence: when a line is doubted."""

import time

import pytest

from proxy.upstream.silence import Silence


def test_a_line_is_doubted_after_a_while() -> None:
    """Nothing was heard for longer than the limit; with a longer limit there is no doubt."""
    silence = Silence()
    assert silence.doubtful(after=-1.0)
    assert not silence.doubtful(after=60.0)


def test_a_machine_that_slept_doubts_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock stands still in sleep and the wall clock does not: the gap between them tells."""
    silence = Silence()
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + 30.0)
    assert silence.doubtful(after=60.0)


def test_what_is_heard_ends_the_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything that arrives after the sleep proves the line, and is counted."""
    silence = Silence()
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + 30.0)
    silence.broken()
    assert not silence.doubtful(after=60.0)
    assert silence.heard == 1
