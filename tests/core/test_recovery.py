"""Recovery: the table is total over what can occur, each of its rules is reached, and it says what the design says."""

from collections.abc import Iterator, Set
from itertools import chain, combinations

import pytest

from proxy.core.recovery import RULES, Action, Fact, Fault, NoRule, Phase, Rule, decide

U, W, S = PHASES = tuple(Phase)
AGAIN = {Action.REDIAL, Action.REPLAY_HERE, Action.REPLAY_ELSEWHERE}

# What can occur, and why: a fault outside its phases would be a mistake in the code that raises it.
OCCURS: dict[Fault, set[Phase]] = {
    Fault.NO_WEBSOCKET: {U},  # the dial comes before the create
    Fault.UPGRADE_FORBIDDEN: {U},
    Fault.UPGRADE_REFUSED: {U},
    Fault.DIAL_FAILED: {U},
    Fault.NO_DESCRIPTOR: {U},
    Fault.BREAKER_OPEN: {U},
    Fault.POOL_FULL: {U},
    Fault.OVERSIZE: {U, W},  # our check; a close with 1009 in place of the first event, later it is a lost line
    Fault.NOT_FOUND: {W},  # only as the first event
    Fault.CONNECTION_LIMIT: {W},  # only as the first event; after events it is a lost line
    Fault.NO_LANES: {W},  # only as the first event
    Fault.REJECTED: {W},  # only as the first event
    Fault.LINE_LOST: {U, W, S},  # a leased connection may be gone before the write
    Fault.SILENCE: {W, S},  # nobody waits before the write
    Fault.GARBAGE: {W, S},  # before the create could run it is a lost line
}


def facts() -> Iterator[frozenset[Fact]]:
    """Every set of facts."""
    return map(frozenset, chain.from_iterable(combinations(Fact, size) for size in range(len(Fact) + 1)))


def reached(fault: Fault, phase: Phase, holding: Set[Fact]) -> Rule:
    """The rule that decides, found without the table's own search."""
    fitting = [
        rule for rule in RULES if rule.fault is fault and phase in rule.phases and not set(rule.where) - set(holding)
    ]
    return fitting[0]


def test_every_fault_is_listed() -> None:
    """The list of what can occur names each fault there is."""
    assert OCCURS.keys() == set(Fault)


@pytest.mark.parametrize(("fault", "phase"), [(f, p) for f, phases in OCCURS.items() for p in Phase if p in phases])
def test_whatever_can_occur_has_an_action_that_fits_its_phase(fault: Fault, phase: Phase) -> None:
    """The table answers every fault in each phase where it can fall, whatever the facts, with something possible."""
    possible = {
        U: {Action.HTTP, Action.ANSWER, Action.REDIAL, Action.REPLAY_ELSEWHERE},
        W: set(Action) - {Action.CUT, Action.SAY_FAILED, Action.REDIAL},
    }
    for holding in facts():
        action = decide(fault, phase, holding)
        if phase is S:
            delivered = {Action.CUT, Action.SAY_FAILED}
            nothing_delivered = {Action.BAD_GATEWAY, Action.GATEWAY_TIMEOUT, Action.REPLAY_ELSEWHERE, Action.HTTP}
            assert action in (nothing_delivered if Fact.JSON in holding else delivered)
        else:
            assert action in possible[phase]


@pytest.mark.parametrize(
    ("fault", "phase"), [(f, p) for f in Fault for p in Phase if p not in OCCURS[f]], ids=lambda value: value.name
)
def test_what_cannot_occur_is_an_error(fault: Fault, phase: Phase) -> None:
    """A fault in a phase where it cannot fall is not guessed at, but shown as the mistake that it is."""
    for holding in facts():
        with pytest.raises(NoRule, match=f"{fault.name} while {phase.name}"):
            decide(fault, phase, holding)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.fault.name}-{RULES.index(rule)}")
def test_each_rule_is_reached_in_each_of_its_phases(rule: Rule) -> None:
    """No rule stands in the shadow of one before it."""
    for phase in rule.phases:
        assert any(reached(rule.fault, phase, holding) is rule for holding in facts())


def test_the_first_rule_that_fits_is_taken() -> None:
    """The order of the table decides."""
    for fault, phases in OCCURS.items():
        for phase in phases:
            for holding in facts():
                assert decide(fault, phase, holding) is reached(fault, phase, holding).action


def test_no_rule_stands_twice() -> None:
    """Two rules with the same fault, phase and facts would contradict or repeat one another."""
    keys = [(rule.fault, phase, frozenset(rule.where)) for rule in RULES for phase in rule.phases]
    assert len(keys) == len(set(keys))


# The rows of design.md's table: what happened, in which phase, with which facts, and what is done.
DESIGN: list[tuple[str, Fault, Phase, set[Fact], Action]] = [
    ("no WebSocket mode here: HTTP", Fault.NO_WEBSOCKET, U, set(), Action.HTTP),
    # Otherwise than in design.md: a middlebox may refuse upgrades alone, and plain HTTP tells what the host minds.
    ("upgrade forbidden: HTTP", Fault.UPGRADE_FORBIDDEN, U, set(), Action.HTTP),
    ("forbidden after a redial: the same", Fault.UPGRADE_FORBIDDEN, U, {Fact.REDIALLED}, Action.HTTP),
    ("too many upgrades: the caller gets it", Fault.UPGRADE_REFUSED, U, set(), Action.ANSWER),
    ("refused again after a redial: the same", Fault.UPGRADE_REFUSED, U, {Fact.REDIALLED}, Action.ANSWER),
    ("dial failure: one more dial", Fault.DIAL_FAILED, U, set(), Action.REDIAL),
    ("then HTTP for this turn", Fault.DIAL_FAILED, U, {Fact.REDIALLED}, Action.HTTP),
    ("the same for a replay", Fault.DIAL_FAILED, U, {Fact.REPLAYED}, Action.REDIAL),
    ("no time for another dial: HTTP", Fault.DIAL_FAILED, U, {Fact.SPENT}, Action.HTTP),
    ("no descriptor: again, where room was made", Fault.NO_DESCRIPTOR, U, set(), Action.REDIAL),
    ("no descriptor again: HTTP", Fault.NO_DESCRIPTOR, U, {Fact.REDIALLED}, Action.HTTP),
    ("no descriptor, no time: HTTP", Fault.NO_DESCRIPTOR, U, {Fact.SPENT}, Action.HTTP),
    ("breaker open: HTTP", Fault.BREAKER_OPEN, U, set(), Action.HTTP),
    ("pool full: HTTP", Fault.POOL_FULL, U, set(), Action.HTTP),
    ("too large to send: HTTP", Fault.OVERSIZE, U, set(), Action.HTTP),
    ("cut off as too large: HTTP", Fault.OVERSIZE, W, set(), Action.HTTP),
    ("not found: in full on the same connection", Fault.NOT_FOUND, W, set(), Action.REPLAY_HERE),
    ("age limit: new connection, in full", Fault.CONNECTION_LIMIT, W, set(), Action.REPLAY_ELSEWHERE),
    ("age limit again: HTTP", Fault.CONNECTION_LIMIT, W, {Fact.MOVED}, Action.HTTP),
    ("refused at the age limit: it did not run", Fault.CONNECTION_LIMIT, W, {Fact.ACTS}, Action.REPLAY_ELSEWHERE),
    ("nor does replay = unsent stop it", Fault.CONNECTION_LIMIT, W, {Fact.UNSENT_ONLY}, Action.REPLAY_ELSEWHERE),
    ("no lanes here: elsewhere, without", Fault.NO_LANES, W, set(), Action.REPLAY_ELSEWHERE),
    ("no lanes again: HTTP", Fault.NO_LANES, W, {Fact.MOVED}, Action.HTTP),
    ("error for a create: the caller gets it", Fault.REJECTED, W, set(), Action.ANSWER),
    ("error for a replay: the caller gets it", Fault.REJECTED, W, {Fact.REPLAYED}, Action.ANSWER),
    ("lost before the write: elsewhere", Fault.LINE_LOST, U, set(), Action.REPLAY_ELSEWHERE),
    ("even where tools act: nothing ran", Fault.LINE_LOST, U, {Fact.ACTS}, Action.REPLAY_ELSEWHERE),
    ("even with replay = unsent: it is unsent", Fault.LINE_LOST, U, {Fact.UNSENT_ONLY}, Action.REPLAY_ELSEWHERE),
    ("lost before the write once more: HTTP", Fault.LINE_LOST, U, {Fact.MOVED}, Action.HTTP),
    ("lost before the write, no time: HTTP", Fault.LINE_LOST, U, {Fact.SPENT}, Action.HTTP),
    ("a replay on the same line counts as no move", Fault.LINE_LOST, U, {Fact.REPLAYED}, Action.REPLAY_ELSEWHERE),
    ("after a move it may still be sent again", Fault.LINE_LOST, W, {Fact.MOVED}, Action.REPLAY_ELSEWHERE),
    ("lost before any event: once more in full", Fault.LINE_LOST, W, set(), Action.REPLAY_ELSEWHERE),
    ("once more, but no time for a dial: HTTP", Fault.LINE_LOST, W, {Fact.SPENT}, Action.HTTP),
    ("no time, and may not be repeated: 502", Fault.LINE_LOST, W, {Fact.SPENT, Fact.ACTS}, Action.BAD_GATEWAY),
    ("also where it is to be stored", Fault.LINE_LOST, W, {Fact.STORED}, Action.REPLAY_ELSEWHERE),
    ("only once", Fault.LINE_LOST, W, {Fact.REPLAYED}, Action.BAD_GATEWAY),
    ("never with replay = unsent", Fault.LINE_LOST, W, {Fact.UNSENT_ONLY}, Action.BAD_GATEWAY),
    ("hosted tools that act: 502", Fault.LINE_LOST, W, {Fact.ACTS}, Action.BAD_GATEWAY),
    ("the same for JSON", Fault.LINE_LOST, W, {Fact.ACTS, Fact.JSON}, Action.BAD_GATEWAY),
    ("lost after events, JSON: the same", Fault.LINE_LOST, S, {Fact.JSON}, Action.REPLAY_ELSEWHERE),
    ("JSON, only once", Fault.LINE_LOST, S, {Fact.JSON, Fact.REPLAYED}, Action.BAD_GATEWAY),
    ("JSON, unless hosted tools", Fault.LINE_LOST, S, {Fact.JSON, Fact.ACTS}, Action.BAD_GATEWAY),
    ("JSON, unless stored", Fault.LINE_LOST, S, {Fact.JSON, Fact.STORED}, Action.BAD_GATEWAY),
    ("JSON, unless replay = unsent", Fault.LINE_LOST, S, {Fact.JSON, Fact.UNSENT_ONLY}, Action.BAD_GATEWAY),
    ("lost after events, streaming: cut", Fault.LINE_LOST, S, set(), Action.CUT),
    ("or response.failed first", Fault.LINE_LOST, S, {Fact.SAY_FAILED}, Action.SAY_FAILED),
    ("a stream is never sent again", Fault.LINE_LOST, S, {Fact.STORED, Fact.ACTS, Fact.UNSENT_ONLY}, Action.CUT),
    ("silence before any event: 504", Fault.SILENCE, W, set(), Action.GATEWAY_TIMEOUT),
    ("silence after events, JSON: 504", Fault.SILENCE, S, {Fact.JSON}, Action.GATEWAY_TIMEOUT),
    ("silence after events, streaming: cut", Fault.SILENCE, S, set(), Action.CUT),
    ("or response.failed first, as for a loss", Fault.SILENCE, S, {Fact.SAY_FAILED}, Action.SAY_FAILED),
    ("garbage: the turn fails cleanly", Fault.GARBAGE, W, set(), Action.BAD_GATEWAY),
    ("garbage after events, JSON: 502", Fault.GARBAGE, S, {Fact.JSON}, Action.BAD_GATEWAY),
    ("garbage after events, streaming: cut", Fault.GARBAGE, S, set(), Action.CUT),
    ("or response.failed first, as for silence", Fault.GARBAGE, S, {Fact.SAY_FAILED}, Action.SAY_FAILED),
]


@pytest.mark.parametrize(
    ("fault", "phase", "holding", "action"), [row[1:] for row in DESIGN], ids=[r[0] for r in DESIGN]
)
def test_each_row_of_the_design_is_in_the_table(fault: Fault, phase: Phase, holding: set[Fact], action: Action) -> None:
    """What the design promises for each fault is what the table says."""
    assert decide(fault, phase, holding) is action


def test_each_rule_is_promised_by_a_row() -> None:
    """The table holds nothing that the list above does not say."""
    assert {reached(fault, phase, holding) for _, fault, phase, holding, _ in DESIGN} == set(RULES)


def test_a_turn_that_may_have_run_is_never_repeated_where_it_acts() -> None:
    """Once written, a turn whose tools act is not sent again, but for errors that say it did not run."""
    did_not_run = {Fault.NOT_FOUND, Fault.CONNECTION_LIMIT, Fault.NO_LANES, Fault.OVERSIZE}
    again = {Action.REPLAY_ELSEWHERE, Action.REPLAY_HERE, Action.HTTP}
    for fault, phases in OCCURS.items():
        for phase in phases - {U}:
            for holding in facts():
                if holding & {Fact.ACTS, Fact.UNSENT_ONLY} and fault not in did_not_run:
                    assert decide(fault, phase, holding) not in again


def courses(facts_of_turn: frozenset[Fact]) -> Iterator[list[Action]]:
    """Every course that a turn can take while one fault follows another, until something ends it.

    The facts change as the turn goes on: what it did already is what the table is asked with next. A course that
    comes back to the phase and the facts of before would never end.
    """

    def go(phase: Phase, holding: frozenset[Fact], taken: list[Action], seen: Set[object]) -> Iterator[list[Action]]:
        here = (phase, holding, not taken)  # only at first may it be a delta, whose parent can be not found
        assert here not in seen, taken
        for fault, phases in OCCURS.items():
            for now in phases:
                if PHASES.index(now) < PHASES.index(phase) or (fault is Fault.NOT_FOUND and taken):
                    continue  # what was written stays so until it is sent anew; only a delta's parent is not found
                action = decide(fault, now, holding)
                if action not in AGAIN:
                    yield [*taken, action]
                    continue
                done = {Fact.REDIALLED} if action is Action.REDIAL else set()
                if action is Action.REPLAY_ELSEWHERE:
                    done.add(Fact.MOVED)
                if fault is Fault.LINE_LOST and now is not U:
                    done.add(Fact.REPLAYED)
                yield from go(U, holding | done, [*taken, action], {*seen, here})

    yield from go(U, facts_of_turn, [], set())


@pytest.mark.parametrize("given", [frozenset(), frozenset({Fact.JSON})], ids=["stream", "json"])
def test_no_turn_goes_on_for_ever(given: frozenset[Fact]) -> None:
    """Whatever faults follow one another, each renewed try leaves a mark, and the marks run out: a last one ends it."""
    longest = max(courses(given), key=len)
    tries = longest[:-1]
    assert tries.count(Action.REDIAL) <= 1
    assert tries.count(Action.REPLAY_HERE) <= 1
    assert tries.count(Action.REPLAY_ELSEWHERE) <= 2, "once unsent, and once after it was sent"
    assert len(tries) <= 4


def test_nothing_is_ever_sent_again_after_something_was_delivered() -> None:
    """A streaming caller that has events gets no second answer behind them."""
    for fault, phases in OCCURS.items():
        if S in phases:
            for holding in facts():
                if Fact.JSON not in holding:
                    assert decide(fault, S, holding) in {Action.CUT, Action.SAY_FAILED}
