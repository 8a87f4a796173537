"""An account: what a number of turns come to, and whether the model was given what each of them spelled out."""

from collections import Counter
from collections.abc import Iterable, Sequence

from bench.caller import Turn
from proxy.simulator import Oracle, render_request
from proxy.simulator.prompt import items_of

_ORACLE = Oracle()


def ways(turns: Iterable[Turn]) -> dict[str, int]:
    """How many turns went each way, the most frequent first."""
    return dict(Counter(turn.way for turn in turns if not turn.error).most_common())


def wrong(turns: Iterable[Turn]) -> int:
    """How many turns had another prompt than their own full request renders to.

    The oracle's answer, every id in it included, is a function of the prompt that it was given: what came back is
    compared with what it says to the caller's whole request, sent by no way at all.
    """
    return sum(not turn.error and list(turn.output) != _answer(turn) for turn in turns)


def errors(turns: Iterable[Turn]) -> dict[str, int]:
    """How many turns had no whole answer, by what came instead."""
    return dict(Counter(turn.error for turn in turns if turn.error))


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that is not below this share of them; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _answer(turn: Turn) -> list[object]:
    body = turn.asked.body
    return list(_ORACLE.answer(render_request(body), body, items_of(body["input"])).output)
