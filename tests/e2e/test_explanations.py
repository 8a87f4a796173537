"""Recorded runs of real clients, explained: what a client changes in the answers that it sends back."""

import json
from itertools import pairwise

import pytest

from proxy.config import Settings, Upstream
from proxy.core.explanation import Explanation
from proxy.core.meaning import Rules
from proxy.simulator import Behaviour, Recorded
from tests.core.traced import Tracer
from tests.e2e.captures import RUNS, run
from tests.e2e.stack import stack

# The one run that changes answers: what of them, turn after turn.
DROPS = [(1, "reasoning", ()), (3, "reasoning", ()), (7, "message", ("phase",)), (10, "message", ("phase",))]
DROPS += [(12, "reasoning", ())]


@pytest.mark.parametrize("name", sorted({*RUNS} - {"aisdk-default"}))
def test_recorded_clients_are_explained(name: str) -> None:
    """Of all recorded runs one changes answers, and is told which; how the others write them anew is not told.

    (aisdk-default refers to items that are stored, of which a trace by itself knows nothing.)
    """
    recorded = run(name)
    told: list[Explanation] = []
    tracer = Tracer(Rules(summaries_count=False))
    for exchange, later in pairwise(recorded):
        sent = [json.dumps(item) for item in exchange.input]
        tracer.turn(sent, [json.dumps(item) for item in exchange.output])
        if later.continues(exchange):
            told.append(tracer.why([json.dumps(item) for item in later.input]))
    if name == "pysdk-chatstyle":
        assert [(found.item, found.item_type, found.paths) for found in told] == DROPS
    else:
        assert {(found.kind, found.item) for found in told} == {("other", None)}


async def test_a_client_that_drops_reasoning_is_told_so() -> None:
    """Through the whole proxy: each turn's outcome names the item, and the turn that it was compared with."""
    recorded = run("pysdk-chatstyle")
    behaviour = Behaviour(model=Recorded([exchange.output for exchange in recorded]))
    upstream = Upstream(verifies_ids="yes", summaries_count="no")
    async with stack(behaviour, Settings(upstream=upstream)) as running:
        for exchange in recorded:
            await running.ask_raw(exchange.raw, headers=exchange.headers)
        outcomes = [await running.outcome() for _ in recorded]
    assert outcomes[0].why is None
    whys = [outcome.why for outcome in outcomes if outcome.why]
    assert [(why.item, why.item_type, why.paths) for why in whys] == DROPS
    assert [why.compared_with for why in whys] == [outcome.id for outcome in outcomes[:-1]]
    assert whys[0].text == "The reasoning item at index 1, which the model said, was left out."
