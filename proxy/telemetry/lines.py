"""Lines: what a running Openline writes of itself and of each turn, for a person or for a program."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from proxy.telemetry.logs import turn_line
from proxy.turns.outcome import Outcome


class Lines(Protocol):
    """One way of writing them: each call gives one line."""

    def turn(self, outcome: Outcome) -> str:
        """A turn has ended."""

    def notice(self, text: str) -> str:
        """What else a person should know."""

    def event(self, name: str, text: str, **details: object) -> str:
        """Something happened that has a name and details; `text` says it to a person."""


class Human:
    """For a person: columns that can be read down."""

    def turn(self, outcome: Outcome) -> str:
        """Route, status and reason first."""
        return turn_line(outcome)

    def notice(self, text: str) -> str:
        """By its name, as lines of turns stand around it."""
        return f"openline: {text}"

    def event(self, name: str, text: str, **details: object) -> str:  # noqa: ARG002 - a person reads the text
        """The text says it."""
        return text


class Json:
    """For a program: one object a line, with `at` (UTC, ISO 8601) and `event` first."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def turn(self, outcome: Outcome) -> str:
        """`event` is `turn`; the fields are those of the outcome, without those that hold nothing."""
        fields = {name: value for name, value in msgspec.to_builtins(outcome).items() if value not in (None, [], "")}
        fields.pop("ended_at", None)
        return self._line(outcome.ended_at or self._clock(), "turn", fields)

    def notice(self, text: str) -> str:
        """`event` is `notice`."""
        return self._line(self._clock(), "notice", {"text": text})

    def event(self, name: str, text: str, **details: object) -> str:  # noqa: ARG002 - a program reads the details
        """`event` is its name."""
        return self._line(self._clock(), name, details)

    def _line(self, at: float, event: str, fields: dict[str, object]) -> str:
        moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return msgspec.json.encode({"at": moment, "event": event, **fields}).decode()


def lines(form: str, *, terminal: bool) -> Lines:
    """Those that the setting `log_format` asks for."""
    human = terminal if form == "auto" else form == "human"
    return Human() if human else Json()
