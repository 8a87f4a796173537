"""Faults of the way to the upstream, and the answers that callers get where no upstream can give one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from proxy.core.recovery import Fault

# Seconds, for a caller that came at a bad moment: turns end all the time.
_RETRY_AFTER = "1"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class TurnFault(Exception):
    """A fault on the way to the upstream; core/recovery.py says what is done about it.

    `detail` says what happened, without anything private; `answer` is the upstream's own, where it gave one; `waited`
    are the seconds that went by on a line that was dead all along.
    """

    def __init__(self, fault: Fault, detail: str, answer: Answer | None = None, *, waited: float = 0.0) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail
        self.answer = answer
        self.waited = waited


class StartFault(Exception):
    """What stops the start: one line that names the setting or the variable, and what to do."""


class Problem(Enum):
    """What Openline itself answers: status, code and message."""

    BAD_REQUEST = (400, "openline_bad_request", "Openline could not read this request.")
    ORIGIN = (403, "openline_origin", "Openline refuses browser pages of this origin: add it to allowed_origins.")
    HOST = (403, "openline_host", "Openline refuses this Host header: add it to allowed_hosts.")
    TOKEN = (
        401,
        "openline_token",
        "Openline wants its token: in the header x-openline-token, or in the base URL http://HOST:PORT/t/TOKEN/v1.",
    )
    MOVED = (
        409,
        "openline_moved",
        "Openline goes to its upstream another way than when `openline exec` began this run: start the command anew.",
    )
    SLOW = (408, "openline_slow_request", "The headers of this request did not come in time.")
    ADMIN_PATH = (404, "openline_not_found", "The admin listener has no such page: callers use another address.")
    ADMIN_METHOD = (405, "openline_method", "This page of the admin listener answers another method.")
    ADMIN_SECRET = (
        403,
        "openline_control",
        "This page is for the owner: it wants the secret from the instance's file, as the `openline` commands show it.",
    )
    RUN = (404, "openline_run", "Openline does not know this run any more: it remembers the latest ones alone.")
    SETTINGS = (400, "openline_settings", "The settings cannot be used, and the old ones stay.")
    SUCCESSION = (500, "openline_succession", "No other process could take over, and this one goes on.")
    UPGRADE = (426, "openline_no_websocket", "Openline does not serve WebSocket callers yet: use POST.")
    LOOP = (508, "openline_loop", "This request came from this Openline itself: check upstream.url.")
    DRAINING = (503, "openline_draining", "Openline is shutting down and takes no new turns.")
    OVERLOADED = (503, "openline_overloaded", "Openline is at one of its limits: try again shortly.")
    FAULT = (500, "openline_fault", "Openline failed at this request: its log says how. Please report it.")
    LINE_LOST = (502, "openline_line_lost", "The connection to the upstream was lost during this turn.")
    SILENCE = (504, "openline_silence", "The upstream said nothing for too long.")
    UNREACHABLE = (502, "openline_unreachable", "Openline could not reach the upstream: check upstream.url.")

    def answer(self, detail: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """The answer in the API's own shape, so that SDKs show its message."""
        status, code, message = self.value
        text = f"{message} ({detail})" if detail else message
        kind = "server_error" if status >= 500 else "invalid_request_error"
        if self in {Problem.OVERLOADED, Problem.DRAINING}:
            headers = {"retry-after": _RETRY_AFTER, **(headers or {})}
        if self is Problem.MOVED:
            headers = {"x-should-retry": "false", **(headers or {})}  # SDKs would send it all again
        error = {"message": text, "type": kind, "param": None, "code": code}
        return Answer(
            status, msgspec.json.encode({"error": error}), {"content-type": "application/json", **(headers or {})}
        )


class Refused(Exception):
    """Openline answers the request itself: with `problem`, and a detail for the caller."""

    def __init__(self, problem: Problem, detail: str = "") -> None:
        super().__init__(problem.name)
        self.problem = problem
        self.detail = detail
