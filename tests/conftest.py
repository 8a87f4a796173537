"""Set-up for all tests: how many examples the properties try.

`fast` (the default) tries few, always the same ones; `OPENLINE_DEEP=1` tries many new ones at each run.
"""

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings

from tests.e2e.report import Report

# Checks that tests share are to say what differs as the tests' own do. Here, as other suites import them too.
pytest.register_assert_rewrite("tests.e2e.stack", "tests.e2e.matrix.play", "tests.chaos")

DEEP = os.environ.get("OPENLINE_DEEP") == "1"
_DEEP_SECONDS = 1800

# How long an example takes depends on what else the machine does: time proves nothing here.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("fast", _UNTIMED, max_examples=100, derandomize=True, database=None)
settings.register_profile("deep", _UNTIMED, max_examples=2_000, print_blob=True)
settings.load_profile("deep" if DEEP else "fast")


def pytest_configure(config: pytest.Config) -> None:
    """Count the deltas of the recorded runs, wherever they are replayed."""
    config.pluginmanager.register(Report(config))


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Give deep properties the time they need."""
    if DEEP:
        for item in items:
            item.add_marker(pytest.mark.timeout(_DEEP_SECONDS))
