"""Resident memory of a process, once it has come to rest."""

import asyncio
import re
import sys
from pathlib import Path

from bench.process import BenchError

_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)
_LOOK_SECONDS = 0.05
_ALIKE = 4
_MOST_LOOKS = 50


async def resident(pid: int) -> int:
    """Bytes of it, when several looks in a row say the same. Raises BenchError where the system does not tell."""
    seen: list[int] = []
    for _ in range(_MOST_LOOKS):
        seen.append(_now(pid))
        if len(set(seen[-_ALIKE:])) == 1 and len(seen) >= _ALIKE:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    return seen[-1]


def _now(pid: int) -> int:
    if not Path("/proc/self/status").exists():
        raise BenchError(f"/proc does not tell a process's memory here ({sys.platform}): run it on Linux")
    try:
        found = _RESIDENT.search(Path(f"/proc/{pid}/status").read_text("ascii", "replace"))
    except FileNotFoundError:
        found = None
    if found is None:
        raise BenchError(f"the process {pid} is gone")
    return int(found[1]) * 1024
