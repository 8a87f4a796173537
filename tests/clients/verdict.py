"""Verdict: what the two sides of a script show."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from proxy.simulator import render_request
from tests.clients.calls import plain, spelled
from tests.clients.client import RELAXED
from tests.clients.run import Pair, Turn

LEAST_SHARE = 0.99
FOOLED = "took the part for the whole"


@dataclass(frozen=True)
class Verdict:
    """`wrong`: what is not as promised, a sentence each; `healed`: the proxy spared the client a fault.

    `deltas` of `continuations` were sent as such, the rest for these `reasons`. `direct`, `proxied`: what the client
    did about the fault.
    """

    wrong: tuple[str, ...] = ()
    healed: bool = False
    deltas: int = 0
    continuations: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    direct: str = ""
    proxied: str = ""


def judge(pair: Pair) -> Verdict:
    """Compare both sides."""
    if pair.mode.endswith(f"+{RELAXED}"):  # the model is given more than the client sent: answers differ, and may
        counted = _counted(pair)
        return replace(counted, wrong=(*_unanswered(pair), *counted.wrong))
    wrong = [*_unanswered(pair), *_contexts(pair)]
    healed = apart = False
    for number, (direct, proxied) in enumerate(zip(pair.direct.turns, pair.proxied.turns, strict=True)):
        struck = number == pair.script.struck
        if struck and _answered(proxied) and (not _answered(direct) or len(proxied.calls) < len(direct.calls)):
            healed = True
            apart = not _answered(direct)
        elif struck and pair.script.reports:
            apart = True  # what a client keeps of half an answer depends on how it ended
        elif not apart:  # else the client's histories differ from here on, and so must the rest
            wrong += _differing(pair, number, direct, proxied, struck=struck)
        elif not _answered(proxied) and _errors(direct) != _errors(proxied):
            wrong.append(f"turn {number + 1}: {_errors(direct)} directly, {_errors(proxied)} through the proxy")
    verdict = _counted(pair)
    if pair.script.struck is not None:
        did = [done(side.turns[pair.script.struck]) for side in (pair.direct, pair.proxied)]
        verdict = replace(verdict, direct=did[0], proxied=did[1])
    return replace(verdict, wrong=(*wrong, *verdict.wrong), healed=healed)


def _counted(pair: Pair) -> Verdict:
    """How many continuations were deltas, where the script counts them."""
    if not pair.script.counts:
        return Verdict()
    going = [call for call in pair.proxied.calls if call.continues]
    reasons = Counter(f"{call.route}: {call.reason}" for call in going if call.route != "delta")
    deltas = sum(call.route == "delta" for call in going)
    wrong: tuple[str, ...] = ()
    whole = pair.client.whole or pair.mode in pair.client.whole_in
    if whole and (not going or deltas < LEAST_SHARE * len(going)):
        wrong = (f"{deltas} of {len(going)} continuations were deltas ({_listed(reasons)})",)
    return Verdict(wrong, deltas=deltas, continuations=len(going), reasons=reasons)


def done(turn: Turn) -> str:
    """What the client did about a fault that fell on this turn, in words."""
    creates = sum(call.create for call in turn.calls)
    again = f"asked {creates} times, " if creates > 1 else ""
    reply = turn.replies[0]
    if reply.error is not None:
        return f"{again}raised {reply.error}{f' {reply.status}' if reply.status else ''}"
    return f"{again}{FOOLED if _half(turn) else 'answered'}"


def _answered(turn: Turn) -> bool:
    """Whether every conversation got its whole answer."""
    return all(reply.error is None for reply in turn.replies) and not _half(turn)


def _half(turn: Turn) -> bool:
    """Whether the last answer that the client got did not come to its proper end."""
    return bool(turn.calls) and turn.calls[-1].cut


def _errors(turn: Turn) -> list[str]:
    return [f"{reply.error} {reply.status}" if reply.error else "answered" for reply in turn.replies]


def _unanswered(pair: Pair) -> Iterator[str]:
    """Errors of the client where nothing had gone wrong."""
    for name, side in (("directly", pair.direct), ("through the proxy", pair.proxied)):
        for number, turn in enumerate(side.turns):
            if pair.script.healthy or (pair.script.struck is None and turn.replies):
                yield from (f"turn {number + 1}, {name}: {reply}" for reply in turn.replies if reply.error is not None)


def _contexts(pair: Pair) -> Iterator[str]:
    """Creates for which the model was given something else than the client's own request spells out."""
    given = {entry.prompt for entry in pair.proxied.given}
    for number, call in enumerate(pair.proxied.calls):
        if not call.create or call.status != 200 or not isinstance(call.body, dict) or _refers(call.body):
            continue
        if render_request(call.body) not in given:
            yield f"create {number + 1}: the model was given another context than the request spells out"


def _refers(body: dict[str, object]) -> bool:
    items = body.get("input")
    kinds = {item.get("type") for item in items if isinstance(item, dict)} if isinstance(items, list) else set()
    return "item_reference" in kinds or "previous_response_id" in body


def _differing(pair: Pair, number: int, direct: Turn, proxied: Turn, *, struck: bool) -> Iterator[str]:
    """Where one turn went another way through the proxy."""
    own = pair.client.own
    for here, there in zip(direct.replies, proxied.replies, strict=True):
        first = (plain(here.text or "", own), here.error, here.status)
        second = (plain(there.text or "", own), there.error, there.status)
        if first != second:
            yield f"turn {number + 1}: directly it {here}; through the proxy it {there}"
    at_once = pair.script.conversations > 1
    asked, also = (
        [spelled(call, own) for call in turn.calls if not (at_once and call.preflight)] for turn in (direct, proxied)
    )
    if at_once or struck:
        asked, also = sorted(asked), sorted(also)
    if asked != also:
        yield f"turn {number + 1}: {_difference(asked, also)}"


def _difference(asked: Sequence[str], also: Sequence[str]) -> str:
    """The first request that differs."""
    if len(asked) != len(also):
        return f"{len(asked)} requests directly, {len(also)} through the proxy"
    first, second = next((a, b) for a, b in zip(asked, also, strict=True) if a != b)
    at = next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
    return f"requests differ: {first[max(0, at - 60) : at + 60]!r} directly, {second[max(0, at - 60) : at + 60]!r}"


def _listed(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) or "no reason given"
