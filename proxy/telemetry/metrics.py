"""Metrics: what a scraper is told of turns and connections. Counts and names, nothing of any caller.

The counts are kept here and given to the library at a scrape. Its own counters would write files where the environment
has `PROMETHEUS_MULTIPROC_DIR`, and give each series a twin, `…_created`.
"""

import platform
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy import __version__
from proxy.core.reasons import Passed, Plain, Reason, Route, Whole
from proxy.turns.outcome import Outcome
from proxy.upstream.status import PoolStatus

NONE = "none"
"""The label where there is nothing to name; an empty one would be no label at all."""
# Seconds. Close where a delta's gain shows, and up to the longest turns.
BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_BOUNDS = (*map(str, BUCKETS), "+Inf")
# Known from the start, so that the first of each is an increase, too.
_WHY: Mapping[Route, Sequence[Reason | None]] = {
    Route.DELTA: (None,),
    Route.FULL: tuple(Whole),
    Route.HTTP: tuple(Plain),
    Route.PASSTHROUGH: (*Passed, None),
}


@dataclass(frozen=True, slots=True)
class Load:
    """What callers have under way, now."""

    turns: int
    callers: int
    """Their connections."""


class Metrics(Collector):
    """Everything that is measured of one upstream, since the start. Used from one thread alone.

    `upstream` is how its series are labelled: a host, no URL, as a path may be a secret.
    """

    def __init__(self, upstream: str, status: Callable[[], PoolStatus], load: Callable[[], Load]) -> None:
        self._upstream = upstream
        self._status = status
        self._load = load
        self._turns = _Counts(
            "openline_turns",
            "Requests that ended, by how they went and why.",
            ("route", "reason"),
            [(route, reason or NONE) for route, reasons in _WHY.items() for reason in reasons],
        )
        self._ends = _Counts(
            "openline_turn_ends",
            "The same requests, by how they ended and the class of the status that the caller got.",
            ("route", "end", "status"),
        )
        routes = [(route,) for route in Route]
        self._request_bytes = _Counts(
            "openline_request_bytes", "Bytes of the bodies that callers sent.", ("route",), routes
        )
        self._sent_bytes = _Counts(
            "openline_upstream_sent_bytes", "Bytes of the frames and bodies sent upstream for them.", ("route",), routes
        )
        self._first_event = _Times(
            "openline_first_event_seconds",
            "From a turn's arrival to its first event; over plain HTTP to the answer's head.",
        )
        self._whole_turn = _Times("openline_turn_seconds", "From a request's arrival to the end of its answer.")
        self._tokens = _Counts(
            "openline_tokens",
            "Tokens as the upstream counted them; cached are part of input, reasoning of output.",
            ("route", "kind"),
        )
        self._replays = _Counts(
            "openline_replays", "Creates that were sent again after a fault, and may have run twice.", (), [()]
        )
        self._suspects = _Counts(
            "openline_context_suspect",
            "Turns whose input tokens were far too few: the host may have lost context.",
            (),
            [()],
        )
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def turn(self, outcome: Outcome) -> None:
        """One more has ended."""
        route = outcome.route
        self._turns.add(1, route, outcome.reason or NONE)
        self._ends.add(1, route, outcome.end, _status_class(outcome.status))
        self._request_bytes.add(outcome.request_bytes, route)
        self._sent_bytes.add(outcome.sent_bytes, route)
        if outcome.first_event_seconds is not None:
            self._first_event.add(outcome.first_event_seconds, route)
        self._whole_turn.add(outcome.total_seconds, route)
        if outcome.input_tokens or outcome.output_tokens:
            self._tokens.add(outcome.input_tokens, route, "input")
            self._tokens.add(outcome.cached_tokens, route, "cached")
            self._tokens.add(outcome.output_tokens, route, "output")
            self._tokens.add(outcome.reasoning_tokens, route, "reasoning")
        self._replays.add(outcome.replays)
        self._suspects.add(outcome.context_suspect)

    def page(self) -> tuple[bytes, str]:
        """All of it as text that every Prometheus reads, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self) -> Iterator[Metric]:
        """Every family, as things stand."""
        counts = (self._turns, self._ends, self._request_bytes, self._sent_bytes, self._tokens)
        for kept in (*counts, self._first_event, self._whole_turn, self._replays, self._suspects):
            yield kept.family(self._upstream)
        yield from self._now()
        build = GaugeMetricFamily("openline_build_info", "Always 1: what runs here.", labels=("version", "python"))
        build.add_metric((__version__, platform.python_version()), 1)
        yield build

    def _now(self) -> Iterator[Metric]:
        """What is read at each scrape."""
        status = self._status()
        sockets, breakers = status.sockets, status.breakers
        connections = {
            "idle": sockets.idle,
            "busy": sockets.busy,
            "retiring": sockets.retiring,
            "coming": sockets.coming,
        }
        dials_stopped = {"open": breakers.open, "half_open": breakers.half_open}
        yield self._states("openline_connections", "WebSockets to the upstream; coming: being opened.", connections)
        yield self._states(
            "openline_breakers",
            "Callers' identities for which no WebSocket is opened for a while; half_open: one may be tried.",
            dials_stopped,
        )
        yield self._gauge("openline_turns_waiting", "Turns that wait for a connection.", status.waiting)
        load = self._load()
        yield self._gauge("openline_turns_in_flight", "Requests that are being served.", load.turns)
        yield self._gauge("openline_callers", "Connections of callers.", load.callers)

    def _states(self, name: str, meaning: str, values: Mapping[str, int]) -> Metric:
        family = GaugeMetricFamily(name, meaning, labels=("upstream", "state"))
        for state, value in values.items():
            family.add_metric((self._upstream, state), value)
        return family

    def _gauge(self, name: str, meaning: str, value: int) -> Metric:
        family = GaugeMetricFamily(name, meaning, labels=("upstream",))
        family.add_metric((self._upstream,), value)
        return family


class _Counts:
    """A counter, by its labels' values. Those that are `known` are there before they are counted."""

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...], known: Sequence[tuple[str, ...]] = ()) -> None:
        self._name = name
        self._meaning = meaning
        self._labels = labels
        self._counts: Counter[tuple[str, ...]] = Counter(dict.fromkeys(known, 0))

    def add(self, count: int, *values: str) -> None:
        """So many more."""
        self._counts[values] += count

    def family(self, upstream: str) -> Metric:
        """All of it, for a scrape."""
        family = CounterMetricFamily(self._name, self._meaning, labels=("upstream", *self._labels))
        for values, count in self._counts.items():
            family.add_metric((upstream, *values), count)
        return family


@dataclass(slots=True)
class _Spread:
    """How many times fell into each bucket, the last for those beyond all, and what they come to."""

    counts: list[int] = field(default_factory=lambda: [0] * len(_BOUNDS))
    seconds: float = 0.0


class _Times:
    """A histogram, by route."""

    def __init__(self, name: str, meaning: str) -> None:
        self._name = name
        self._meaning = meaning
        self._spreads: dict[Route, _Spread] = {}

    def add(self, seconds: float, route: Route) -> None:
        """One more. A bucket's bound is part of it."""
        spread = self._spreads.get(route)
        if spread is None:
            spread = self._spreads[route] = _Spread()
        spread.counts[bisect_left(BUCKETS, seconds)] += 1
        spread.seconds += seconds

    def family(self, upstream: str) -> Metric:
        """All of it, for a scrape."""
        family = HistogramMetricFamily(self._name, self._meaning, labels=("upstream", "route"))
        for route, spread in self._spreads.items():
            buckets = list(zip(_BOUNDS, accumulate(spread.counts), strict=True))
            family.add_metric((upstream, route), buckets, spread.seconds)
        return family


def _status_class(status: int) -> str:
    return f"{status // 100}xx" if 100 <= status < 600 else NONE
