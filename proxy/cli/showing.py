"""A showing: what a command goes on showing until its reader has had enough."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def until_enough() -> Iterator[None]:
    """Ctrl-C ends it, and so does a reader that goes away, as `head` does: neither is an error."""
    try:
        yield
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # What is still to be written at the exit would be an error again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
