"""The benchmark `startup`: how long `openline run` takes until it listens, beside what Python itself takes."""

import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from bench.plan import Plan
from bench.process import launched
from bench.result import Figures, Result, counted
from bench.shown import Show
from bench.stack import base_of
from proxy.telemetry.logs import duration

_OPENLINE = "openline run"
# Each says a line as soon as it can, as Openline does.
_SAYS = "print(flush=True)"
_COMMANDS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        _OPENLINE: (sys.executable, "-m", "proxy", "run", "--port", "0"),
        "python": (sys.executable, "-c", _SAYS),
        "python, asyncio and aiohttp.web": (sys.executable, "-c", f"import asyncio, aiohttp.web; {_SAYS}"),
    }
)


class Startup(Figures, frozen=True, kw_only=True):
    """One command, from its start to its first line; in seconds."""

    starts: int
    seconds_p50: float
    seconds_least: float
    all_seconds: list[float]
    """Of each start, in their order."""


async def startup(plan: Plan, show: Show) -> Result:
    """Each command in turn, then each again. The first start of each compiles for the others, and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    errors: Counter[str] = Counter()
    starts = plan.startups + 1
    with tempfile.TemporaryDirectory(prefix="openline-bench-") as home, show("startup", starts) as tick:
        for at in range(starts):
            for name, command in _COMMANDS.items():
                took, listens = await _start(Path(home), command, listens=name == _OPENLINE)
                seconds[name].append(took)
                errors["not listening"] += not listens
            tick(at + 1, 0)
    figures = [_figures(name, each[1:], errors if name == _OPENLINE else {}) for name, each in seconds.items()]
    what = (
        f"from the start of a process to its first line, {plan.startups} times each; `{_OPENLINE} --port 0` takes"
        " connections by then"
    )
    heading = ["", "p50", "least", "more than Python, p50", "errors"]
    python = figures[1].seconds_p50
    rows = [
        [
            one.conditions,
            duration(one.seconds_p50),
            duration(one.seconds_least),
            duration(one.seconds_p50 - python),
            counted(one.errors),
        ]
        for one in figures
    ]
    return Result("startup", what, figures, [heading, *rows])


async def _start(home: Path, command: Sequence[str], *, listens: bool) -> tuple[float, bool]:
    """Seconds to the first line, and whether it listens at once if it is to."""
    # As when it is installed: whatever the shell says, modules were compiled before.
    compiled = {"PYTHONPYCACHEPREFIX": str(home), "PYTHONDONTWRITEBYTECODE": ""}
    began = time.perf_counter()
    async with launched(home, command, compiled) as process:
        if not listens:
            await process.line()
            return time.perf_counter() - began, True
        url = urlsplit(await base_of(process))
        took = time.perf_counter() - began
        try:
            # It is the system that takes the connection: no time passes in which the process could begin to listen.
            socket.create_connection((url.hostname or "", url.port or 0), timeout=1.0).close()
        except ConnectionRefusedError:
            return took, False
        return took, True


def _figures(name: str, seconds: Sequence[float], errors: Mapping[str, int]) -> Startup:
    return Startup(
        conditions=name,
        errors={fault: count for fault, count in errors.items() if count},
        starts=len(seconds),
        seconds_p50=round(statistics.median(seconds), 4),
        seconds_least=round(min(seconds), 4),
        all_seconds=[round(each, 4) for each in seconds],
    )
