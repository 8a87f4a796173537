"""Log lines: what a person at a terminal reads of each turn."""

import unicodedata
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.reasons import Passed, Plain, Reason, Route, Whole
from proxy.telemetry.logs import duration, printable, size, turn_line
from proxy.turns.outcome import End, Outcome, Would


@dataclass
class Line:
    """A turn and the line it must give."""

    shown: str
    route: Route
    reason: Reason | None = None
    status: int = 200
    end: End = End.COMPLETED
    method: str = "POST"
    path: str = "/v1/responses"
    sizes: tuple[int, int] = (0, 0)
    times: tuple[float | None, float] = (None, 0.0)
    tokens: tuple[int, int, int, int] = (0, 0, 0, 0)
    replays: int = 0
    suspect: bool = False
    faults: list[str] = field(default_factory=list)
    would: Would | None = None

    def outcome(self) -> Outcome:
        """The turn's outcome."""
        sent, came = self.sizes
        first, total = self.times
        given, cached, output, reasoning = self.tokens
        return Outcome(
            "ol_1",
            self.route,
            self.reason,
            self.method,
            self.path,
            self.status,
            self.end,
            request_bytes=came,
            sent_bytes=sent,
            first_event_seconds=first,
            total_seconds=total,
            replays=self.replays,
            input_tokens=given,
            cached_tokens=cached,
            output_tokens=output,
            reasoning_tokens=reasoning,
            context_suspect=self.suspect,
            faults=self.faults,
            would=self.would,
        )


LINES = [
    Line(
        "full   200  first             sent 48.1 kB of 48.2 kB  first event 184 ms, total 2.31 s  "
        "12,000 tokens in (0 cached), 143 out (64 reasoning)",
        Route.FULL,
        Whole.FIRST,
        sizes=(48_100, 48_213),
        times=(0.1837, 2.31),
        tokens=(12_000, 0, 143, 64),
    ),
    Line(
        "delta  200                    sent 812 B of 2.4 MB  first event 14.2 s, total 121.4 s  "
        "12,000 tokens in (11,900 cached), 143 out",
        Route.DELTA,
        sizes=(812, 2_400_000),
        times=(14.2, 121.4),
        tokens=(12_000, 11_900, 143, 0),
    ),
    Line(
        "http   200  no_websocket      sent 3.0 kB of 3.0 kB  total 31 ms  [404: plain HTTP for this turn]",
        Route.HTTP,
        Plain.NO_WEBSOCKET,
        end=End.PASSED,
        sizes=(3_000, 3_000),
        times=(None, 0.031),
        faults=["404: plain HTTP for this turn"],
    ),
    Line(
        "http   200  observed          sent 105.3 kB of 105.3 kB  would be delta, 2.1 kB  total 1.00 s",
        Route.HTTP,
        Plain.OBSERVED,
        end=End.PASSED,
        sizes=(105_300, 105_300),
        times=(None, 1),
        would=Would(Route.DELTA, None, 2_100),
    ),
    Line(
        "http   200  observed          sent 3.0 kB of 3.0 kB  would be full (no_match), 3.0 kB  total 1.00 s  "
        "[not observed: it is larger than 64 MiB]",
        Route.HTTP,
        Plain.OBSERVED,
        end=End.PASSED,
        sizes=(3_000, 3_000),
        times=(None, 1),
        faults=["not observed: it is larger than 64 MiB"],
        would=Would(Route.FULL, Whole.NO_MATCH, 3_012),
    ),
    Line(
        "pass   200  other_path        GET /v1/models  total 31 ms",
        Route.PASSTHROUGH,
        Passed.OTHER_PATH,
        end=End.PASSED,
        method="GET",
        path="/v1/models",
        times=(None, 0.031),
    ),
    Line(
        "pass   200  own_state         POST /v1/responses  total 31 ms",
        Route.PASSTHROUGH,
        Passed.OWN_STATE,
        end=End.PASSED,
        sizes=(0, 3_000),
        times=(None, 0.031),
    ),
    Line(
        "delta  429                    sent 812 B of 3.0 kB  total 31 ms  error",
        Route.DELTA,
        status=429,
        end=End.ERROR,
        sizes=(812, 3_000),
        times=(None, 0.031),
    ),
    Line(
        "delta    -                    total 1.00 s  caller hung up",
        Route.DELTA,
        status=0,
        end=End.HUNG_UP,
        times=(None, 1),
    ),
    Line(
        "-      400                    no HTTP request  total 0 ms  error  [it does not begin with a method]",
        Route.PASSTHROUGH,
        status=400,
        end=End.ERROR,
        method="-",
        path="-",
        faults=["it does not begin with a method"],
    ),
    Line("delta  200                    total 1.00 s  ended short", Route.DELTA, end=End.SHORT, times=(None, 1)),
    Line(
        "full   200  not_found         total 1.00 s  cut  1 replayed  [lost]  [lost again]",
        Route.FULL,
        Whole.NOT_FOUND,
        end=End.CUT,
        times=(None, 1),
        replays=1,
        faults=["lost", "lost again"],
    ),
    Line(
        "delta  200                    total 1.00 s  "
        "CONTEXT SUSPECT: the host may have lost this conversation; no more deltas go to it",
        Route.DELTA,
        times=(None, 1),
        suspect=True,
    ),
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.shown[:30])
def test_a_turn_reads_well(line: Line) -> None:
    """Route, status and reason stand in columns; sizes, times, tokens and what went wrong follow."""
    assert turn_line(line.outcome()) == line.shown


def test_columns_are_in_line_for_every_route_and_reason() -> None:
    """No word is wider than its column."""
    for reason in (None, *Passed, *Whole, *Plain):
        for route in Route:
            line = turn_line(Outcome("ol_1", route, reason, "GET", "/x", 200))
            assert line[:12] == f"{'pass' if route is Route.PASSTHROUGH else route.value:<5}  200  "
            assert line[12:30].rstrip() == (reason.value if reason else "")
            assert line[28:30] == "  "
            assert line[30] != " "


HOSTILE = st.text(
    st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Co", "L"], include_characters="\x1b\n\r\u2028\u202e\x9b"),
    max_size=300,
)


@given(path=HOSTILE, method=HOSTILE, fault=HOSTILE)
def test_nothing_in_a_line_is_obeyed_by_a_terminal(path: str, method: str, fault: str) -> None:
    """Escape sequences, line ends and direction marks of callers and upstreams never reach the terminal."""
    outcome = Outcome("ol_1", Route.PASSTHROUGH, None, method, path, 200, End.PASSED, faults=[fault])
    line = turn_line(outcome)
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in line)
    assert len(line.splitlines()) == 1
    assert len(line) < 330


def test_long_texts_are_cut_visibly() -> None:
    """A path or fault of any length leaves the line readable, and shows that something is missing."""
    assert printable("x" * 10, 10) == "x" * 10
    assert printable("x" * 11, 10) == "x" * 9 + "…"
    assert printable("a\x1b[31mb\n", 10) == "a?[31mb?"


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (48_213, "48.2 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (16_777_216, "16.8 MB"),
    ],
)
def test_sizes_are_rounded_for_a_reader(count: int, shown: str) -> None:
    """Bytes, kilobytes or megabytes, and never 1000 of one."""
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 ms"),
        (0.0004, "0 ms"),
        (0.1837, "184 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (2.314, "2.31 s"),
        (9.994, "9.99 s"),
        (9.996, "10.0 s"),
        (121.43, "121.4 s"),
    ],
)
def test_durations_are_rounded_for_a_reader(seconds: float, shown: str) -> None:
    """Milliseconds below a second, then seconds, without jumps where the unit changes."""
    assert duration(seconds) == shown
