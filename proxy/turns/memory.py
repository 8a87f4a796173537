"""The memory: which conversations can be continued from where. It chooses for a turn, and notes what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.core.answer import Answer as Said
from proxy.core.answer import Ending
from proxy.core.continuation import Delta, context_suspect, decide
from proxy.core.explanation import Explanation, explain
from proxy.core.fingerprint import Fingerprints, pack
from proxy.core.forms import CLIENT_SIDE, kind
from proxy.core.heads import Head, Heads, StoredHead, StoredItem
from proxy.core.meaning import Rules
from proxy.core.outline import Outline, shown
from proxy.core.reasons import Whole
from proxy.core.scope import named, scope, settings_size
from proxy.core.trace import Asked, Trace, nearest
from proxy.turns.outcome import End
from proxy.turns.traces import Traces
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
        return self.under(stored=turn.request.stored)

    def under(self, *, stored: bool) -> Fingerprints:
        """Those of stored turns' histories, or of the others'."""
        return self.stored if stored else self.passing


class Memory:
    """Fingerprints and response ids of one host's conversations; no text outlives its turn."""

    def __init__(self, rules: Rules, keyed: Keyed, heads: Heads, host: Host) -> None:
        self._rules = rules
        self._keyed = keyed
        self._heads = heads
        self._host = host
        self._traces = Traces()

    def choose(self, turn: Turn) -> None:
        """Decide how the turn goes: as a delta from the longest live head of its history, or in full."""
        key, fingerprints, raws = turn.key.digest, self._keyed.of(turn), turn.request.raw_items()
        opening = fingerprints.digest(scope(turn.request, self._rules, key))
        turn.meant = fingerprints.items(raws, self._rules, self._named(key))
        turn.chain = [opening, *fingerprints.extend(opening, turn.meant)]
        chosen = decide(turn.request, turn.chain, self._heads, self._host.trust, forced_full=turn.forced_full)
        if isinstance(chosen, Delta):
            turn.before = self._traces.get(chosen.head.fingerprints[0])
            turn.go(chosen)
        else:
            turn.go(chosen, self._why(turn, raws, chosen.reason))

    def note(self, turn: Turn, lease: Lease, said: Said) -> None:
        """The terminal event is there: note the head, or why there is none, and what the outcome tells of it."""
        ending = said.ending(self._rules)
        outcome, usage = turn.outcome, ending.usage
        outcome.end = End.COMPLETED if ending.status == "completed" else End.SHORT
        outcome.input_tokens, outcome.cached_tokens = usage.input_tokens, usage.cached_tokens
        outcome.output_tokens, outcome.reasoning_tokens = usage.output_tokens, usage.reasoning_tokens
        reason = self._doubt(turn, ending)
        if reason:
            self._heads.mark(turn.chain[-1:], reason, _hosted(said) if reason is Whole.HOSTED_TOOLS else "")
            self._trace(turn, turn.chain[-1], [])
        else:
            self._add(turn, lease, said, ending)

    def not_found(self, head: Head, lease: Lease) -> None:
        """The upstream no longer knows `head`."""
        self._bury(head, lease, Whole.NOT_FOUND)

    def rejected(self, turn: Turn, lease: Lease) -> None:
        """A continuation was answered with an error: its parent is forgotten, unless it was a fork's."""
        head = turn.continued
        if head and (head.stored or head is lease.dead):
            self._bury(head, lease, Whole.REJECTED, f"the turn {turn.outcome.id}")

    def released(self, lease: Lease) -> None:
        """The turn is over: the head that its lane moved on from can be continued no more, not even by a fork."""
        if lease.dead and not lease.dead.stored:
            continued = lease.dead is lease.continuing
            self._heads.bury(lease.dead, Whole.PARENT_CONTINUED if continued else Whole.EVICTED)

    def lasting(self) -> tuple[list[StoredHead], list[StoredItem]]:
        """What outlives the process: of a host that lost a context nothing, as the next process would trust it."""
        return ([], []) if self._host.trust.suspect else self._heads.stored()

    def _bury(self, head: Head, lease: Lease, reason: Whole, detail: str = "") -> None:
        """Once: when the lease ends there is no other reason to be given."""
        self._heads.bury(head, reason, detail)
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
        meant = [[fingerprints.meant(item, outlined=True) for item in form] for form in ending.spoken]
        points = tuple(
            dict.fromkeys((fingerprints.extend(turn.chain[-1], form) or turn.chain[-1:])[-1] for form in meant)
        )
        self._trace(turn, points[0], meant)
        stored = ending.stored and self._host.trust.verified
        head = Head(
            ending.response_id,
            points,
            turn.key.digest,
            lease.lane,
            stored,
            tokens=ending.usage.input_tokens,
            settings_size=settings_size(turn.request),
        )
        if not lease.commit(head) and not stored:
            self._heads.mark(points, Whole.CONNECTION_LOST, "as it gave the answer")
            return
        self._heads.add(head)
        if stored:
            self._heads.remember_items(turn.key.digest, zip(said.ids, meant[0], strict=True))

    def _trace(self, turn: Turn, point: bytes, said: Sequence[Sequence[bytes]]) -> None:
        """Keep what the turn was asked and what was said, for whoever asks why the next one is no delta."""
        before = turn.before
        same = before and before.scope == turn.chain[0]
        trace = Trace(
            point,
            turn.key.digest,
            turn.outcome.id,
            turn.request.stored,
            scope=turn.chain[0],
            settings=before.settings if before and same else self._settings(turn),
            items=b"".join(turn.meant),
            forms=tuple(b"".join(form) for form in said),
        )
        self._traces.add(trace, before)

    def _why(self, turn: Turn, raws: Sequence[bytes], reason: Whole) -> Explanation | None:
        """Why it goes in full, where the reason does not say it all; and which turn it follows."""
        if reason is Whole.FIRST:
            return None
        asked, turn.before = self._nearest(turn, raws)
        if reason is Whole.FORCED:
            return None
        return explain(reason, self._heads.grave(turn.chain), asked, turn.before)

    def _nearest(self, turn: Turn, raws: Sequence[bytes]) -> tuple[Asked, Trace | None]:
        """The turn that it has most in common with. Only where there is none, one that was stored and it is not."""
        key, asked = turn.key.digest, self._asked(turn, raws, stored=turn.request.stored, meant=turn.meant)
        near = nearest(asked, self._traces.of(key, stored=turn.request.stored))
        others = [] if near else self._traces.of(key, stored=not turn.request.stored)
        if others:
            fingerprints = self._keyed.under(stored=not turn.request.stored)
            meant = fingerprints.items(raws, self._rules, self._named(key))
            asked = self._asked(turn, raws, stored=not turn.request.stored, meant=meant)
        return asked, near or nearest(asked, others)

    def _asked(self, turn: Turn, raws: Sequence[bytes], *, stored: bool, meant: Sequence[bytes]) -> Asked:
        fingerprints = self._keyed.under(stored=stored)

        def outline(at: int) -> Outline:
            return fingerprints.outline(meant[at]) or fingerprints.outlined(raws[at], self._rules)

        return Asked(raws, b"".join(meant), self._settings(turn), outline, fingerprints.outline)

    def _settings(self, turn: Turn) -> dict[str, bytes]:
        passing = self._keyed.passing
        return {name: passing.digest(pack(value)) for name, value in named(turn.request).items()}

    def _named(self, key: bytes) -> Callable[[str], bytes | None]:
        """What the stored item with an id means, for this pool key."""
        return lambda name: self._heads.item(key, name)


def _hosted(said: Said) -> str:
    """The types of what the upstream ran itself."""
    return ", ".join(sorted({shown(kind(item)) for item in said.items} - CLIENT_SIDE))
