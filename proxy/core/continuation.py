"""A continuation: whether a turn goes as a delta or in full. The one decision this project exists for."""

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.core.answer import Usage
from proxy.core.forms import answered
from proxy.core.heads import Found, Head, Heads
from proxy.core.reasons import Whole
from proxy.core.request import CreateRequest

_SUSPECT_PART = 2  # suspect is less than one part in so many of what is implied
_SMALLEST_SUSPECT = 256  # tokens; below it a changed instruction could explain any difference


@dataclass(frozen=True, slots=True)
class Delta:
    """Continue `head`, sending the items after the first `skip`."""

    head: Head
    skip: int
    fork: bool = False


@dataclass(frozen=True, slots=True)
class Full:
    """Send everything."""

    reason: Whole


Continuation = Delta | Full


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known of a host's care with response ids."""

    verified: bool
    suspect: bool = False

    @property
    def distrust(self) -> Whole | None:
        """Why the host gets no deltas, if it gets none."""
        if self.suspect:
            return Whole.CONTEXT_SUSPECT
        return None if self.verified else Whole.HOST_UNVERIFIED


def decide(
    request: CreateRequest, chain: Sequence[bytes], heads: Heads, trust: Trust, *, forced_full: bool
) -> Continuation:
    """Delta where a live head covers a prefix of the history and nothing speaks against it, else Full."""
    if forced_full:
        return Full(Whole.FORCED)
    if request.truncates:
        return Full(Whole.TRUNCATION)
    found = heads.find(chain) if request.listed else Whole.FIRST
    if not isinstance(found, Found):
        return Full(_why(found, answered(request.raw_items()), chain, heads))
    distrust = trust.distrust
    if distrust:
        return Full(distrust)
    # What a person says he may take back, or break off: the point before it stays on its lane if there is another.
    undoable = not found.head.stored and request.asks(found.covers) and found.head.place.keeps(found.head)
    return Delta(found.head, found.covers, fork=found.fork or undoable)


def _why(found: Whole, answers: int, chain: Sequence[bytes], heads: Heads) -> Whole:
    """Why a history of which a model said something up to its item `answers`, and nothing if 0, continues nothing."""
    if not answers:
        return Whole.FIRST
    if found is Whole.PARENT_CONTINUED and heads.find(chain, least=answers) is Whole.NO_MATCH:
        # The turn that continued from there is this conversation's own: what it was answered came back as another.
        return Whole.NO_MATCH
    return found


def context_suspect(head: Head, usage: Usage, settings_size: int, dropped: int | None = 0) -> bool:
    """Whether a delta's token count is far below what its head implies: the upstream may have lost the context.

    Settings may have shrunk since (fewer tools), and `dropped` bytes of reasoning may be left out by now: a token has
    at least one byte, so that much is forgiven. Where nobody can say how much that is (None), nothing is suspect.
    """
    if dropped is None:
        return False
    shrunk = max(0, head.settings_size - settings_size)
    implied = head.tokens - shrunk - dropped
    return implied >= _SMALLEST_SUSPECT and 0 < usage.input_tokens * _SUSPECT_PART < implied
