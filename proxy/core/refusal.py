"""A refusal: an upstream `error` frame in any of its shapes, and what plain HTTP would have made of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from proxy.core.events import Event, Kind
from proxy.core.spans import NotJson, object_fields

# Used where a frame has no status of its own.
_STATUS_OF_CODE: Mapping[str, int] = {
    "invalid_api_key": 401,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "server_error": 500,
    "internal_error": 500,
    "overloaded": 503,
    "server_is_overloaded": 503,
}
_STATUS_OF_TYPE: Mapping[str, int] = {
    "authentication_error": 401,
    "permission_error": 403,
    "rate_limit_error": 429,
    "tokens": 429,
    "requests": 429,
    "server_error": 500,
    "api_error": 500,
}
# Headers that an error frame may carry on to the caller.
_PASSED_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry", "x-request-id")
_PASSED_PREFIXES = ("x-ratelimit-", "openai-")
_LANE_CODES = ("invalid_stream_id", "websocket_stream_limit_reached")


class _Error(msgspec.Struct):
    """An error object; every part of it may be missing."""

    message: object = None
    type: object = None
    code: object = None
    param: object = None


class _Frame(msgspec.Struct):
    status: object = None
    error: msgspec.Raw = msgspec.Raw(b"null")
    headers: object = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the upstream answered instead of a response."""

    status: int
    error: bytes
    """The whole error object, as JSON."""
    code: str | None
    message: str
    param: str | None
    headers: Mapping[str, str]

    @property
    def not_found(self) -> bool:
        """Whether the upstream does not know the response id that it was to continue; some hosts send no code."""
        if self.code is not None:
            return self.code == "previous_response_not_found"
        return self.param == "previous_response_id" or (
            "previous response" in self.message.lower() and "not found" in self.message.lower()
        )

    @property
    def connection_limit(self) -> bool:
        """Whether the connection is past its age limit."""
        return self.code == "websocket_connection_limit_reached"

    @property
    def no_lanes(self) -> bool:
        """Whether the error is about the lane: the caller named none."""
        return self.code in _LANE_CODES or self.param == "stream_id" or "stream_id" in self.message

    @property
    def body(self) -> bytes:
        """The JSON that plain HTTP would have answered with."""
        return b'{"error":' + self.error + b"}"

    def in_stream(self, sequence_number: int) -> Event:
        """The flat shape that an error has in the middle of an SSE stream."""
        fields = {"type": "error", "code": self.code, "message": self.message, "param": self.param}
        frame = msgspec.json.encode({**fields, "sequence_number": sequence_number})
        return Event("error", Kind.ERROR, frame)


def refusal(frame: bytes) -> Refusal:
    """Read an `error` frame. Whatever is missing of status, headers or the wrapping object is filled in."""
    try:
        outer = msgspec.json.decode(frame, type=_Frame)
    except (msgspec.MsgspecError, RecursionError):
        outer = _Frame()
    wrapped = bytes(outer.error)
    if wrapped.startswith(b"{"):
        given, raw = _read(wrapped), wrapped
    elif wrapped.startswith(b'"'):
        given = _Error(message=msgspec.json.decode(wrapped), type="server_error")
        raw = msgspec.json.encode(given)
    else:
        given = _read(frame)
        # A flat frame's `type` is the event's; the error's own is not told.
        given.type = None
        raw = msgspec.json.encode({**_flat(frame), "type": "invalid_request_error" if _ours(given) else "server_error"})
    status = outer.status if isinstance(outer.status, int) and 400 <= outer.status <= 599 else _status(given)
    return Refusal(
        status,
        raw,
        given.code if isinstance(given.code, str) else None,
        given.message if isinstance(given.message, str) else "The upstream answered with an error.",
        given.param if isinstance(given.param, str) else None,
        _headers(outer.headers),
    )


def _read(raw: bytes) -> _Error:
    try:
        return msgspec.json.decode(raw, type=_Error)
    except (msgspec.MsgspecError, RecursionError):
        return _Error()


def _flat(frame: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a flat error frame, without those that belong to the socket."""
    try:
        fields = object_fields(frame)
    except NotJson:
        return {}
    frames_own = ("type", "status", "stream_id", "headers", "error", "sequence_number")
    return {
        name: msgspec.Raw(frame[field.start : field.end]) for name, field in fields.items() if name not in frames_own
    }


def _ours(given: _Error) -> bool:
    return _status(given) < 500


def _status(given: _Error) -> int:
    if isinstance(given.code, str) and given.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[given.code]
    if isinstance(given.type, str) and given.type in _STATUS_OF_TYPE:
        return _STATUS_OF_TYPE[given.type]
    return 400 if isinstance(given.code, str) or given.type == "invalid_request_error" else 500


def _headers(headers: object) -> Mapping[str, str]:
    if not isinstance(headers, dict):
        return {}
    return {
        name.lower(): str(value)
        for name, value in headers.items()
        if isinstance(name, str)
        and isinstance(value, str | int | float)
        and (name.lower() in _PASSED_HEADERS or name.lower().startswith(_PASSED_PREFIXES))
        and str(value).isprintable()
    }
