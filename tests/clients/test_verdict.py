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


def test_how_often_a_browser_asks_first_is_its_own_affair() -> None:
    """Of conversations that begin at once more or fewer preflights may come; of one alone, no more and no fewer."""
    question = Call("OPTIONS", "/v1/responses", "", 204)
    sides = [[_turn(Reply("a"), *asked, _call(_FIRST))] for asked in ((question,), (question, question))]
    assert judge(_pair("eight", *sides)).wrong == ("0 of 0 continuations were deltas (no reason given)",)
    (wrong,) = judge(_pair("plain", *sides)).wrong
    assert wrong == "turn 1: 2 requests directly, 3 through the proxy"


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


def test_with_relaxed_matching_answers_may_differ_and_errors_may_not() -> None:
    """The model is given more than the client sent: its share is measured, and whether it is answered at all."""
    other = [_turn(Reply("b"), _call(_FIRST, "full")), _turn(Reply("c"), _call())]
    pair = replace(_pair("loop", _going(""), other, given=False), mode="sync+relaxed")
    assert (judge(pair).wrong, judge(pair).deltas, judge(pair).continuations) == ((), 1, 1)
    failed = replace(_pair("loop", _going(""), [_turn(_ERROR)]), mode="sync+relaxed")
    assert judge(failed).wrong[0].startswith("turn 1, through the proxy: raised APIConnectionError")


def test_a_client_may_be_whole_under_a_setting() -> None:
    """What falls short by itself is held to the promised share in the modes that are said to reach it."""
    client = replace(CLIENTS[0], whole=False, whole_in=frozenset({"sync+openai"}))
    pair = replace(_pair("loop", _going("", ""), _going("delta", "full")), client=client)
    assert judge(pair).wrong == ()
    assert judge(replace(pair, mode="sync+openai")).wrong == ("1 of 2 continuations were deltas (1 full: x)",)


def test_a_mode_with_a_setting_goes_through_the_scripts_that_count() -> None:
    """`MODE+NAME` runs Openline with the settings of that name, for the share of deltas alone."""
    client = replace(CLIENTS[0], settings={"OPENLINE_LANES": "x"})
    assert client.openline("sync") == {"OPENLINE_LANES": "x"}
    assert client.openline("sync+relaxed") == {"OPENLINE_LANES": "x", "OPENLINE_MATCH": "relaxed"}
    assert all(script.counts for script in client.scripts("sync+relaxed"))
    assert {script.name for script in client.scripts("sync")} > {
        script.name for script in client.scripts("sync+openai")
    }


def test_after_a_reported_fault_only_other_errors_are_wrong() -> None:
    """What a client keeps of half an answer is its own affair; that it goes on as well as over plain HTTP is not."""
    later = [_call(_LATER)]
    direct = [*_going(), _turn(_ERROR, _call(status=None, cut=True)), _turn(Reply("b"), *later)]
    failed = _turn(Reply(error="RuntimeError"), _call(cut=True))
    assert judge(_pair("cut-failed", direct, [*_going(), failed, _turn(Reply("c"), _call(_FIRST))])).wrong == ()
    (wrong,) = judge(_pair("cut-failed", direct, [*_going(), failed, _turn(_ERROR, *later)])).wrong
    assert wrong == "turn 3: ['answered'] directly, ['APIConnectionError None'] through the proxy"
