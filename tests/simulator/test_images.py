"""The policy for images: what is refused, and what a response says of it."""

from typing import get_args, get_type_hints

import pytest
from openai.types.responses import response, response_create_params

from proxy.simulator.errors import RefusedError
from proxy.simulator.images import _ASKED, Policy, check_images, policy
from tests.simulator.wire import Running

IMAGE = {"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}
SHOT = {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "u"}}
TEXT = {"role": "user", "content": "an input_image"}


@pytest.mark.parametrize("asked", ["on", "", "Enabled", None, True, {}, ["auto"]], ids=str)
def test_a_policy_that_is_not_documented_is_refused(asked: object) -> None:
    """With its place, as a wrong value."""
    with pytest.raises(RefusedError) as refused:
        check_images({"image": {"context_compression": asked}})
    assert (refused.value.error.param, refused.value.error.code) == ("image.context_compression", "invalid_value")


def test_the_policies_are_the_documented_ones() -> None:
    """What can be asked for, and what can be told, is what the SDK's types say."""
    assert get_args(get_type_hints(response_create_params.Image)["context_compression"]) == _ASKED
    assert get_args(Policy) == get_args(response.Image.model_fields["context_compression"].annotation)


@pytest.mark.parametrize("asked", ["auto", "enabled", "disabled"])
def test_documented_policies_pass(asked: str) -> None:
    """As do requests that say nothing."""
    for options in ({"context_compression": asked}, {}, None):
        check_images({"image": options})


@pytest.mark.parametrize(
    ("options", "context", "over_http", "over_socket"),
    [
        (None, [TEXT], None, None),
        (None, [TEXT, IMAGE], "disabled", "enabled"),
        (None, [SHOT], "disabled", "enabled"),
        ({}, [TEXT], "disabled", "enabled"),
        ({"context_compression": "auto"}, [IMAGE], "disabled", "enabled"),
        ({"context_compression": "enabled"}, [IMAGE], "enabled", "enabled"),
        ({"context_compression": "disabled"}, [], "disabled", "disabled"),
    ],
)
def test_only_auto_goes_by_the_transport(
    options: object, context: list[dict[str, object]], over_http: Policy | None, over_socket: Policy | None
) -> None:
    """A policy that is asked for is the same over both; without a wish and an image there is none."""
    told = [policy({"image": options}, context, transport) for transport in ("http", "ws")]
    assert told == [over_http, over_socket]


async def test_the_response_says_which_policy_counts(running: Running) -> None:
    """Over both transports, in continuations by what the context holds, and in compactions."""
    socket = await running.socket()
    _, over_http = await running.create(input=[IMAGE])
    over_socket = (await socket.turn(input=[IMAGE]))["response"]
    assert [each["image"]["context_compression"] for each in (over_http, over_socket)] == ["disabled", "enabled"]
    later = (await socket.turn(input=[TEXT], previous_response_id=over_socket["id"]))["response"]
    assert later["image"] == {"context_compression": "enabled"}
    plain = (await socket.turn(input=[TEXT]))["response"]
    assert "image" not in plain
    body = {"model": "m", "input": [TEXT], "image": {"context_compression": "enabled"}}
    _, compacted = await running.json("POST", "/v1/responses/compact", body)
    assert compacted["image"] == {"context_compression": "enabled"}
    assert "image" not in (await running.json("POST", "/v1/responses/compact", {"model": "m", "input": [TEXT]}))[1]


async def test_a_wrong_policy_is_refused_over_both(running: Running) -> None:
    """With 400, and nothing is remembered."""
    wrong = {"context_compression": "none"}
    status, answer = await running.create(input="x", image=wrong)
    frame = await (await running.socket()).turn(input="x", image=wrong)
    assert (status, frame["status"]) == (400, 400)
    assert answer["error"]["param"] == frame["error"]["param"] == "image.context_compression"
