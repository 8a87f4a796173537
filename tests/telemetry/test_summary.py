"""Summary: what turns come to, by route, by reason, by path, and by run; however many there were."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.reasons import Passed, Plain, Reason, Route, Whole
from proxy.telemetry.summary import Observed, Summary, Tallies, Tally, Way
from proxy.turns.outcome import End, Outcome, Would

REASONS: dict[Route, list[Reason | None]] = {
    Route.DELTA: [None],
    Route.FULL: [*Whole],
    Route.HTTP: [*Plain],
    Route.PASSTHROUGH: [*Passed],
}


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    """Any outcome."""
    route = draw(st.sampled_from(list(Route)))
    size = st.integers(0, 1_000)
    return Outcome(
        "ol_1",
        route,
        draw(st.sampled_from(REASONS[route])),
        path=draw(st.sampled_from([f"/v1/{n}" for n in range(30)])),
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
    assert sum(summary.passed.values()) == len(ended) - len(turns)
    assert len(summary.passed) <= 17
    assert summary.deltas == sum(one.route is Route.DELTA for one in ended)
    assert summary.unsent_bytes == sum(one.request_bytes - one.sent_bytes for one in turns)
    assert summary.input_tokens == sum(one.input_tokens for one in turns)
    assert summary.cached_tokens == sum(one.cached_tokens for one in turns)
    assert summary.output_tokens == sum(one.output_tokens for one in turns)
    assert summary.replays == sum(one.replays for one in ended)
    assert summary.errors == sum(one.end in {End.ERROR, End.CUT} for one in ended)
    assert summary.turn_errors == sum(one.end in {End.ERROR, End.CUT} for one in turns)
    assert summary.suspects == sum(one.context_suspect for one in ended)
    observed = [(one.would.route, one.request_bytes - one.would.sent_bytes) for one in ended if one.would]
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
    assert tallies.summary("a") == alone.summary()
    assert tallies.summary("c") == Summary()
    assert tallies.summary().turns == sum(one.route is not Route.PASSTHROUGH for one in ended)


def test_the_median_is_of_the_turns_that_had_a_first_event() -> None:
    """By route; a route without one has none."""
    tally = Tally()
    for seconds in (0.5, None, 0.1, 0.2):
        tally.add(Outcome("ol_1", Route.DELTA, first_event_seconds=seconds))
    tally.add(Outcome("ol_1", Route.FULL))
    assert tally.summary().ways == {Route.DELTA: Way(4, first_event_p50=0.2, first_events=3), Route.FULL: Way(1)}


def test_runs_that_are_long_over_are_forgotten() -> None:
    """Their number is bounded: the one used longest ago goes."""
    tallies = Tallies()
    for n in range(65):
        tallies.add(Outcome("ol_1", Route.DELTA, run=f"r{n}"))
    assert [tallies.summary(f"r{n}").turns for n in (0, 1, 64)] == [0, 1, 1]


def test_a_run_within_another_is_part_of_both() -> None:
    """`OUTER-INNER` counts as OUTER, too, and no other name that begins alike does."""
    tallies = Tallies()
    for name in ("a", "a-b", "a-b-c", "ab", "a-bc", None):
        tallies.add(Outcome("ol_1", Route.DELTA, run=name))
    assert [tallies.summary(name).turns for name in ("a", "a-b", "a-b-c", "ab", "b")] == [4, 2, 1, 1, 0]
