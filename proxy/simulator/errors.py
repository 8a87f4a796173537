"""ApiError: one refusal, and the shapes in which it travels over HTTP, in a stream and over a socket."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

ErrorShape = Literal["wrapped", "flat", "text", "detail"]
LaneRefusal = Literal["unknown_parameter", "invalid_stream_id", "text", "vague", "ignored"]


@dataclass(frozen=True)
class ApiError:
    """What the API says when it refuses: `status` and `headers` as over HTTP, the rest is its error object."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    kind: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> dict[str, object]:
        """The error object, as the plain API and error frames wrap it."""
        return {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}

    def body(self) -> dict[str, object]:
        """The body of an HTTP answer."""
        return {"error": self.described()}

    def event(self, sequence_number: int) -> dict[str, object]:
        """The flat event that ends an SSE stream."""
        return {
            "type": "error",
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "sequence_number": sequence_number,
        }

    def frame(self, lane: str | None, shape: ErrorShape, omits: Collection[str]) -> dict[str, object]:
        """The error frame of a socket: in `shape`, without the members that `omits` names."""
        inner = {key: value for key, value in self.described().items() if not (key == "code" and "code" in omits)}
        frame: dict[str, object] = {"type": "error", "status": self.status, "stream_id": lane}
        if shape == "wrapped":
            frame["error"] = inner
        elif shape == "flat":
            frame |= {key: value for key, value in inner.items() if key != "type"}
        elif shape == "detail":
            frame["error"] = {"detail": self.message}
        else:
            frame = {"type": "error", "stream_id": lane, "error": self.message}
        if self.headers and shape != "text":
            frame["headers"] = dict(self.headers)
        if lane is None:
            del frame["stream_id"]
        return {key: value for key, value in frame.items() if key not in omits}


class RefusedError(Exception):
    """Raised where a request turns out to be refused; `error` is what the caller is told."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


def not_found(identifier: str, status: int) -> ApiError:
    """The id names no response that can be continued here."""
    return ApiError(
        status,
        f"Previous response with id '{identifier}' not found.",
        "previous_response_not_found",
        "previous_response_id",
    )


def not_persisted(identifier: str) -> ApiError:
    """The item stands for reasoning that was never stored, and does not hold it either."""
    text = (
        f"Item with id '{identifier}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input."
    )
    return ApiError(404, text, None, "input")


def invalid(message: str, param: str | None = None, code: str | None = None) -> RefusedError:
    """The request is wrong: 400."""
    return RefusedError(ApiError(400, message, code, param))


def no_lanes(how: LaneRefusal) -> RefusedError:
    """The host knows no `stream_id`: what it says of one."""
    if how == "unknown_parameter":
        return invalid("Unknown parameter: 'stream_id'.", "stream_id", "unknown_parameter")
    if how == "invalid_stream_id":
        return invalid("Streams are not available.", None, "invalid_stream_id")
    return invalid("Unsupported parameter: stream_id" if how == "text" else "Bad Request")


def age_limit(seconds: float) -> ApiError:
    """The connection is as old as it may become."""
    return ApiError(
        400,
        f"Responses websocket connection limit reached ({seconds / 60:g} minutes). "
        "Create a new websocket connection to continue.",
        "websocket_connection_limit_reached",
    )
