"""Silence on a line, by both clocks."""

import pytest

from proxy.upstream.silence import Silence


def test_a_line_is_not_doubted_within_the_limit() -> None:
    """What was heard just now is no reason for a ping; any silence beyond the limit is."""
    silence = Silence()
    silence.broken()
    assert not silence.doubtful(60.0)
    assert silence.doubtful(0.0)


def test_a_line_that_never_brought_anything_is_doubted() -> None:
    """An upgrade proves nothing: some middleboxes let it through, and no frames."""
    assert Silence().doubtful(60.0)


@pytest.mark.parametrize(("ahead", "doubtful"), [(10.0, True), (1.0, False), (-3_600.0, False)])
def test_a_machine_that_slept(ahead: float, doubtful: bool) -> None:  # noqa: FBT001
    """A wall clock that ran ahead of the monotonic one is a doubt; a small drift, or one set back, is none."""
    silence = Silence()
    silence.broken()
    monotonic, wall = silence._since
    silence._since = monotonic, wall - ahead
    assert silence.doubtful(60.0) is doubtful


def test_what_is_heard_begins_it_anew() -> None:
    """Every sound counts, and ends the doubt."""
    silence = Silence()
    silence.broken()
    monotonic, wall = silence._since
    silence._since = monotonic - 100.0, wall - 100.0
    assert silence.doubtful(60.0)
    silence.broken()
    assert not silence.doubtful(60.0)
    assert silence.heard == 2
