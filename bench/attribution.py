"""Attribution: which lines of code hold the memory of idle conversations, told by a proxy in this process."""

import gc
import tracemalloc
from pathlib import Path

import msgspec

from bench.caller import Caller
from bench.held import Held, Kept
from bench.process import ROOT
from bench.stack import simulator
from proxy.config import Heads, Pool, Settings, Upstream
from proxy.server.app import Openline

_MOST_LINES = 15
_LEAST_BYTES = 8.0


class Line(msgspec.Struct, frozen=True):
    """What one line allocated and still holds, for each conversation."""

    place: str
    bytes: float
    blocks: float


async def attributed(kept: Kept) -> list[Line]:
    """The same conversations, held by the same objects; half as many, as to watch all allocations takes long."""
    plan = kept.plan
    fewer, more = plan.conversations[0] // 2, plan.conversations[0]
    async with simulator(kept.host) as (direct, _upstream, session, _home):
        tracemalloc.start()  # ahead of what fills the caches: else what they give up would not be seen to go
        settings = Settings(
            listen="127.0.0.1:0",
            admin_listen="off",
            upstream=Upstream(url=direct, lanes="on"),
            pool=Pool(max_connections=max(128, kept.keys), max_connections_per_key=1),
            heads=Heads(max_count=max(20_000, 4 * plan.conversations[1] * kept.turns)),
        )
        app = Openline(settings, lambda _outcome: None)
        try:
            held = Held(kept, Caller(session, await app.start()))
            await held.warm()
            await held.grow(fewer)
            before = _snapshot()
            await held.grow(more)
            return _lines(before, _snapshot(), more - fewer)
        finally:
            await app.close()
            tracemalloc.stop()


def _snapshot() -> tracemalloc.Snapshot:
    """What there is, but for what this package and the tracing itself hold."""
    gc.collect()
    places = (f"{ROOT}/bench/*", f"{ROOT}/proxy/demo/*", f"{ROOT}/proxy/simulator/*", tracemalloc.__file__)
    own = [tracemalloc.Filter(inclusive=False, filename_pattern=place) for place in places]
    return tracemalloc.take_snapshot().filter_traces(own)


def _lines(before: tracemalloc.Snapshot, after: tracemalloc.Snapshot, conversations: int) -> list[Line]:
    grown = [
        Line(
            f"{_short(each.traceback[0].filename)}:{each.traceback[0].lineno}",
            round(each.size_diff / conversations, 1),
            round(each.count_diff / conversations, 2),
        )
        for each in after.compare_to(before, "lineno")
    ]
    grown.sort(key=lambda line: line.bytes, reverse=True)
    return [Line("all", round(sum(line.bytes for line in grown), 1), 0.0)] + [
        line for line in grown[:_MOST_LINES] if line.bytes >= _LEAST_BYTES
    ]


def _short(filename: str) -> str:
    """As seen from the project or from the folder of the library."""
    path = Path(filename)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else "/".join(path.parts[-2:])
