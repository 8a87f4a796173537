"""Recovery ends: whatever happens, and however often, a turn comes to an answer after a few tries."""

from functools import cache
from itertools import chain, combinations

from proxy.core.recovery import Action, Fact, Fault, Phase, decide
from tests.core.test_recovery import OCCURS

GROWING = {Fact.REDIALLED, Fact.REPLAYED, Fact.MOVED}
GIVEN = [fact for fact in Fact if fact not in GROWING]


@cache
def longest(facts: frozenset[Fact], *, delta: bool) -> int:
    """The most tries that a turn with these facts can still take; RecursionError where there is no end."""
    most = 1
    for fault, phases in OCCURS.items():
        for phase in phases:
            if fault is Fault.NOT_FOUND and not delta:
                continue  # said of a delta only
            if phase is Phase.STREAMING and Fact.JSON not in facts:
                continue  # delivered: it ends here
            match decide(fault, phase, facts):
                case Action.REDIAL:
                    most = max(most, 1 + longest(facts | {Fact.REDIALLED}, delta=delta))
                case Action.REPLAY_HERE:
                    most = max(most, 1 + longest(facts | {Fact.REPLAYED}, delta=False))
                case Action.REPLAY_ELSEWHERE:
                    ran = set() if phase is Phase.UNSENT else {Fact.REPLAYED}
                    most = max(most, 1 + longest(facts | {Fact.MOVED} | ran, delta=False))
                case _:
                    pass
    return most


def test_no_sequence_of_faults_keeps_a_turn_going() -> None:
    """From any start, the worst that can happen again and again is over after five tries."""
    starts = chain.from_iterable(combinations(GIVEN, size) for size in range(len(GIVEN) + 1))
    assert max(longest(frozenset(start), delta=True) for start in starts) <= 5
