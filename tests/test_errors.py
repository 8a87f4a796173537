"""Errors: each fault of our own has one answer, in the API's own shape."""

import msgspec
import pytest

from proxy.core.recovery import Fault
from proxy.errors import Answer, Problem, Refused, TurnFault


def test_every_problem_is_answered_in_the_apis_shape() -> None:
    """SDKs show the message of the error object, and read type, code and param."""
    for problem in Problem:
        status, code, message = problem.value
        answer = problem.answer()
        assert answer.status == status
        again = {"retry-after": "1"} if status == 503 else {}
        if problem is Problem.MOVED:
            again = {"x-should-retry": "false"}  # it is final, and SDKs repeat a 409
        assert dict(answer.headers) == {"content-type": "application/json", **again}
        error = msgspec.json.decode(answer.body)["error"]
        assert error["code"] == code
        assert error["message"] == message
        assert error["param"] is None
        assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")


def test_each_problem_has_a_code_of_its_own() -> None:
    """The code alone tells that Openline answered, and which problem it was."""
    codes = [problem.value[1] for problem in Problem]
    assert len(set(codes)) == len(codes)
    assert all(code.startswith("openline_") for code in codes)


@pytest.mark.parametrize("problem", Problem, ids=lambda problem: problem.name)
def test_a_message_says_what_happened(problem: Problem) -> None:
    """Statuses are errors, messages are sentences."""
    status, _, message = problem.value
    assert 400 <= status <= 599
    assert message[0].isupper()
    assert message.endswith(".")
    assert len(message) > 30


def test_a_detail_and_headers_are_added() -> None:
    """What is known of this one case stands behind the message; headers are added to the content type."""
    answer = Problem.SILENCE.answer('3 s of "silence"', {"connection": "close"})
    assert msgspec.json.decode(answer.body)["error"]["message"].endswith('too long. (3 s of "silence")')
    assert dict(answer.headers) == {"content-type": "application/json", "connection": "close"}


def test_a_fault_keeps_what_recovery_needs() -> None:
    """The fault for the table, its detail for the outcome, and the upstream's own answer where it gave one."""
    answer = Answer(429, b"{}", {"retry-after": "7"})
    fault = TurnFault(Fault.UPGRADE_REFUSED, "the upstream answered with 429", answer)
    assert (fault.fault, fault.detail, fault.answer) == (Fault.UPGRADE_REFUSED, str(fault), answer)
    assert TurnFault(Fault.LINE_LOST, "x").answer is None


def test_a_refusal_keeps_what_the_answer_is_made_of() -> None:
    """Problem and detail, so that whoever answers the caller decides on the headers; it is named by its problem."""
    refused = Refused(Problem.UNREACHABLE, "connection refused")
    assert (refused.problem, refused.detail, str(refused)) == (Problem.UNREACHABLE, "connection refused", "UNREACHABLE")
    assert Refused(Problem.LOOP).detail == ""
