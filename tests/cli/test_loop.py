"""The event loop of the commands that serve."""

import uvloop

from proxy.cli.loop import new_loop


def test_it_is_uvloops() -> None:
    """Where uvloop is installed, as it is here; tests/cli/test_run.py is without it."""
    loop = new_loop()
    assert isinstance(loop, uvloop.Loop)
    loop.close()
