"""An overview: what `openline status` shows of one instance, at one moment."""

import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from proxy import __version__
from proxy.cli.client import Client
from proxy.cli.turns import Turn, remembered
from proxy.core.reasons import Route
from proxy.instance import Instance
from proxy.server.status import Status
from proxy.telemetry.logs import duration, printable, size
from proxy.telemetry.summary import Summary, Way

_LOOKED_AT = 200
_REASONS = 5
_NAMED = 3
_LABEL = 11
_LONGEST_PATH = 60
_NARROW = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One line, and whether it stands out: as good, as bad, or as a heading."""

    text: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """What one instance says of itself."""

    instance: Instance
    status: Status
    summary: Summary
    turns: Sequence[Turn]
    now: float

    @property
    def outdated(self) -> bool:
        """Whether it is another version than this command."""
        return self.instance.version != __version__

    @property
    def misses(self) -> list[tuple[Turn, int]]:
        """Of each reason why lately a turn was no delta: its latest turn, and how many there were; latest first."""
        found: dict[tuple[str, str | None], tuple[Turn, int]] = {}
        for turn in reversed(self.turns):
            if turn.is_create and not turn.is_delta and turn.meaning:
                latest, count = found.get((turn.route, turn.reason), (turn, 0))
                found[turn.route, turn.reason] = latest, count + 1
        return list(found.values())[:_REASONS]


def overview(instance: Instance) -> Overview:
    """Ask it. Raises NoAnswer."""
    client = Client(instance)
    status, summary = client.get("/status", Status), client.get("/summary", Summary)
    return Overview(instance, status, summary, [turn for turn, _ in remembered(client, _LOOKED_AT)], time.time())


def as_json(seen: Overview) -> bytes:
    """All of it for a program. The secret of the control pages is not in it."""
    instance, status = seen.instance, seen.status
    told = {
        "pid": instance.pid,
        "version": instance.version,
        "command_version": __version__,
        "restart_needed": seen.outdated,
        "api": instance.api,
        "admin": instance.admin,
        "log": instance.log,
        "started_at": instance.started_at,
        "ready": status.unready is None,
        "status": status,
        "summary": seen.summary.figures(),
        "misses": [
            {"route": turn.route, "reason": turn.reason, "count": count, "last_at": turn.ended_at}
            for turn, count in seen.misses
        ],
    }
    return msgspec.json.encode(told)


def lines(seen: Overview, width: int) -> Iterator[Line]:
    """All of it for a person."""
    yield from _head(seen)
    yield Line()
    yield from _now(seen.status)
    yield Line()
    yield from _turns(seen.summary)
    if seen.misses:
        yield Line()
        yield from _misses(seen, width)


def _head(seen: Overview) -> Iterator[Line]:
    instance, status = seen.instance, seen.status
    ready = "ready" if status.unready is None else f"takes no turns: {status.unready}"
    up = span(status.uptime_seconds)
    tone = "good" if status.unready is None else "bad"
    yield Line(f"openline {instance.version}, {ready}  (pid {instance.pid}, up {up})", tone)
    if seen.outdated:
        yield Line(f"restart needed: this command is version {__version__} (openline restart)", "bad")
    yield _row("callers", instance.api)
    yield _row("admin", instance.admin or "none")
    yield _row("upstream", f"{status.upstream}, mode {status.mode}")
    yield _row("log", instance.log or "none: it runs in the foreground")


def _now(status: Status) -> Iterator[Line]:
    pool, sockets, breakers, host = (
        status.pool,
        status.pool.sockets,
        status.pool.breakers,
        status.pool.host,
    )
    waiting = f", {pool.waiting} of them waiting for a socket" if pool.waiting else ""
    callers = f"{_count(status.connections, 'caller')} connected"
    yield _row("now", f"{_count(status.running, 'turn')} running{waiting}; {callers}")
    retiring = f", {sockets.retiring} retiring" if sockets.retiring else ""
    coming = f", {sockets.coming} being opened" if sockets.coming else ""
    yield _row("sockets", f"{sockets.busy} busy, {sockets.idle} idle{retiring}{coming}")
    if breakers.open:
        left = f"WebSockets came to nothing, plain HTTP for {duration(breakers.seconds_left)} more"
        yield _row("breaker", f"open: {left}", "bad")
    else:
        yield _row("breaker", "half open: one WebSocket may be tried" if breakers.half_open else "closed")
    if not host.websocket:
        yield _row("host", "has no WebSocket mode: everything goes over plain HTTP", "bad")
        return
    verifies = {"yes": "verifies ids", "no": "does not verify ids: no deltas", "unknown": "not asked yet about its ids"}
    verifies["some"] = "verifies ids for some models, no deltas for others"
    lanes = "several turns a socket" if host.lanes else "one turn a socket"
    yield _row("host", f"{verifies[host.verifies_ids]}, {lanes}", "bad" if host.verifies_ids == "no" else "")
    if host.suspect:
        yield _row("", "CONTEXT SUSPECT: it may have lost a conversation; no more deltas go to it", "bad")


def _turns(summary: Summary) -> Iterator[Line]:
    if not summary.turns:
        yield _row("turns", "none yet")
    else:
        share = 100 * summary.deltas / summary.turns
        yield _row("turns", f"{summary.turns:,}, of which {summary.deltas:,} as deltas ({share:.0f} %)")
        saved, came = summary.unsent_bytes, size(summary.request_bytes)
        if saved < 0:
            yield _row("sent", f"{size(-saved)} more than the {came} that came")
        elif summary.request_bytes:
            yield _row("not sent", f"{size(saved)} of {came}")
        if summary.input_tokens:
            cached = 100 * summary.cached_tokens / summary.input_tokens
            tokens = f"{summary.input_tokens:,} in ({cached:.0f} % cached), {summary.output_tokens:,} out"
            yield _row("tokens", tokens)
        yield from _table(summary)
    observed = summary.observed
    if observed.turns:
        gained = f", {size(observed.unsent_bytes)} not sent" if observed.unsent_bytes > 0 else ""
        yield _row("observed", f"{observed.deltas:,} of {observed.turns:,} would have been deltas{gained}")
    if summary.passed:
        most = sorted(summary.passed.items(), key=lambda each: -each[1])[:_NAMED]
        named = ", ".join(f"{printable(path, _LONGEST_PATH)} {count:,}" for path, count in most)
        yield _row("passed", f"{_count(sum(summary.passed.values()), 'other call')}: {named}")
    if summary.refusals:
        most = sorted(summary.refusals.items(), key=lambda each: -each[1])[:_NAMED]
        named = ", ".join(f"{printable(name, _LONGEST_PATH)} {count:,}" for name, count in most)
        yield _row("refused", f"{_count(sum(summary.refusals.values()), 'call')}: {named}")
    troubles = [
        *([f"{summary.errors:,} ended with an error"] if summary.errors else []),
        *([_count(summary.replays, "replay")] if summary.replays else []),
    ]
    if troubles:
        yield _row("troubles", ", ".join(troubles), "bad" if summary.errors else "")


def _table(summary: Summary) -> Iterator[Line]:
    """The routes: how many turns, how soon their first event came, what was sent of what was asked."""
    yield Line(f"{'':{_LABEL}}{'route':<6}{'turns':>9}{'first event p50':>18}{'sent':>11}{'of':>11}", "dim")
    for route in (Route.DELTA, Route.FULL, Route.HTTP):
        way = summary.ways.get(route, Way())
        if way.turns:
            first = "-" if way.first_event_p50 is None else duration(way.first_event_p50)
            sizes = f"{size(way.sent_bytes):>11}{size(way.request_bytes):>11}"
            yield Line(f"{'':{_LABEL}}{route.value:<6}{way.turns:>9,}{first:>18}{sizes}")


def _misses(seen: Overview, width: int) -> Iterator[Line]:
    yield Line("why turns were no deltas, lately (more: openline explain)", "heading")
    for turn, count in seen.misses:
        ago = f"{span(max(0.0, seen.now - turn.ended_at))} ago"
        times = f"{count} times, last {ago}" if count > 1 else ago
        yield Line(f"{turn.reason} ({turn.route}): {times}")
        for line in textwrap.wrap(turn.meaning, max(_NARROW, width - _LABEL - 1)):
            yield Line(f"{'':{_LABEL}}{line}", "dim")


def _row(label: str, text: str, tone: str = "") -> Line:
    return Line(f"{label:<{_LABEL}}{text}", tone)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def span(seconds: float) -> str:
    """A time that goes on, for a reader: its two largest units."""
    whole = int(seconds)
    units = [(whole // 86_400, "d"), (whole // 3_600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((at for at, (count, _) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2])
