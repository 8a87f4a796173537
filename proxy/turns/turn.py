"""A turn: one create, however it came, and how far it has come."""

import time
from dataclasses import dataclass, field
from hashlib import blake2b

from proxy.core.continuation import Continuation, Delta, Full
from proxy.core.explanation import Explanation
from proxy.core.heads import Head
from proxy.core.reasons import Route, Whole
from proxy.core.recovery import Phase
from proxy.core.request import CreateRequest
from proxy.turns.outcome import Outcome
from proxy.turns.relay import Relay
from proxy.upstream.address import PoolKey
from proxy.upstream.http import HttpRequest
from proxy.upstream.lease import Lease
from proxy.upstream.patience import Patience


@dataclass(slots=True)
class Turn:
    """What a turn was asked, what it continues, and what it holds."""

    request: CreateRequest
    key: PoolKey
    origin: HttpRequest
    """The request as it came, for plain HTTP."""
    forced_full: bool
    outcome: Outcome
    began: float = field(default_factory=time.monotonic)
    chain: list[bytes] = field(default_factory=list)
    """The fingerprints of the history, one per item after the scope's."""
    meant: list[bytes] = field(default_factory=list)
    """The digests of what its items mean."""
    continuation: Continuation = field(default_factory=lambda: Full(Whole.FIRST))
    lease: Lease | None = None
    relay: Relay | None = None
    phase: Phase = Phase.UNSENT
    patience: Patience = field(init=False, repr=False)
    """What may still be lost on sockets that come to nothing; it begins with the turn."""
    redialled: bool = False
    reran: bool = False
    """Whether it was sent again after it may have run."""
    lasts: bool = False
    """Whether it can be continued."""
    moved: bool = False
    """Whether it went from one connection to another already."""

    doubted: int | None = None
    """It was refused under a lane's name, with so many names before it, and no reason was told: it does without one."""

    @property
    def continued(self) -> Head | None:
        """The head that this turn continues, if it continues one."""
        return self.continuation.head if isinstance(self.continuation, Delta) else None

    @property
    def model(self) -> bytes:
        """A digest of the model's name: callers may write anything there."""
        return blake2b(self.request.value("model"), digest_size=16).digest()

    @property
    def begins(self) -> bool:
        """Whether a conversation starts with it."""
        return isinstance(self.continuation, Full) and self.continuation.reason is Whole.FIRST

    def go(self, continuation: Continuation, why: Explanation | None = None) -> None:
        """Take this course; the outcome names it, and says why."""
        self.continuation = continuation
        self.phase = Phase.UNSENT
        self.outcome.why = why
        if isinstance(continuation, Delta):
            self.outcome.route, self.outcome.reason = Route.DELTA, None
        else:
            self.outcome.route, self.outcome.reason = Route.FULL, continuation.reason
