"""What the tests of turns share."""

from tests.upstream.conftest import nothing_left

__all__ = ["nothing_left"]
