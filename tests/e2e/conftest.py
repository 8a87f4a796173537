"""A table at the end of the report: how many links of each recorded run went as deltas."""

import pytest

from tests.e2e.report import COUNTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the counts that the replays of tests/data/captures noted."""
    counts = config.stash.get(COUNTS, {})
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
