"""A refusal: an upstream `error` frame in any of its shapes, and what plain HTTP would have made of it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

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
_HEADER_NAME = re.compile(r"[a-z0-9-]+")
_UNTOLD = "The upstream answered with an error."
# "Previous response with id 'resp_1' not found." and its like: the response itself is missing, and nothing of it.
_NOT_FOUND = re.compile(
    r"(?:^|[:.!] )(?:the )?previous[ _]response(?:[ _]id)?(?: with)?(?: id)?[ :=]*[\"'`]?[\w.-]*[\"'`]? "
    r"(?:is |was |could |can)?not (?:be )?found",
    re.IGNORECASE,
)
# The field itself, and not one of that name within the caller's tools.
_STREAM_ID = re.compile(r"(?<![\w.])stream_id\b(?!\.)")
_CONNECTION_LIMIT = re.compile(r"^(?:the |responses )?websocket connection limit reached", re.IGNORECASE)
# What has nothing to do with a lane.
_TOLD = frozenset(
    {
        *(code for code, status in _STATUS_OF_CODE.items() if status != 500),
        *("context_length_exceeded", "invalid_prompt", "model_not_found", "content_policy_violation"),
        *("previous_response_not_found", "websocket_connection_limit_reached"),
    }
)
# What says no more than that the request is wrong.
_UNTOLD_CODES = frozenset({None, "bad_request", "invalid_request", "invalid_request_error", "unknown_parameter"})
# What decoding raises: MsgspecError and UnicodeDecodeError are ValueErrors.
_ODD = (ValueError, RecursionError)


class _Error(msgspec.Struct):
    """An error object; every part of it may be missing."""

    message: object = None
    detail: object = None
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
    error: bytes = field(repr=False)
    """The whole error object, as JSON."""
    code: str | None = field(repr=False)
    message: str = field(repr=False)
    param: str | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def not_found(self) -> bool:
        """Whether it says that the response to continue was looked for and is not there; some hosts send no code.

        That it is about the id alone is not enough: a host that minds how an id is spelled may take any other.
        """
        return self.code == "previous_response_not_found" or _NOT_FOUND.search(self.message) is not None

    def minds(self, response_id: str) -> bool:
        """Whether the error is about the response that a delta named: the caller, who named none, caused none."""
        return self.not_found or self.param == "previous_response_id" or response_id in self.message

    @property
    def connection_limit(self) -> bool:
        """Whether the connection is past its age limit."""
        if self.code is None:  # xAI leaves it out at times (protocol.md, "Known hosts")
            return _CONNECTION_LIMIT.search(self.message) is not None
        return self.code == "websocket_connection_limit_reached"

    @property
    def no_lanes(self) -> bool:
        """Whether the error is about the lane: the caller named none."""
        if self.lanes_used_up or self.code == "invalid_stream_id" or self.param == "stream_id":
            return True
        return self.param is None and _STREAM_ID.search(self.message) is not None

    @property
    def lanes_used_up(self) -> bool:
        """Whether the connection has no lane left, though the host knows lanes."""
        return self.code == "websocket_stream_limit_reached"

    def may_mean_lane(self, *, known: bool) -> bool:
        """Whether it may be about the lane for all that it says, of a host that is `known` to take some, or is not."""
        if self.status in {401, 403, 429} or self.param is not None:
            return False
        return self.code in _UNTOLD_CODES if known else self.code not in _TOLD

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
    frame = _readable(frame)
    try:
        outer = msgspec.json.decode(frame, type=_Frame)
    except _ODD:
        outer = _Frame()
    wrapped = bytes(outer.error)
    given = _read(wrapped if wrapped.startswith(b"{") else frame)
    if not wrapped.startswith(b"{"):
        # A flat frame's `type` is the event's, "error", which says nothing. Some say `error` for `message`.
        given.message = _said(wrapped) or given.message
    # The ChatGPT backend says `detail` for `message`.
    message = next((said for said in (given.message, given.detail) if isinstance(said, str)), _UNTOLD)
    status = outer.status if _is_failure(outer.status) else _status(given)
    return Refusal(
        status,
        wrapped if wrapped.startswith(b"{") else _object(frame, message, status),
        given.code if isinstance(given.code, str) else None,
        message,
        given.param if isinstance(given.param, str) else None,
        _headers(outer.headers),
    )


def _is_failure(status: object) -> TypeGuard[int]:
    return isinstance(status, int) and 400 <= status <= 599


def _readable(frame: bytes) -> bytes:
    """The frame, its halves of surrogate pairs replaced where it quotes a text that was cut within one."""
    try:
        msgspec.json.decode(frame)
    except _ODD:
        try:
            return json.dumps(json.loads(frame), ensure_ascii=False).encode("utf-8", "replace")
        except _ODD:
            return frame
    return frame


def _read(raw: bytes) -> _Error:
    try:
        return msgspec.json.decode(raw, type=_Error)
    except _ODD:
        return _Error()


def _said(raw: bytes) -> str:
    """The text of an `error` that is only a text."""
    try:
        return msgspec.json.decode(raw, type=str)
    except _ODD:
        return ""


def _object(frame: bytes, message: str, status: int) -> bytes:
    """The error object of a flat frame: its fields as they came, without those that belong to the socket."""
    try:
        fields = object_fields(frame)
    except NotJson:
        fields = {}
    frames_own = ("type", "status", "stream_id", "headers", "error", "sequence_number", "message")
    own = {name: msgspec.Raw(frame[at.start : at.end]) for name, at in fields.items() if name not in frames_own}
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return msgspec.json.encode({"message": message, **own, "type": kind})


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
        if isinstance(value, str | int | float)
        and not isinstance(value, bool)
        and (name.lower() in _PASSED_HEADERS or name.lower().startswith(_PASSED_PREFIXES))
        and _HEADER_NAME.fullmatch(name.lower())
        and str(value).isascii()
        and str(value).isprintable()
    }
