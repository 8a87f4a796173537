"""The shapes in which an error travels."""

from proxy.simulator.errors import ApiError, age_limit, invalid, not_found
from tests.simulator.conftest import Start

ERROR = ApiError(429, "slow down", "rate_limit_exceeded", "model", "tokens", {"retry-after": "7"})
INNER = {"message": "slow down", "type": "tokens", "param": "model", "code": "rate_limit_exceeded"}


def test_the_wrapped_frame_has_everything() -> None:
    """The documented shape: status, lane, error object, headers."""
    assert ERROR.frame("main", "wrapped", ()) == {
        "type": "error",
        "status": 429,
        "stream_id": "main",
        "error": INNER,
        "headers": {"retry-after": "7"},
    }


def test_the_flat_frame_has_no_error_object() -> None:
    """Some servers write code, message and param flat."""
    assert ERROR.frame(None, "flat", {"headers"}) == {
        "type": "error",
        "status": 429,
        "message": "slow down",
        "param": "model",
        "code": "rate_limit_exceeded",
    }


def test_the_text_frame_has_only_text() -> None:
    """Some servers say no more than a sentence."""
    assert ERROR.frame(None, "text", ()) == {"type": "error", "error": "slow down"}


def test_the_detail_frame_has_a_text_under_that_name() -> None:
    """The ChatGPT backend's own errors, as they are relayed: an object with nothing but a text in it."""
    assert ERROR.frame(None, "detail", ()) == {
        "type": "error",
        "status": 429,
        "error": {"detail": "slow down"},
        "headers": {"retry-after": "7"},
    }


def test_members_can_be_missing() -> None:
    """Any of status, headers, stream_id, type and code may be left out."""
    everything = {"status", "headers", "stream_id", "type", "code"}
    assert ERROR.frame("main", "wrapped", everything) == {
        "error": {"message": "slow down", "type": "tokens", "param": "model"}
    }
    assert "code" not in ERROR.frame("main", "flat", everything)


def test_a_null_code_is_not_a_missing_one() -> None:
    """A code of null is written, as the live service does."""
    assert invalid("no").error.frame(None, "flat", ())["code"] is None


def test_bodies_and_events() -> None:
    """Over HTTP the object is wrapped, in a stream it is flat and numbered."""
    assert ERROR.body() == {"error": INNER}
    assert ERROR.event(3) == {
        "type": "error",
        "code": "rate_limit_exceeded",
        "message": "slow down",
        "param": "model",
        "sequence_number": 3,
    }


def test_the_wording_is_the_apis() -> None:
    """Codes, messages and params that clients look for."""
    error = not_found("resp_abc", 400)
    assert (error.message, error.param) == ("Previous response with id 'resp_abc' not found.", "previous_response_id")
    assert age_limit(3600).code == "websocket_connection_limit_reached"
    assert "60 minutes" in age_limit(3600).message


async def test_the_shape_is_an_option(start: Start) -> None:
    """The host writes its frames in the shape it was given."""
    running = await start(error_shape="flat", error_omits=frozenset({"status"}))
    frame = await (await running.socket()).turn(input="x", previous_response_id="resp_x")
    assert frame == {
        "type": "error",
        "message": "Previous response with id 'resp_x' not found.",
        "code": "previous_response_not_found",
        "param": "previous_response_id",
    }
