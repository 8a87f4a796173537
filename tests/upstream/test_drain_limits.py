"""The limits of a drain are those that docs/reliability.md promises."""

from pathlib import Path

from proxy.upstream.drain import _BYTES, _SECONDS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def test_the_limits_are_the_documented_ones() -> None:
    """10 s and 256 KiB: the page says so in words, and the code in numbers."""
    assert (_SECONDS, _BYTES) == (10.0, 256 * 1_024)
    assert f"drained for {_SECONDS:g} s and {_BYTES // 1_024} KiB at most" in " ".join(PAGE.read_text().split())
