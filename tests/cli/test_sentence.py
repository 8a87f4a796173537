"""Sentence: what turns come to in one line, and why nothing was gained where nothing was."""

import pytest

from proxy.cli.execution.sentence import ADVICE, SILENT, sentence
from proxy.core.reasons import Passed, Plain, Reason, Route, Whole
from proxy.errors import Problem
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
        (summary({DELTA: way(1, 0.1)}), "1 turn, 1 delta: first event p50: delta 100 ms"),
        (
            summary(
                {DELTA: way(5), FULL: way(4), HTTP: way(2, errors=2)},
                {"full/first": 1, "full/no_match": 3, "http/breaker_open": 2},
                replays=1,
                suspects=1,
            ),
            parts(
                "11 turns, 5 deltas: no deltas: no_match (3), breaker_open (2)",
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
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_the_line(told: Summary, line: str) -> None:
    """Turns and deltas first, then what was gained or why nothing was, then what was measured, then what went wrong."""
    assert sentence(told) == line


def test_other_calls_beside_turns_are_counted() -> None:
    """They are told apart from the turns, and those that Openline refused from those that it passed on."""
    reasons, passes = {"passthrough/other_path": 2}, {"/v1/models": 2}
    told = Summary(1, {DELTA: way(1)}, reasons, passes, refusals={"openline/503": 1})
    assert sentence(told).endswith(": 2 other calls passed through; 1 other call refused by Openline: 503 (1)")
    told = Summary(1, {DELTA: way(1)}, reasons, passes, refusals={"passthrough/404": 1})
    assert sentence(told) == (
        "1 turn, 1 delta: 2 other calls passed through, 1 of them refused: 404 (1):"
        " the upstream has no such path or model"
    )


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({DELTA: way(3, 0.1), FULL: way(3, 0.175)}, "delta 100 ms, full 175 ms (75 ms sooner than full)"),
        ({DELTA: way(3, 0.2), FULL: way(3, 0.175)}, "delta 200 ms, full 175 ms (25 ms later than full)"),
        ({DELTA: way(3, 0.1), HTTP: way(3, 0.175)}, "delta 100 ms, http 175 ms"),
        ({DELTA: way(3, 0.1), FULL: way(2, 0.5), HTTP: way(3, 0.175)}, "delta 100 ms, full 500 ms, http 175 ms"),
        ({DELTA: way(2, 0.1), FULL: way(3, 0.175)}, "delta 100 ms, full 175 ms"),
        ({DELTA: way(3, 0.1), FULL: way(2, 0.175)}, "delta 100 ms, full 175 ms"),
        ({DELTA: way(9, 0.1), FULL: way(9, 0.175, first_events=2)}, "delta 100 ms, full 175 ms"),
    ],
)
def test_time_is_compared_where_there_is_enough_to_compare(ways: dict[Route, Way], said: str) -> None:
    """Of deltas and of full turns at least three had a first event; plain HTTP's is another one, so not compared."""
    assert f"first event p50: {said}" in sentence(summary(ways)).partition(": ")[2].split("; ")


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


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            Summary(3, {HTTP: way(3, errors=3)}, {"http/upgrade_refused": 3}, refusals={"http/401": 3}),
            "3 turns, all refused: 401 (3): the upstream refused the key",
        ),
        (
            Summary(1, {HTTP: way(1, errors=1)}, {"http/mode_off": 1}, refusals={"http/403": 1}),
            "1 turn, refused: 403 (1): the upstream refused the key",
        ),
        (
            Summary(3, {FULL: way(3, errors=3)}, refusals={"full/429": 3}),
            "3 turns, all refused: 429 (3): the upstream's rate limit or quota was reached",
        ),
        (
            Summary(3, {HTTP: way(3, errors=3)}, {"http/no_websocket": 3}, refusals={"http/500": 2, "http/404": 1}),
            "3 turns, all failed: 500 (2), 404 (1): trouble at the upstream, or on the way there",
        ),
        (
            Summary(
                4,
                {HTTP: way(4, errors=4)},
                {"http/observed": 4},
                replays=1,
                observed=Observed(4, 3, 0),
                refusals={"http/404": 4},
            ),
            "4 turns, all refused: 404 (4): the upstream has no such path or model; 1 replay",
        ),
        (
            Summary(
                5,
                {DELTA: Way(3, 3_000, 300, errors=1), HTTP: Way(2, errors=2)},
                {"http/dial_failed": 2},
                refusals={"delta/400": 1, "http/400": 1},
            ),
            (
                "5 turns, 3 deltas, 2 refused: 400 (2): the requests were not accepted;"
                " 2.7 kB of 3.0 kB not sent; no deltas: dial_failed (2); 1 ended with an error"
            ),
        ),
        (
            Summary(2, {FULL: Way(2, errors=2)}, {"full/first": 2}, refusals={"full/429": 1}),
            (
                "2 turns, 0 deltas, 1 refused: 429 (1): the upstream's rate limit or quota was reached;"
                " 1 ended with an error"
            ),
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_turns_that_were_refused_come_first(told: Summary, line: str) -> None:
    """By status, with what the most frequent one means; where all were refused nothing else is made of them."""
    assert sentence(told) == line


@pytest.mark.parametrize(
    ("request_bytes", "sent_bytes", "said"),
    [
        (1_000, 100, "1 turn, 1 delta: 900 B of 1.0 kB not sent"),
        (1_000, 1_300, "1 turn, 1 delta: 300 B more sent than the 1.0 kB that came"),
        (1_000, 1_000, "1 turn, 1 delta"),
        (0, 0, "1 turn, 1 delta"),
    ],
)
def test_no_saving_is_claimed_where_there_was_none(request_bytes: int, sent_bytes: int, said: str) -> None:
    """Requests may come compressed, and go up larger: then that is said, and never a zero or less."""
    assert sentence(summary({DELTA: Way(1, request_bytes, sent_bytes)})) == said


@pytest.mark.parametrize("unsent", [0, -500])
def test_nor_where_it_was_only_observed(unsent: int) -> None:
    """In mode observe, too."""
    told = Summary(2, {HTTP: way(2)}, {"http/observed": 2}, observed=Observed(2, 1, unsent))
    assert sentence(told).endswith("; with --mode on 1 delta")


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            Summary(refusals={"openline/503": 2}, calls=2),
            "Openline refused 2 calls of the agent's, 503 (2): it was at one of its limits, or shutting down",
        ),
        (
            Summary(refusals={"openline/401": 1, "openline/503": 3}, calls=5),
            "Openline refused 4 calls of the agent's, 503 (3), 401 (1): it was at one of its limits, or shutting down",
        ),
        (
            Summary(refusals={"openline/426": 1}, calls=1),
            "Openline refused 1 call of the agent's, 426 (1): it serves no WebSockets",
        ),
        (
            Summary(refusals={"openline/499": 1}, calls=1),
            "Openline refused 1 call of the agent's, 499 (1): see --log FILE",
        ),
        (Summary(calls=2), "no call of the agent's arrived whole (2 begun)"),
        (
            Summary(
                passed={"/v1/embeddings": 3},
                reasons={"passthrough/other_path": 3},
                refusals={"passthrough/401": 2},
                calls=3,
            ),
            (
                "the agent used /v1/embeddings (3 calls), which Openline passes through,"
                " 2 of them refused: 401 (2): the upstream refused the key"
            ),
        ),
        (
            Summary(
                passed={"/v1/responses": 1},
                reasons={"passthrough/background": 1},
                refusals={"passthrough/502": 1},
                calls=1,
            ),
            (
                f"/v1/responses passed through, background (1): {ADVICE[Passed.BACKGROUND]},"
                " 1 of them failed: 502 (1): trouble at the upstream, or on the way there"
            ),
        ),
    ],
)
def test_calls_that_came_to_no_turn_are_told_by_what_was_answered(told: Summary, line: str) -> None:
    """What Openline refused is told by its status; what never arrived whole was refused by nobody."""
    assert sentence(told) == f"0 turns: {line}"


def test_every_refusal_of_openlines_own_has_its_words() -> None:
    """Each status that a caller is answered by Openline itself before a turn begins says what it was."""
    elsewhere = {
        *(Problem.ADMIN_PATH, Problem.ADMIN_METHOD, Problem.ADMIN_SECRET, Problem.RUN, Problem.SETTINGS),
        *(Problem.SUCCESSION, Problem.LINE_LOST, Problem.SILENCE, Problem.UNREACHABLE),
    }
    for problem in set(Problem) - elsewhere:
        status = problem.value[0]
        assert "see --log" not in sentence(Summary(refusals={f"openline/{status}": 1}, calls=1)), problem
