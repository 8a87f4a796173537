"""Verdict: what is not as promised is said, and what is, is not."""

from dataclasses import replace

from proxy.simulator import render_request
from tests.clients.calls import Call
from tests.clients.catalogue import CLIENTS
from tests.clients.driver import Reply
from tests.clients.run import Pair, Side, Turn
from tests.clients.scripts import BY_NAME
from tests.clients.stage import Entry
from tests.clients.verdict import judge

_FIRST = {"input": [{"role": "user", "content": "hi"}]}
_LATER = {"input": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
_ERROR = Reply(error="APIConnectionError")


def _call(body: object = _LATER, route: str = "delta", **more: object) -> Call:
    return replace(Call("POST", "/v1/responses", body, 200, route), **more)  # type: ignore[arg-type] # by their names


def _turn(reply: Reply, *calls: Call) -> Turn:
    return Turn((reply,), calls)


def _pair(script: str, direct: list[Turn], proxied: list[Turn], *, given: bool = True) -> Pair:
    prompts = tuple(Entry(prompt=render_request(body)) for body in (_FIRST, _LATER)) if given else ()
    sides = (Side(tuple(turns), prompts, "") for turns in (direct, proxied))
    return Pair(CLIENTS[0], "sync", BY_NAME[script], *sides)


def _going(*routes: str) -> list[Turn]:
    first = _turn(Reply("a"), _call(_FIRST, "full"))
    return [
        first,
        *(_turn(Reply("a"), _call(route=route, reason="" if route == "delta" else "x")) for route in routes),
    ]


def test_equal_sides_are_as_promised() -> None:
    """Same answers, same requests, all continuations deltas: nothing is wrong."""
    verdict = judge(_pair("loop", _going("", ""), _going("delta", "delta")))
    assert (verdict.wrong, verdict.deltas, verdict.continuations) == ((), 2, 2)


def test_a_missed_delta_is_wrong_and_its_reason_is_told() -> None:
    """One full send among two continuations is below the promised share."""
    verdict = judge(_pair("loop", _going("", ""), _going("delta", "full")))
    assert verdict.wrong == ("1 of 2 continuations were deltas (1 full: x)",)


def test_a_loop_without_continuations_proves_nothing() -> None:
    """Where no request sends anything back, the share of deltas is not as promised."""
    assert judge(_pair("loop", _going(), _going())).wrong == ("0 of 0 continuations were deltas (no reason given)",)


def test_another_answer_is_wrong() -> None:
    """The final text through the proxy is that of the API."""
    other = [_turn(Reply("b"), _call(_FIRST, "full"))]
    (wrong,) = judge(_pair("plain", _going(), other)).wrong
    assert wrong == "turn 1: directly it answered 'a'; through the proxy it answered 'b'"


def test_another_request_is_wrong() -> None:
    """A request more, or one that differs, is one that the client would not have made."""
    twice = [_turn(Reply("a"), _call(_FIRST), _call(_FIRST))]
    assert judge(_pair("plain", _going(), twice)).wrong == ("turn 1: 1 requests directly, 2 through the proxy",)
    (wrong,) = judge(_pair("plain", _going(), [_turn(Reply("a"), _call(_LATER))])).wrong
    assert wrong.startswith("turn 1: requests differ")


def test_another_context_is_wrong() -> None:
    """The model is given what each of the client's own requests spells out."""
    (wrong,) = judge(_pair("plain", _going(), _going(), given=False)).wrong
    assert wrong == "create 1: the model was given another context than the request spells out"


def test_a_fault_that_the_proxy_kept_away_is_healed() -> None:
    """The client raised directly and was answered through the proxy: its histories then differ, which is not wrong."""
    direct = [
        *_going(),
        _turn(_ERROR, _call(status=None, cut=True)),
        _turn(Reply("b"), _call()),
    ]
    proxied = [*_going(), _turn(Reply("a"), _call()), _turn(Reply("c"), _call(_FIRST))]
    verdict = judge(_pair("cut", direct, proxied))
    assert (verdict.wrong, verdict.healed) == ((), True)
    assert (verdict.direct, verdict.proxied) == (
        "raised APIConnectionError",
        "answered",
    )


def test_half_an_answer_is_not_healed() -> None:
    """A client that takes a part for the whole where it raised directly has not been helped."""
    direct = [*_going(), _turn(_ERROR, _call(status=None, cut=True))]
    proxied = [*_going(), _turn(Reply("half"), _call(cut=True))]
    verdict = judge(_pair("cut", direct, proxied))
    assert not verdict.healed
    assert verdict.proxied == "took the part for the whole"
    assert len(verdict.wrong) == 1


def test_a_fault_that_only_the_proxy_shows_is_wrong() -> None:
    """Another error, or an error where the API was answered after a retry, is worse than plain HTTP."""
    direct = [*_going(), _turn(Reply("a"), _call(status=429), _call())]
    proxied = [*_going(), _turn(_ERROR, _call(status=429))]
    assert len(judge(_pair("limited", direct, proxied)).wrong) == 2
