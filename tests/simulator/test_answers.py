"""HTTP answers in the API's shape."""

import json

from proxy.simulator.answers import api_headers, error_answer, json_answer
from proxy.simulator.errors import ApiError


def test_every_answer_has_a_request_id_of_its_own() -> None:
    """Request ids are unique."""
    assert api_headers()["x-request-id"] != api_headers()["x-request-id"]


def test_errors_have_status_object_and_headers() -> None:
    """An error is the API's object, with the headers that belong to it."""
    answer = error_answer(ApiError(429, "slow down", "rate_limit_exceeded", headers={"retry-after": "7"}))
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert isinstance(answer.body, bytes)
    assert json.loads(answer.body)["error"]["message"] == "slow down"


def test_json_is_json() -> None:
    """The content type is JSON's."""
    assert json_answer({"a": 1}).content_type == "application/json"
