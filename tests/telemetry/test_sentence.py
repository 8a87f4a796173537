"""Sentence: what turns come to in one line, and why nothing was gained where nothing was."""

import msgspec
import pytest

from proxy.core.reasons import Passed, Plain, Reason, Route, Whole
from proxy.telemetry.sentence import ADVICE, SILENT, figures, sentence
from proxy.telemetry.summary import Observed, Summary, Way

DELTA, FULL, HTTP = Route.DELTA, Route.FULL, Route.HTTP


def way(turns: int, first: float | None = None, *, first_events: int | None = None, errors: int = 0) -> Way:
    """So many turns; each had a first event after so long unless another number is given."""
    seen = first_events if first_events is not None else turns * (first is not None)
    return Way(turns, 100_000 * turns, 100_000 * turns, first, seen, errors)


def summary(
    ways: dict[Route, Way], reasons: dict[str, int] | None = None, *, replays: int = 0, suspects: int = 0
) -> Summary:
    """What such turns come to."""
    turns = sum(each.turns for each in ways.values())
    return Summary(turns, ways, reasons or {}, replays=replays, suspects=suspects)


def passed(paths: dict[str, int], reasons: dict[str, int]) -> Summary:
    """What comes to no turn at all."""
    return Summary(passed=paths, reasons=reasons)


def parts(*clauses: str) -> str:
    """A line of these clauses."""
    return "; ".join(clauses)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            summary(
                {
                    DELTA: Way(11, 4_500_000, 400_000, 0.123, 11, 0, 180_000, 165_600, 900),
                    FULL: Way(1, 100_000, 100_000, 0.198, 1, 0, 2_000, 0, 100),
                },
                {"full/first": 1},
            ),
            parts(
                "12 turns, 11 deltas: 4.1 MB of 4.6 MB not sent",
                "first event p50: delta 123 ms, full 198 ms",
                "182,000 tokens in (91 % cached), 1,000 out",
            ),
        ),
        (summary({DELTA: way(1, 0.1)}), "1 turn, 1 delta: 0 B of 100.0 kB not sent; first event p50: delta 100 ms"),
        (
            summary(
                {DELTA: way(5), FULL: way(4), HTTP: way(2, errors=2)},
                {"full/first": 1, "full/no_match": 3, "http/breaker_open": 2},
                replays=1,
                suspects=1,
            ),
            parts(
                "11 turns, 5 deltas: 0 B of 1.1 MB not sent",
                "no deltas: no_match (3), breaker_open (2)",
                "2 ended with an error",
                "1 replay",
                "CONTEXT SUSPECT: the host may have lost a conversation; no more deltas went to it",
            ),
        ),
        (summary({FULL: way(3)}, {"full/first": 3}), f"3 turns, 0 deltas: {ADVICE[Whole.FIRST]}"),
        (
            summary({FULL: way(8)}, {"full/first": 5, "full/host_unverified": 3}),
            f"8 turns, 0 deltas: host_unverified (3): {ADVICE[Whole.HOST_UNVERIFIED]}",
        ),
        (
            summary({FULL: way(2), HTTP: way(3)}, {"full/no_match": 2, "http/dial_failed": 3}),
            f"5 turns, 0 deltas: dial_failed (3), no_match (2): {ADVICE[Plain.DIAL_FAILED]}",
        ),
        (summary({FULL: way(2, errors=2)}, {"full/first": 2}), "2 turns, 0 deltas: all of them ended with an error"),
        (summary({FULL: way(1, errors=1)}, {"full/first": 1}), "1 turn, 0 deltas: it ended with an error"),
        (
            summary({FULL: way(2, errors=1)}, {"full/first": 2}),
            f"2 turns, 0 deltas: {ADVICE[Whole.FIRST]}; 1 ended with an error",
        ),
        (Summary(), f"0 turns: the agent made no call to Openline ({SILENT})"),
        (
            passed({"/v1/models": 1, "/v1/embeddings": 12}, {"passthrough/other_path": 13}),
            "0 turns: the agent used /v1/embeddings (12 calls), /v1/models (1 call), which Openline passes through",
        ),
        (
            passed({"/v1/responses": 4, "/v1/models": 9}, {"passthrough/own_state": 4, "passthrough/other_path": 9}),
            f"0 turns: /v1/responses passed through, own_state (4): {ADVICE[Passed.OWN_STATE]}",
        ),
        (
            passed({"/v1/responses": 2}, {}),
            "0 turns: Openline refused the agent's 2 calls, as it does WebSockets and what is no HTTP: see --log FILE",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_the_line(told: Summary, line: str) -> None:
    """Turns and deltas first, then what was gained or why nothing was, then what was measured, then what went wrong."""
    assert sentence(told) == line


def test_other_calls_beside_turns_are_counted() -> None:
    """They are told apart from the turns, and those that Openline refused from those that it passed on."""
    told = Summary(1, {DELTA: way(1)}, {"passthrough/other_path": 2}, {"/v1/models": 1, "/v1/files": 2})
    assert sentence(told).endswith("; 2 other calls passed through; 1 other call refused")


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({DELTA: way(3, 0.1), FULL: way(3, 0.175)}, "delta 100 ms, full 175 ms (75 ms sooner than full)"),
        ({DELTA: way(3, 0.2), FULL: way(3, 0.175)}, "delta 200 ms, full 175 ms (25 ms later than full)"),
        ({DELTA: way(3, 0.1), HTTP: way(3, 0.175)}, "delta 100 ms, http 175 ms (75 ms sooner than http)"),
        (
            {DELTA: way(3, 0.1), FULL: way(2, 0.5), HTTP: way(3, 0.175)},
            "delta 100 ms, full 500 ms, http 175 ms (75 ms sooner than http)",
        ),
        ({DELTA: way(2, 0.1), FULL: way(3, 0.175)}, "delta 100 ms, full 175 ms"),
        ({DELTA: way(3, 0.1), FULL: way(2, 0.175)}, "delta 100 ms, full 175 ms"),
        ({DELTA: way(9, 0.1), FULL: way(9, 0.175, first_events=2)}, "delta 100 ms, full 175 ms"),
    ],
)
def test_time_is_compared_where_there_is_enough_to_compare(ways: dict[Route, Way], said: str) -> None:
    """Of deltas and of one other way at least three turns had a first event; else no difference is claimed."""
    assert f"first event p50: {said}" in sentence(summary(ways)).split("; ")


def test_what_was_observed_is_told_as_what_would_have_been() -> None:
    """In mode observe the line says what mode on would have come to."""
    told = Summary(8, {HTTP: way(8)}, {"http/observed": 8}, observed=Observed(8, 7, 90_000))
    assert sentence(told) == (
        f"8 turns, 0 deltas: observed (8): {ADVICE[Plain.OBSERVED]}; with --mode on 7 deltas, and 90.0 kB not sent"
    )


def test_the_agent_may_have_a_reason_of_its_own_to_make_no_call() -> None:
    """What is known of the agent is said in place of the usual guess."""
    assert sentence(Summary(), silent="it goes by a file") == (
        "0 turns: the agent made no call to Openline (it goes by a file)"
    )


@pytest.mark.parametrize("reason", [*Passed, *Whole, *Plain], ids=lambda reason: reason.value)
def test_every_reason_has_its_advice(reason: Reason) -> None:
    """A run in which it was the only reason ends with a line that says what it means; two are no turns in any case."""
    if isinstance(reason, Passed):
        told = passed({"/v1/responses": 1}, {f"passthrough/{reason.value}": 1})
        expected = "which Openline passes through"
    else:
        route = FULL if isinstance(reason, Whole) else HTTP
        told = summary({route: way(1)}, {f"{route.value}/{reason.value}": 1})
        expected = ""
    assert sentence(told).endswith(ADVICE.get(reason, "") or expected)
    assert (reason in ADVICE) is (reason not in {Passed.OTHER_PATH, Passed.PREFLIGHT})


def test_a_path_is_no_command_to_a_terminal() -> None:
    """Whatever stands in a path that was asked for, the line is one line of printable characters."""
    line = sentence(passed({"/v1/\x1b[2J\n" + "x" * 100: 1}, {"passthrough/other_path": 1}))
    assert line.isprintable()
    assert len(line) < 200


def test_the_figures_are_for_a_program() -> None:
    """They hold the summary and what follows from it, and can be written as JSON."""
    told = figures(summary({DELTA: Way(2, 100, 40), FULL: way(1, errors=1)}, {"full/first": 1}))
    assert (told["turns"], told["deltas"], told["unsent_bytes"], told["turn_errors"]) == (3, 2, 60, 1)
    assert msgspec.json.decode(msgspec.json.encode(told), type=dict[str, object])["reasons"] == {"full/first": 1}
