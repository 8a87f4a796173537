"""Turns: what a running Openline remembers of each. Another version may know less of them, or more."""

import msgspec

from proxy.cli.client import Client
from proxy.core.reasons import MEANINGS, Passed, Route, Whole
from proxy.turns.outcome import End

MOST = 500
"""So many can be asked for."""
_MEANINGS = {reason.value: meaning for reason, meaning in MEANINGS.items()}
# What was no turn at all.
_OTHERS = (None, Passed.OTHER_PATH.value, Passed.PREFLIGHT.value)
_BAD_ENDS = (End.CUT, End.ERROR)


class Why(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the reason was in one case."""

    kind: str = ""
    text: str = ""
    item: int | None = None
    item_type: str | None = None
    paths: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    compared_with: str | None = None


class Would(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a turn that was only observed would have gone."""

    route: str
    reason: str | None = None
    sent_bytes: int = 0


class Turn(msgspec.Struct, frozen=True):
    """One of them, as its outcome says it."""

    id: str
    route: str
    reason: str | None = None
    method: str = ""
    path: str = ""
    status: int = 0
    end: str = ""
    request_bytes: int = 0
    sent_bytes: int = 0
    first_event_seconds: float | None = None
    total_seconds: float = 0.0
    replays: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    context_suspect: bool = False
    faults: tuple[str, ...] = ()
    why: Why | None = None
    would: Would | None = None
    run: str | None = None
    ended_at: float = 0.0

    @property
    def is_delta(self) -> bool:
        """Whether it sent new items only."""
        return self.route == Route.DELTA

    @property
    def is_create(self) -> bool:
        """Whether it was one, and not whatever else passed through or was refused."""
        return self.is_delta or self.reason not in _OTHERS

    @property
    def went_wrong(self) -> bool:
        """Whether it came to a bad end, whatever way it went; what is no turn's matter is left out."""
        return self.end in _BAD_ENDS and self.reason not in _OTHERS[1:]

    @property
    def is_opening(self) -> bool:
        """Whether it began a conversation: nobody has to do anything about that."""
        return (self.would.reason if self.would else self.reason) == Whole.FIRST

    @property
    def meaning(self) -> str:
        """What its reason means; empty where it has none, or one that this version does not know."""
        return _MEANINGS.get(self.reason or "", "")


class _Turns(msgspec.Struct, frozen=True):
    turns: list[dict[str, object]]


def remembered(client: Client, count: int, run: str | None = None) -> list[tuple[Turn, dict[str, object]]]:
    """The latest, oldest first: each as it is understood here, and as it came."""
    query = {"count": str(count)} | ({"run": run} if run else {})
    return [(msgspec.convert(raw, Turn), raw) for raw in client.get("/turns", _Turns, **query).turns]
