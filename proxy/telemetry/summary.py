"""A summary: what many turns come to. Of all turns since the start, and of each run of `openline exec`."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

import cachetools

from proxy.core.reasons import Route
from proxy.turns.outcome import End, Outcome

# The latest times that a median is taken of, for each route.
_SAMPLES = 4_096
_MOST_RUNS = 64
_MOST_PATHS = 16
_OTHERS = "other paths"
_BAD = frozenset({End.ERROR, End.CUT})


@dataclass(frozen=True, slots=True)
class Way:
    """What the turns of one route come to. Sizes in bytes, times in seconds."""

    turns: int = 0
    request_bytes: int = 0
    sent_bytes: int = 0
    first_event_p50: float | None = None
    """The median of the last 4,096; None where none had one."""
    first_events: int = 0
    """How many had one."""
    errors: int = 0
    """How many ended with an error, or were cut."""
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
    """What callers sent and would not have had to go upstream."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What turns come to: by route, by route and reason, and what passed through by path."""

    turns: int = 0
    """Creates; what passed through is not among them."""
    ways: dict[Route, Way] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    """By `route/reason`."""
    passed: dict[str, int] = field(default_factory=dict)
    """What passed through by path: at most 16 of them, all others together."""
    errors: int = 0
    """Of everything, how many ended with an error, or were cut."""
    replays: int = 0
    suspects: int = 0
    """Deltas whose context the host may have lost."""
    observed: Observed = Observed()
    """Of the turns over plain HTTP, those that were observed."""

    @property
    def deltas(self) -> int:
        """How many went as deltas."""
        return self.ways.get(Route.DELTA, Way()).turns

    @property
    def unsent_bytes(self) -> int:
        """What callers sent and did not have to go upstream, over all routes."""
        return sum(way.request_bytes - way.sent_bytes for way in self.ways.values())

    @property
    def turn_errors(self) -> int:
        """Of the turns, how many ended with an error, or were cut."""
        return sum(way.errors for way in self.ways.values())

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


class Tally:
    """Counts outcomes as they come. Its size does not grow with them."""

    def __init__(self) -> None:
        self._ways: dict[Route, Counter[str]] = {}
        self._firsts: dict[Route, deque[float]] = {}
        self._reasons: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()
        self._errors = 0
        self._replays = 0
        self._suspects = 0
        self._observed: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """One more has ended."""
        if outcome.route is Route.PASSTHROUGH:
            path = outcome.path if outcome.path in self._passed or len(self._passed) < _MOST_PATHS else _OTHERS
            self._passed[path] += 1
        way = self._ways.setdefault(outcome.route, Counter())
        way["turns"] += 1
        way["errors"] += outcome.end in _BAD
        for name in (
            "request_bytes",
            "sent_bytes",
            "input_tokens",
            "cached_tokens",
            "output_tokens",
            "reasoning_tokens",
        ):
            way[name] += getattr(outcome, name)
        if outcome.first_event_seconds is not None:
            way["first_events"] += 1
            self._firsts.setdefault(outcome.route, deque(maxlen=_SAMPLES)).append(outcome.first_event_seconds)
        if outcome.reason:
            self._reasons[f"{outcome.route.value}/{outcome.reason.value}"] += 1
        self._errors += outcome.end in _BAD
        self._replays += outcome.replays
        self._suspects += outcome.context_suspect
        if outcome.would:
            self._observed["turns"] += 1
            self._observed["deltas"] += outcome.would.route is Route.DELTA
            self._observed["unsent_bytes"] += outcome.request_bytes - outcome.would.sent_bytes

    def summary(self) -> Summary:
        """What it comes to."""
        ways: dict[Route, Way] = {
            route: Way(**counts, first_event_p50=median(self._firsts[route]) if route in self._firsts else None)
            for route, counts in self._ways.items()
            if route != Route.PASSTHROUGH
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
        )


class Tallies:
    """That of all turns, and one for each of the latest runs."""

    def __init__(self) -> None:
        self._all = Tally()
        self._runs: cachetools.LRUCache[str, Tally] = cachetools.LRUCache(_MOST_RUNS)

    def add(self, outcome: Outcome) -> None:
        """One more has ended."""
        self._all.add(outcome)
        for name in runs(outcome.run or ""):
            run: Tally = self._runs.setdefault(name, Tally())
            run.add(outcome)

    def summary(self, run: str | None = None) -> Summary:
        """Of all turns, or of one run: nothing where it is not known, or no longer."""
        if run is None:
            return self._all.summary()
        found: Tally | None = self._runs.get(run)
        return found.summary() if found else Summary()


def runs(name: str) -> Iterator[str]:
    """Those that a turn belongs to: that of this name, and those that it runs in. `OUTER-INNER` runs in `OUTER`."""
    parts = name.split("-") if name else []
    return ("-".join(parts[:count]) for count in range(1, len(parts) + 1))
