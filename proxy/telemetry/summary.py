"""A summary: what many turns come to. Of all turns since the start, and of each run of `openline exec`."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

import cachetools
import msgspec

from proxy.core.reasons import Route
from proxy.telemetry.paths import documented
from proxy.turns.outcome import End, Outcome

# The latest times that a median is taken of, for each route: of all turns, and of one run's.
_SAMPLES = 4_096
_RUN_SAMPLES = 512
_MOST_RUNS = 512
# In how many runs a turn can be, so that one name cannot push out many others.
_MOST_PARTS = 8
_OTHERS = "other paths"
_BAD = frozenset({End.ERROR, End.CUT})
_DERIVED = ("deltas", "unsent_bytes", "input_tokens", "cached_tokens", "output_tokens", "turn_errors", "refused")
# What stands for a route where Openline refused what never came to have one.
_OURS = "openline"


@dataclass(frozen=True, slots=True)
class Way:
    """What the turns of one route come to. Sizes in bytes, times in seconds."""

    turns: int = 0
    request_bytes: int = 0
    """What callers sent, of the turns that went up and had a good answer; else it is not known what was gained."""
    sent_bytes: int = 0
    """What went up, of the same."""
    first_event_p50: float | None = None
    """The median of the latest with a good answer; None where none had one."""
    first_events: int = 0
    """How many had one."""
    errors: int = 0
    """How many were refused, ended with an error, or were cut."""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """What the turns of mode `observe` would have come to in mode `on`."""

    turns: int = 0
    deltas: int = 0
    unsent_bytes: int = 0
    """What callers sent and would not have had to go upstream, of the turns that had a good answer."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What turns come to: by route, by route and reason, and what passed through by path."""

    turns: int = 0
    """Creates; what passed through is not among them."""
    ways: dict[Route, Way] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    """By `route/reason`."""
    passed: dict[str, int] = field(default_factory=dict)
    """What passed through, by the API's own paths; all others together."""
    errors: int = 0
    """Of everything, how many were refused, ended with an error, or were cut."""
    replays: int = 0
    suspects: int = 0
    """Deltas whose context the host may have lost."""
    observed: Observed = Observed()
    """Of the turns over plain HTTP, those that were observed."""
    calls: int = 0
    """Everything, also what was no turn and came to nothing."""
    refusals: dict[str, int] = field(default_factory=dict)
    """By `route/status`, what was answered with 400 or more; `openline/status` is what Openline refused by itself."""

    @property
    def deltas(self) -> int:
        """How many went as deltas."""
        return self.ways.get(Route.DELTA, Way()).turns

    @property
    def unsent_bytes(self) -> int:
        """What callers sent and did not have to go upstream, over all routes; below 0 where more went up than came."""
        return sum(way.request_bytes - way.sent_bytes for way in self.ways.values())

    @property
    def request_bytes(self) -> int:
        """What callers sent, of the same turns."""
        return sum(way.request_bytes for way in self.ways.values())

    @property
    def turn_errors(self) -> int:
        """Of the turns, how many were refused, ended with an error, or were cut."""
        return sum(way.errors for way in self.ways.values())

    @property
    def refused(self) -> int:
        """Of the turns, how many were answered with 400 or more."""
        return sum(self.statuses(Route.DELTA, Route.FULL, Route.HTTP).values())

    @property
    def own_statuses(self) -> dict[int, int]:
        """How often Openline refused by itself what never became a turn, by status, the most frequent first."""
        return self._statuses(_OURS)

    @property
    def input_tokens(self) -> int:
        """Over all routes, where the upstream counted."""
        return sum(way.input_tokens for way in self.ways.values())

    @property
    def cached_tokens(self) -> int:
        """Those of the input tokens that came from the upstream's cache."""
        return sum(way.cached_tokens for way in self.ways.values())

    @property
    def output_tokens(self) -> int:
        """Over all routes, where the upstream counted."""
        return sum(way.output_tokens for way in self.ways.values())

    def statuses(self, *routes: Route) -> dict[int, int]:
        """How often what went these ways was answered with which status of 400 or more, the most frequent first."""
        return self._statuses(*(route.value for route in routes))

    def figures(self) -> dict[str, object]:
        """All of it, and what follows from it, for a program."""
        whole: dict[str, object] = msgspec.to_builtins(self)
        return {**whole, **{name: getattr(self, name) for name in _DERIVED}}

    def _statuses(self, *names: str) -> dict[int, int]:
        found: Counter[int] = Counter()
        for key, count in self.refusals.items():
            name, _, status = key.partition("/")
            found[int(status)] += count if name in names else 0
        return {status: count for status, count in found.most_common() if count}


class Tally:
    """Counts outcomes as they come. Its size does not grow with them."""

    def __init__(self, samples: int = _SAMPLES) -> None:
        self._samples = samples
        self._calls = 0
        self._ways: dict[Route, Counter[str]] = {}
        self._firsts: dict[Route, deque[float]] = {}
        self._reasons: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._errors = 0
        self._replays = 0
        self._suspects = 0
        self._observed: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """One more has ended."""
        self._calls += 1
        bad = outcome.end in _BAD or outcome.status >= 400
        ours = outcome.route is Route.PASSTHROUGH and outcome.reason is None
        self._errors += bad
        self._replays += outcome.replays
        self._suspects += outcome.context_suspect
        if outcome.status >= 400:
            self._refusals[f"{_OURS if ours else outcome.route.value}/{outcome.status}"] += 1
        if outcome.reason:
            self._reasons[f"{outcome.route.value}/{outcome.reason.value}"] += 1
        if outcome.route is not Route.PASSTHROUGH:
            self._add_turn(outcome, bad=bad)
        elif not ours:
            self._passed[documented(outcome.path) or _OTHERS] += 1

    def _add_turn(self, outcome: Outcome, *, bad: bool) -> None:
        way = self._ways.setdefault(outcome.route, Counter())
        way["turns"] += 1
        way["errors"] += bad
        for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"):
            way[name] += getattr(outcome, name)
        if outcome.first_event_seconds is not None and outcome.status < 400:
            way["first_events"] += 1
            self._firsts.setdefault(outcome.route, deque(maxlen=self._samples)).append(outcome.first_event_seconds)
        # What was refused, or never went up because its caller left, was not saved.
        gained = 0 < outcome.status < 400 and outcome.sent_bytes > 0
        if gained:
            way["request_bytes"] += outcome.request_bytes
            way["sent_bytes"] += outcome.sent_bytes
        if outcome.would:
            self._observed["turns"] += 1
            self._observed["deltas"] += outcome.would.route is Route.DELTA
            self._observed["unsent_bytes"] += outcome.request_bytes - outcome.would.sent_bytes if gained else 0

    def summary(self) -> Summary:
        """What it comes to."""
        ways: dict[Route, Way] = {
            route: Way(**counts, first_event_p50=median(self._firsts[route]) if route in self._firsts else None)
            for route, counts in self._ways.items()
        }
        return Summary(
            sum(way.turns for way in ways.values()),
            ways,
            dict(self._reasons),
            dict(self._passed),
            self._errors,
            self._replays,
            self._suspects,
            Observed(**self._observed),
            self._calls,
            dict(self._refusals),
        )


class Tallies:
    """That of all turns, and one for each of the latest runs."""

    def __init__(self) -> None:
        self._all = Tally()
        self._runs: cachetools.LRUCache[str, Tally] = cachetools.LRUCache(_MOST_RUNS)
        self._forgot = False

    def add(self, outcome: Outcome) -> None:
        """One more has ended."""
        self._all.add(outcome)
        for name in runs(outcome.run or ""):
            run: Tally | None = self._runs.get(name)
            if run is None:
                self._forgot |= len(self._runs) >= _MOST_RUNS
                run = self._runs[name] = Tally(_RUN_SAMPLES)
            run.add(outcome)

    def summary(self) -> Summary:
        """Of all turns."""
        return self._all.summary()

    def of(self, run: str) -> Summary | None:
        """Of one run. None: it may have been forgotten. Before any was, one that is not known had no calls."""
        found: Tally | None = self._runs.get(run)
        if found is None:
            return None if self._forgot else Summary()
        return found.summary()


def runs(name: str) -> Iterator[str]:
    """Those that a turn belongs to: that of this name, and those that it runs in. `OUTER-INNER` runs in `OUTER`.

    Of more than eight parts the last ones count as one.
    """
    parts = name.split("-", _MOST_PARTS - 1) if name else []
    return ("-".join(parts[:count]) for count in range(1, len(parts) + 1))
