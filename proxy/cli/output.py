"""Output: the lines that `openline run` prints. A stopped terminal or a full pipe must not hold up a turn."""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable

_WAITING_LINES = 2_000
_LAST_LINES_SECONDS = 1.0
# A turn says its line while the next request may be on its way already: the thread wants the interpreter later.
_LATER_SECONDS = 0.01
_RENEW_BYTES = 65_536


class Output:
    """Lines to one file descriptor, written by a thread of its own.

    Lines that come while 2,000 wait are dropped and counted; when the reader is gone, all are. The descriptor is
    written directly: a thread that hangs in `sys.stdout` would hold the lock that the interpreter needs to exit.
    Where it leads to a file that must not grow without end, `renew` is called now and then to have it lead elsewhere.
    """

    def __init__(self, descriptor: int, renew: Callable[[], None] | None = None) -> None:
        self._descriptor = descriptor
        self._renew = renew
        self._since = 0
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Print one line, soon; never waits."""
        if self._lines.qsize() < _WAITING_LINES:
            self._lines.put(text)
        else:
            self._dropped += 1

    def close(self) -> None:
        """Write what still waits, for at most a second or two."""
        self._lines.put(None)
        self._thread.join(_LAST_LINES_SECONDS)

    def _run(self) -> None:
        while (text := self._lines.get()) is not None:
            if self._lines.empty():
                time.sleep(_LATER_SECONDS)
            dropped, self._dropped = self._dropped, 0
            if dropped:
                text += f"\n({dropped} lines left out: the reader was too slow)"
            line = f"{text}\n".encode(errors="replace")
            if not self._written(line):
                return
            self._since += len(line)
            if self._renew and self._since >= _RENEW_BYTES:
                self._since = 0
                with contextlib.suppress(OSError):  # the lines go on where they went
                    self._renew()

    def _written(self, rest: bytes) -> bool:
        """Write all of it; False once the reader went away or the disk is full: turns go on without lines."""
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            return False
        return True
