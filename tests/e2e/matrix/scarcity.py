"""Scarcity: this process has no file descriptor left, for a while."""

import contextlib
import os
import resource


class Scarcity:
    """Begins when told to; what is open stays open."""

    def __init__(self) -> None:
        self._limits: tuple[int, int] | None = None
        self._fillers: list[int] = []

    def begin(self) -> None:
        """Let nothing more be opened."""
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir("/dev/fd"))  # noqa: PTH208 - Path would resolve the links
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, self._limits[1]))
        with contextlib.suppress(OSError):
            while True:
                self._fillers.append(os.dup(0))

    def end(self) -> None:
        """Let all be as it was."""
        if self._limits:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)
            self._limits = None
        while self._fillers:
            os.close(self._fillers.pop())
