"""A table at the end of pytest's report: how many links of each recorded run went as deltas."""

from typing import Protocol

import pytest

Counts = dict[tuple[str, str], tuple[int, int]]
"""By run and `match`: its links, and how many of them went as deltas."""

COUNTS = pytest.StashKey[Counts]()
_NAME = "captures"


class Worker(Protocol):
    """A process that ran a part of the tests (pytest-xdist), and what it left behind."""

    workeroutput: dict[str, Counts]


class Report:
    """Gathers the counts that the replays of tests/data/captures noted, from all processes that ran some."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_sessionfinish(self) -> None:
        """In a worker: hand them to the process that reports."""
        output: dict[str, Counts] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_NAME] = self._config.stash.get(COUNTS, {})

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Worker) -> None:
        """A worker is done. One that crashed left nothing."""
        counts = getattr(node, "workeroutput", {}).get(_NAME, {})
        self._config.stash.setdefault(COUNTS, {}).update(counts)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the table."""
        counts = self._config.stash.get(COUNTS, {})
        if not counts:
            return
        matches = sorted({match for _, match in counts})
        terminalreporter.section("captures: deltas of links")
        terminalreporter.write_line(f"{'run':<22}{'links':>6}" + "".join(f"{match:>10}" for match in matches))
        for name in sorted({name for name, _ in counts}):
            row = {match: counts[name, match] for match in matches if (name, match) in counts}
            links = next(iter(row.values()))[0]
            deltas = "".join(f"{row[match][1] if match in row else '-':>10}" for match in matches)
            terminalreporter.write_line(f"{name:<22}{links:>6}{deltas}")
