"""What the tests of turns share."""

from tests.upstream.conftest import nothing_left, peer

__all__ = ["nothing_left", "peer"]
