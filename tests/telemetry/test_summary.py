"""Summary: what turns come to, by route, by reason, by path, and by run; however many there were."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.reasons import Passed, Plain, Reason, Route, Whole
from proxy.telemetry.summary import Observed, Summary, Tallies, Tally, Way, runs
from proxy.turns.outcome import End, Outcome, Would

REASONS: dict[Route, list[Reason | None]] = {
    Route.DELTA: [None],
    Route.FULL: [*Whole],
    Route.HTTP: [*Plain],
    Route.PASSTHROUGH: [None, *Passed],
}
BAD = {End.ERROR, End.CUT}


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    """Any outcome."""
    route = draw(st.sampled_from(list(Route)))
    size = st.integers(0, 1_000)
    return Outcome(
        "ol_1",
        route,
        draw(st.sampled_from(REASONS[route])),
        path=draw(st.sampled_from(["/v1/models", *(f"/v1/files/{n}" for n in range(30))])),
        status=draw(st.sampled_from([0, 200, 401, 503])),
        end=draw(st.sampled_from(list(End))),
        request_bytes=draw(size),
        sent_bytes=draw(size),
        input_tokens=draw(size),
        cached_tokens=draw(size),
        output_tokens=draw(size),
        reasoning_tokens=draw(size),
        replays=draw(st.integers(0, 2)),
        context_suspect=draw(st.booleans()),
        would=draw(st.none() | st.builds(Would, st.sampled_from(list(Route)), st.none(), size)),
        run=draw(st.sampled_from([None, "a", "b"])),
    )


@given(st.lists(outcomes(), max_size=80))
def test_every_turn_is_counted_once(ended: list[Outcome]) -> None:
    """The parts add up to what there was."""
    tally = Tally()
    for outcome in ended:
        tally.add(outcome)
    summary = tally.summary()
    turns = [one for one in ended if one.route is not Route.PASSTHROUGH]
    assert summary.turns == len(turns) == sum(way.turns for way in summary.ways.values())
    assert sum(summary.reasons.values()) == sum(one.reason is not None for one in ended)
    others = [one for one in ended if one.route is Route.PASSTHROUGH]
    assert sum(summary.passed.values()) == sum(one.reason is not None for one in others)
    assert set(summary.passed) <= {"/v1/models", "/v1/files"}
    assert summary.calls == len(ended)
    assert summary.deltas == sum(one.route is Route.DELTA for one in ended)
    good = [one for one in turns if one.status == 200 and one.sent_bytes]
    assert summary.request_bytes == sum(one.request_bytes for one in good)
    assert summary.unsent_bytes == sum(one.request_bytes - one.sent_bytes for one in good)
    assert summary.input_tokens == sum(one.input_tokens for one in turns)
    assert summary.cached_tokens == sum(one.cached_tokens for one in turns)
    assert summary.output_tokens == sum(one.output_tokens for one in turns)
    assert summary.replays == sum(one.replays for one in ended)
    assert summary.errors == sum(one.end in BAD or one.status >= 400 for one in ended)
    assert summary.turn_errors == sum(one.end in BAD or one.status >= 400 for one in turns)
    assert summary.refused == sum(one.status >= 400 for one in turns)
    assert sum(summary.refusals.values()) == sum(one.status >= 400 for one in ended)
    assert sum(summary.own_statuses.values()) == sum(one.status >= 400 and one.reason is None for one in others)
    assert summary.suspects == sum(one.context_suspect for one in ended)
    observed = [
        (one.would.route, one.request_bytes - one.would.sent_bytes if one in good else 0) for one in turns if one.would
    ]
    assert summary.observed == Observed(
        len(observed), sum(route is Route.DELTA for route, _ in observed), sum(size for _, size in observed)
    )


@given(st.lists(outcomes(), max_size=40))
def test_a_run_is_that_of_its_turns(ended: list[Outcome]) -> None:
    """What a run comes to is what its turns alone would."""
    tallies, alone = Tallies(), Tally()
    for outcome in ended:
        tallies.add(outcome)
        if outcome.run == "a":
            alone.add(outcome)
    assert tallies.of("a") == alone.summary()
    assert tallies.of("c") == Summary()
    assert tallies.summary().turns == sum(one.route is not Route.PASSTHROUGH for one in ended)


def test_the_median_is_of_the_turns_that_had_a_first_event() -> None:
    """By route; a route without one has none."""
    tally = Tally()
    for seconds in (0.5, None, 0.1, 0.2):
        tally.add(Outcome("ol_1", Route.DELTA, first_event_seconds=seconds))
    tally.add(Outcome("ol_1", Route.FULL))
    assert tally.summary().ways == {Route.DELTA: Way(4, first_event_p50=0.2, first_events=3), Route.FULL: Way(1)}


@pytest.mark.parametrize(("samples", "p50"), [(3, 8.0), (4, 7.5)])
def test_the_median_is_of_the_latest(samples: int, p50: float) -> None:
    """Of so many are the times kept, however many there were."""
    tally = Tally(samples)
    for seconds in range(10):
        tally.add(Outcome("ol_1", Route.DELTA, first_event_seconds=float(seconds)))
    assert tally.summary().ways[Route.DELTA] == Way(10, first_event_p50=p50, first_events=10)


def test_times_that_are_kept_are_few() -> None:
    """4,096 of all turns, and 512 of one run's: what a median is taken of does not grow."""
    tallies = Tallies()
    for n in range(4_096 + 1_024):
        tallies.add(Outcome("ol_1", Route.FULL, first_event_seconds=float(n), run="a"))
    run = tallies.of("a")
    assert run
    assert tallies.summary().ways[Route.FULL].first_event_p50 == 1_024 + (4_096 - 1) / 2
    assert run.ways[Route.FULL].first_event_p50 == 4_096 + 512 + (512 - 1) / 2


@pytest.mark.parametrize("route", [Route.DELTA, Route.FULL, Route.HTTP])
@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_turn_that_was_refused_is_an_error(route: Route, status: int) -> None:
    """Whatever its route, and also where the upstream's refusal was passed on; its time and sizes count for nothing."""
    tally = Tally()
    tally.add(
        Outcome("ol_1", route, status=status, end=End.PASSED, request_bytes=9, sent_bytes=1, first_event_seconds=0.1)
    )
    summary = tally.summary()
    assert summary.ways == {route: Way(1, errors=1)}
    assert (summary.errors, summary.turn_errors, summary.refused) == (1, 1, 1)
    assert (summary.refusals, summary.statuses(route)) == ({f"{route.value}/{status}": 1}, {status: 1})


def test_what_was_never_sent_was_not_saved() -> None:
    """An upgrade that was refused, a caller that left while waiting or before an answer: nothing was gained there."""
    tally = Tally()
    for status, sent in ((429, 0), (0, 0), (0, 5), (200, 0)):
        tally.add(Outcome("ol_1", Route.DELTA, status=status, request_bytes=1_000, sent_bytes=sent))
    assert (tally.summary().unsent_bytes, tally.summary().request_bytes) == (0, 0)
    tally.add(Outcome("ol_1", Route.DELTA, status=200, request_bytes=1_000, sent_bytes=100))
    assert (tally.summary().unsent_bytes, tally.summary().request_bytes) == (900, 1_000)


def test_more_may_go_up_than_came() -> None:
    """A frame may be larger than its request, as where that came compressed: the difference is told as it is."""
    tally = Tally()
    tally.add(Outcome("ol_1", Route.FULL, status=200, request_bytes=100, sent_bytes=130))
    assert tally.summary().unsent_bytes == -30


def test_what_passed_through_is_counted_by_the_apis_paths() -> None:
    """However many ids there are, and whichever came first, no id is kept and no path of the API is hidden."""
    tally = Tally()
    for path in (*(f"/v1/files/file-{n}" for n in range(100)), *["/v1/chat/completions"] * 500, "/x/1", "/y/2"):
        tally.add(Outcome("ol_1", Route.PASSTHROUGH, Passed.OTHER_PATH, path=path))
    assert tally.summary().passed == {"/v1/files": 100, "/v1/chat/completions": 500, "other paths": 2}


def test_what_openline_refused_did_not_pass_through() -> None:
    """It is counted by its status, and what was hung up on before it was read as a call alone."""
    tally = Tally()
    for status in (503, 401, 503, 0):
        end = End.ERROR if status else End.HUNG_UP
        tally.add(Outcome("ol_1", Route.PASSTHROUGH, path="/v1/responses", status=status, end=end))
    summary = tally.summary()
    assert (summary.calls, summary.passed, summary.errors) == (4, {}, 3)
    assert list(summary.own_statuses.items()) == [(503, 2), (401, 1)]
    assert summary.statuses(*Route) == {}


def test_runs_that_are_long_over_are_forgotten() -> None:
    """Their number is bounded: the one used longest ago goes, and then one not known may have been forgotten."""
    tallies = Tallies()
    for n in range(512):
        tallies.add(Outcome("ol_1", Route.DELTA, run=f"r{n}"))
    assert tallies.of("no-such") == Summary()
    tallies.add(Outcome("ol_1", Route.DELTA, run="r0"))
    tallies.add(Outcome("ol_1", Route.DELTA, run="r512"))
    known = [tallies.of(f"r{n}") for n in (0, 1, 512)]
    assert [each and each.turns for each in known] == [2, None, 1]
    assert tallies.of("no-such") is None


def test_a_run_within_another_is_part_of_both() -> None:
    """`OUTER-INNER` counts as OUTER, too, and no other name that begins alike does."""
    tallies = Tallies()
    for name in ("a", "a-b", "a-b-c", "ab", "a-bc", None):
        tallies.add(Outcome("ol_1", Route.DELTA, run=name))
    known = [tallies.of(name) for name in ("a", "a-b", "a-b-c", "ab", "b")]
    assert [each and each.turns for each in known] == [4, 2, 1, 1, 0]


def test_a_turn_is_in_eight_runs_at_most() -> None:
    """A long name's last parts count as one: it is known by its whole name, and pushes out few others."""
    long = "-".join("abcdefghijkl")
    assert [*runs("")] == []
    assert [*runs("a-b")] == ["a", "a-b"]
    assert [*runs(long)] == [*("-".join("abcdefg"[:count]) for count in range(1, 8)), long]


def test_the_figures_are_for_a_program() -> None:
    """They hold the summary and what follows from it, and can be written as JSON."""
    ways = {Route.DELTA: Way(2, 100, 40), Route.FULL: Way(1, errors=1)}
    told = Summary(3, ways, {"full/first": 1}, refusals={"full/429": 1, "passthrough/404": 2}).figures()
    assert (told["turns"], told["deltas"], told["unsent_bytes"], told["turn_errors"]) == (3, 2, 60, 1)
    assert told["refused"] == 1
    assert msgspec.json.decode(msgspec.json.encode(told), type=dict[str, object])["reasons"] == {"full/first": 1}
