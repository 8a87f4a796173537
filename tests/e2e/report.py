"""Counts: what the replays of the recorded runs note for the end of pytest's report."""

import pytest

Counts = dict[tuple[str, str], tuple[int, int]]
"""By run and `match`: its links, and how many of them went as deltas."""

COUNTS = pytest.StashKey[Counts]()
