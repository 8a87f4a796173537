"""The response object."""

from dataclasses import replace

from openai.types.responses import Response as SdkResponse

from proxy.simulator.response import Response, Usage

REQUEST = {
    "model": "m",
    "instructions": "be brief",
    "temperature": 0.5,
    "tools": [{"type": "web_search"}],
    "metadata": {"a": "b"},
    "text": {"verbosity": "low"},
    "reasoning": {"effort": "low"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
    "conversation": "conv_1",
    "prompt": {"id": "pmpt_1"},
    "tool_choice": None,
    "of_tomorrow": 1,
    "image": {"context_compression": "auto"},
}


def test_settings_are_echoed() -> None:
    """What the request says is echoed, defaults are filled in, unknown fields are not."""
    response = Response("resp_1", REQUEST, True, 7).described()  # noqa: FBT003 - `store`, third by nature
    for name in ("instructions", "temperature", "tools", "metadata", "parallel_tool_calls", "prompt_cache_key"):
        assert response[name] == REQUEST[name]
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert response["conversation"] == {"id": "conv_1"}
    assert response["prompt"] == {"id": "pmpt_1"}
    assert (response["top_p"], response["tool_choice"], response["truncation"]) == (1.0, "auto", "disabled")
    assert (response["usage"], response["completed_at"], response["status"]) == (None, None, "in_progress")
    assert "of_tomorrow" not in response
    assert "image" not in response


def test_the_policy_for_images_is_the_hosts() -> None:
    """What is told is what counts, and not what was asked for."""
    response = Response("resp_1", REQUEST, True, 7, images="enabled").described()  # noqa: FBT003 - same
    assert response["image"] == {"context_compression": "enabled"}


def test_the_object_satisfies_the_sdk() -> None:
    """The SDK's own model validates it strictly, as begun and as ended."""
    begun = Response("resp_1", {"model": "m", "conversation": {"id": "c"}}, False, 7)  # noqa: FBT003 - same
    pictured = replace(begun, images="disabled")
    for response in (begun, pictured, begun.ended("completed", [], Usage(8, 0, 4, 2))):
        SdkResponse.model_validate(response.described())
    usage = begun.ended("completed", [], Usage(8, 0, 4, 2)).described()["usage"]
    assert isinstance(usage, dict)
    assert usage["total_tokens"] == 12
