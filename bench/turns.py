"""The benchmark `turns`: what a turn costs before its first event, by its size, as a delta and in full."""

import asyncio
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench.chat import text
from bench.plan import Plan
from bench.prepared import item
from bench.result import Figures, Result, counted
from bench.rivals import Open, Rival, compiled, floor, has_nginx, hose, nginx, openline
from bench.shown import Show
from bench.taker import END_OF_FRAMES, Taken, created, opened, request, take, upgraded
from proxy.telemetry.logs import size

_OUTPUT_BYTES = 20_000


class Way(Figures, frozen=True, kw_only=True):
    """Turns of one size by one way. Times are in milliseconds."""

    way: str
    request_bytes: int
    turns: int
    first_event_p50: float
    added: float
    """To what plain HTTP directly to the upstream takes in the same run."""
    core: float
    """Of a core, in whatever stands between, for a turn; 0 where nothing does."""
    routes: dict[str, int]


async def turns(plan: Plan, show: Show) -> Result:
    """By every way, each size after the other."""
    figures: list[Way] = []
    with tempfile.TemporaryDirectory(prefix="openline-bench-") as folder:
        home = Path(folder)
        between: dict[str, Open] = {}
        if await compiled(home):
            between["floor"] = floor
        if has_nginx():
            between["nginx"] = nginx
        between["openline, delta"] = between["openline, full"] = openline({"UPSTREAM__COMPRESSION": "false"})
        for wanted in plan.turn_bytes:
            with show(f"turns, {size(wanted)}", (len(between) + 2) * plan.turns) as tick:
                figures += await _ways(home, between, wanted, plan, lambda done: tick(done, 0))
    return told(plan, figures)


def told(plan: Plan, figures: Sequence[Way]) -> Result:
    """Their table."""
    what = (
        f"{plan.turns} turns in a row, each a question more of one conversation; until the first event, median,"
        " and how much that is more than plain HTTP directly takes in the same run; time of a core in whatever stands"
        " between"
    )
    heading = ["", "requests", "first event", "added", "core", "routes", "errors"]
    rows = [
        [
            one.way,
            size(one.request_bytes),
            f"{one.first_event_p50:.2f} ms",
            f"{one.added:+.2f} ms",
            f"{one.core:.2f} ms" if one.core else "-",
            counted(one.routes),
            counted(one.errors),
        ]
        for one in figures
    ]
    return Result("turns", what, figures, [heading, *rows])


async def _ways(
    home: Path, between: dict[str, Open], wanted: int, plan: Plan, done: Callable[[int], None]
) -> list[Way]:
    """All ways for one size: the same upstream for all of them."""
    async with hose(home, "--pieces", "5") as upstream:
        bodies = list(_dialogue(wanted, plan.turns, "one"))
        direct = await asyncio.to_thread(_over_http, upstream, bodies)
        found = [_way("plain HTTP, directly", direct, bodies, 0.0, direct)]
        done(plan.turns)
        own = await asyncio.to_thread(_over_websocket, upstream, bodies)
        found.append(_way("WebSocket, directly", own, bodies, 0.0, direct))
        done(2 * plan.turns)
        for number, (name, open_one) in enumerate(between.items(), 3):
            async with open_one(home, upstream.port) as rival:
                asked = bodies if name != "openline, full" else list(_strangers(wanted, plan.turns))
                before = rival.cpu()
                taken = await asyncio.to_thread(_over_http, rival, asked)
                found.append(_way(name, taken, asked, (rival.cpu() - before) / len(asked) * 1e3, direct))
                done(number * plan.turns)
    return found


def _dialogue(wanted: int, count: int, seed: str) -> Iterator[tuple[bytes, bytes]]:
    """Requests that go on from each other, of about that size, and what is new in each, as a delta says it."""
    items: list[object] = [{"role": "user", "content": f"{seed}: begin."}]
    for number in range(max(1, wanted // _OUTPUT_BYTES)):
        call = {"call_id": f"call_{seed}_{number}", "name": "shell", "arguments": '{"command":"ls"}'}
        items.append({"type": "function_call", **call})
        output = text(min(wanted, _OUTPUT_BYTES), seed, number)
        items.append({"type": "function_call_output", "call_id": call["call_id"], "output": output})
    settings = {"model": "m", "store": False, "stream": True, "instructions": text(3_000, "instructions")}
    for number in range(count):
        question = {"role": "user", "content": f"Go on, {number}."}
        items.append(question)
        delta = {"type": "response.create", **settings, "previous_response_id": "resp_x", "input": [question]}
        yield msgspec.json.encode({**settings, "input": items}), msgspec.json.encode(delta)
        items.append(item())


def _strangers(wanted: int, count: int) -> Iterator[tuple[bytes, bytes]]:
    """Requests of which none goes on from another."""
    for number in range(count):
        yield from _dialogue(wanted, 1, f"stranger {number}")


def _over_http(rival: Rival, bodies: Sequence[tuple[bytes, bytes]]) -> list[Taken]:
    with opened(rival.port) as line:
        return [take(line, request(rival.port, body)) for body, _ in bodies]


def _over_websocket(rival: Rival, bodies: Sequence[tuple[bytes, bytes]]) -> list[Taken]:
    """As an agent that speaks WebSocket mode itself: in full once, then what is new."""
    with opened(rival.port) as line:
        upgraded(line, rival.port)
        sent = [bodies[0][0], *(delta for _, delta in bodies[1:])]
        return [take(line, created(one), END_OF_FRAMES) for one in sent]


def _way(
    name: str, taken: Sequence[Taken], bodies: Sequence[tuple[bytes, bytes]], core: float, direct: Sequence[Taken]
) -> Way:
    first, base = (statistics.median(one.first * 1e3 for one in some[1:]) for some in (taken, direct))
    routes = [one.route for one in taken if one.route]
    return Way(
        conditions=name,
        errors={} if all(one.ok for one in taken) else {"no stream": sum(not one.ok for one in taken)},
        way=name,
        request_bytes=len(bodies[-1][0]),
        turns=len(taken),
        first_event_p50=first,
        added=first - base,
        core=core,
        routes={route: routes.count(route) for route in dict.fromkeys(routes)},
    )
