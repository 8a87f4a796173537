"""The memory: which conversations can be continued from where. It chooses for a turn, and notes what came of it."""

from dataclasses import dataclass

from proxy.core.answer import Answer as Said
from proxy.core.answer import Ending
from proxy.core.continuation import Delta, context_suspect, decide
from proxy.core.fingerprint import Fingerprints
from proxy.core.heads import Head, Heads, StoredHead, StoredItem
from proxy.core.meaning import Rules
from proxy.core.reasons import Whole
from proxy.core.scope import scope, settings_size
from proxy.turns.outcome import End
from proxy.turns.turn import Turn
from proxy.upstream.capabilities import Host
from proxy.upstream.lease import Lease


@dataclass(frozen=True, slots=True)
class Keyed:
    """Fingerprints under the process's key for what dies with it, under the installation's for what is stored."""

    passing: Fingerprints
    stored: Fingerprints

    def of(self, turn: Turn) -> Fingerprints:
        """Those of a turn's history."""
        return self.stored if turn.request.stored else self.passing


class Memory:
    """Fingerprints and response ids of one host's conversations; no text outlives its turn."""

    def __init__(self, rules: Rules, keyed: Keyed, heads: Heads, host: Host) -> None:
        self._rules = rules
        self._keyed = keyed
        self._heads = heads
        self._host = host

    def choose(self, turn: Turn) -> None:
        """Decide how the turn goes: as a delta from the longest live head of its history, or in full."""
        key, fingerprints = turn.key.digest, self._keyed.of(turn)
        opening = fingerprints.digest(scope(turn.request, self._rules, key))
        turn.chain = fingerprints.chain(
            opening, turn.request.raw_items(), self._rules, lambda name: self._heads.item(key, name)
        )
        turn.go(decide(turn.request, turn.chain, self._heads, self._host.trust, forced_full=turn.forced_full))

    def note(self, turn: Turn, lease: Lease, said: Said) -> None:
        """The terminal event is there: note the head, or why there is none, and what the outcome tells of it."""
        ending = said.ending(self._rules)
        outcome, usage = turn.outcome, ending.usage
        outcome.end = End.COMPLETED if ending.status == "completed" else End.SHORT
        outcome.input_tokens, outcome.cached_tokens = usage.input_tokens, usage.cached_tokens
        outcome.output_tokens, outcome.reasoning_tokens = usage.output_tokens, usage.reasoning_tokens
        reason = self._doubt(turn, ending)
        if reason:
            self._heads.mark(turn.chain[-1:], reason)
        else:
            self._add(turn, lease, said, ending)

    def not_found(self, head: Head, lease: Lease) -> None:
        """The upstream no longer knows `head`."""
        self._bury(head, lease, Whole.NOT_FOUND)

    def rejected(self, turn: Turn, lease: Lease) -> None:
        """A continuation was answered with an error: its parent is forgotten, unless it was a fork's."""
        head = turn.continued
        if head and (head.stored or head is lease.dead):
            self._bury(head, lease, Whole.REJECTED)

    def released(self, lease: Lease) -> None:
        """The turn is over: the head that its lane moved on from can be continued no more, not even by a fork."""
        if lease.dead and not lease.dead.stored:
            continued = lease.dead is lease.continuing
            self._heads.bury(lease.dead, Whole.PARENT_CONTINUED if continued else Whole.EVICTED)

    def lasting(self) -> tuple[list[StoredHead], list[StoredItem]]:
        """What outlives the process: of a host that lost a context nothing, as the next process would trust it."""
        return ([], []) if self._host.trust.suspect else self._heads.stored()

    def _bury(self, head: Head, lease: Lease, reason: Whole) -> None:
        """Once: when the lease ends there is no other reason to be given."""
        self._heads.bury(head, reason)
        lease.dead = None if head is lease.dead else lease.dead

    def _doubt(self, turn: Turn, ending: Ending) -> Whole | None:
        """Why nothing can be continued from here, if nothing can."""
        if isinstance(turn.continuation, Delta) and context_suspect(
            turn.continuation.head,
            ending.usage,
            settings_size(turn.request),
            turn.request.droppable(turn.continuation.skip),
        ):
            turn.outcome.context_suspect = True
            self._host.suspected()
            return Whole.CONTEXT_SUSPECT
        if turn.request.truncates:
            return Whole.TRUNCATION
        return Whole.COMPACTION if turn.request.ends_in_compaction else ending.reason

    def _add(self, turn: Turn, lease: Lease, said: Said, ending: Ending) -> None:
        fingerprints = self._keyed.of(turn)
        meant = [[fingerprints.meant(item) for item in form] for form in ending.spoken]
        points = {(fingerprints.extend(turn.chain[-1], form) or turn.chain[-1:])[-1] for form in meant}
        stored = ending.stored and self._host.trust.verified
        head = Head(
            ending.response_id,
            tuple(points),
            turn.key.digest,
            lease.lane,
            stored,
            tokens=ending.usage.input_tokens,
            settings_size=settings_size(turn.request),
        )
        if not lease.commit(head) and not stored:
            self._heads.mark(points, Whole.CONNECTION_LOST)
            return
        self._heads.add(head)
        if stored:
            self._heads.remember_items(turn.key.digest, zip(said.ids, meant[0], strict=True))
