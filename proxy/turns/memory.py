"""The memory: which conversations can be continued from where. It chooses for a turn, and notes what came of it."""

import time
from dataclasses import dataclass
from functools import partial
from secrets import token_bytes

import cachetools

from proxy.core.answer import Answer as Said
from proxy.core.answer import Ending
from proxy.core.beginnings import Beginnings
from proxy.core.continuation import Delta, context_suspect, decide
from proxy.core.fingerprint import Fingerprints
from proxy.core.forms import CLIENT_SIDE, kind
from proxy.core.heads import SAME_ID, Head, Heads, StoredHead, StoredItem
from proxy.core.meaning import Rules
from proxy.core.outline import shown
from proxy.core.reasons import Whole
from proxy.core.scope import owner, scope, settings_size
from proxy.core.trace import digests
from proxy.turns.explainer import Explainer
from proxy.turns.outcome import End
from proxy.turns.turn import Turn
from proxy.upstream.capabilities import Host
from proxy.upstream.lease import Lease

_MOST_FAILING = 256
# What the caller is to bring the result of.
_CALLS = frozenset({"function_call", "custom_tool_call"})


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
        self.beginnings = Beginnings(token_bytes(32), time.monotonic)
        """How the bodies of the latest turns begin."""
        # Stored heads of which a continuation failed.
        self._failing: cachetools.LRUCache[Head, None] = cachetools.LRUCache(_MOST_FAILING)
        self._explainer = Explainer(rules, {True: keyed.stored, False: keyed.passing}, heads)

    def choose(self, turn: Turn) -> None:
        """Decide how the turn goes: as a delta from the longest live head of its history, or in full."""
        self._fingerprint(turn)
        chosen = decide(
            turn.request, turn.chain, self._heads, self._host.trust(turn.model), forced_full=turn.forced_full
        )
        turn.go(chosen, None if isinstance(chosen, Delta) else self._explainer.why(turn, chosen.reason))

    def _fingerprint(self, turn: Turn) -> None:
        """What the items of its history mean; those that are known from a turn before are not looked at."""
        request, fingerprints, key = turn.request, self._keyed.of(turn), turn.key.digest
        known = request.known if request.known and request.known.stored == request.stored else None
        opening = fingerprints.digest(scope(request, self._rules, key))
        raws = request.raw_items(known.count if known else 0)
        named = partial(self._heads.item, owner(self._rules, key))
        turn.meant = [*(digests(known.meant) if known else ()), *fingerprints.items(raws, self._rules, named)]
        if known and known.chain.startswith(opening):
            chain = digests(known.chain)
            turn.chain = chain + fingerprints.extend(chain[-1], turn.meant[known.count :])
        else:
            turn.chain = fingerprints.chain(opening, turn.meant)

    def note(self, turn: Turn, lease: Lease, said: Said) -> None:
        """The terminal event is there: note the head, or why there is none, and what the outcome tells of it."""
        ending = said.ending(self._rules)
        if isinstance(turn.continuation, Delta) and turn.continuation.fork and ending.status != "failed":
            self._host.forked()
        outcome, usage = turn.outcome, ending.usage
        outcome.end = End.COMPLETED if ending.status == "completed" else End.SHORT
        outcome.input_tokens, outcome.cached_tokens = usage.input_tokens, usage.cached_tokens
        outcome.output_tokens, outcome.reasoning_tokens = usage.output_tokens, usage.reasoning_tokens
        reason = self._doubt(turn, ending)
        if reason:
            self._heads.mark(turn.chain[-1:], reason, _hosted(said) if reason is Whole.HOSTED_TOOLS else "")
            self._explainer.note(turn, turn.chain[-1], [])
        else:
            self._add(turn, lease, said, ending)

    def not_found(self, head: Head, lease: Lease) -> None:
        """The upstream no longer knows `head`; or lets no lane go on from another's, and it may be had in place yet."""
        held = not head.stored and lease.lane is not head.place and head.place.remembers(head)
        if not (held and self._host.refuses_forks()):
            self._bury(head, lease, Whole.NOT_FOUND)

    def rejected(self, turn: Turn, lease: Lease, status: int) -> None:
        """A continuation was answered with an error: its parent is forgotten, unless it was a fork's, or is stored.

        What is stored outlives errors. But the error may be the delta's own: one about the request is taken for that at
        once, the host's failure when it comes again, and that there were too many requests never.
        """
        head = turn.continued
        if head and head.stored:
            gone = status != 429 and (status < 500 or head in self._failing)
            if status >= 500:
                self._failing[head] = None
        else:
            gone = head is lease.dead
        if head and gone:
            self._bury(head, lease, Whole.REJECTED, f"the turn {turn.outcome.id}")

    def released(self, lease: Lease) -> None:
        """The turn is over: the head that its lane moved on from can be continued no more, not even by a fork."""
        if lease.dead and not lease.dead.stored:
            continued = lease.dead is lease.lane.continued
            self._heads.bury(lease.dead, Whole.PARENT_CONTINUED if continued else Whole.EVICTED)

    def lasting(self) -> tuple[list[StoredHead], list[StoredItem]]:
        """What outlives the process: of a host that lost a context nothing, as the next process would trust it."""
        return ([], []) if self._host.suspect else self._heads.stored()

    def _bury(self, head: Head, lease: Lease, reason: Whole, detail: str = "") -> None:
        """Once: when the lease ends there is no other reason to be given."""
        self._heads.bury(head, reason, detail)
        lease.dead = None if head is lease.dead else lease.dead

    def _doubt(self, turn: Turn, ending: Ending) -> Whole | None:
        """Why nothing can be continued from here, if nothing can."""
        # A context that was compacted is small, and not lost.
        compacted = Whole.COMPACTION in (ending.reason, turn.request.ends_in_compaction and Whole.COMPACTION)
        if (
            not compacted
            and isinstance(turn.continuation, Delta)
            and context_suspect(
                turn.continuation.head,
                ending.usage,
                settings_size(turn.request),
                turn.request.droppable(turn.continuation.skip),
            )
        ):
            turn.outcome.context_suspect = True
            self._host.suspected()
            return Whole.CONTEXT_SUSPECT
        if self._host.keeps_nothing(turn.model):  # nor is its lane kept from others
            return self._host.trust(turn.model).distrust
        if turn.request.truncates:
            return Whole.TRUNCATION
        return Whole.COMPACTION if turn.request.ends_in_compaction else ending.reason

    def _add(self, turn: Turn, lease: Lease, said: Said, ending: Ending) -> None:
        fingerprints = self._keyed.of(turn)
        meant = [[fingerprints.meant(item, outlined=True) for item in form] for form in ending.spoken]
        points = tuple(
            dict.fromkeys((fingerprints.extend(turn.chain[-1], form) or turn.chain[-1:])[-1] for form in meant)
        )
        self._explainer.note(turn, points[0], meant)
        if not self._heads.admits(turn.key.digest, ending.response_id):
            self._heads.mark(points, Whole.UNCLEAR_OUTPUT, SAME_ID)
            return
        stored = ending.stored and self._host.trust(turn.model).verified
        head = Head(
            ending.response_id,
            points,
            turn.key.digest,
            lease.lane,
            stored,
            tokens=ending.usage.input_tokens,
            settings_size=settings_size(turn.request),
            waits=not _CALLS.isdisjoint(map(kind, said.items)),
        )
        if not lease.commit(head) and not stored:
            self._heads.mark(points, lease.lane.lanes.reason or Whole.CONNECTION_LOST, "as it gave the answer")
            return
        self._heads.add(head)
        turn.lasts = True
        if stored:
            self._heads.remember_items(owner(self._rules, turn.key.digest), zip(said.ids, meant[0], strict=True))

    def keep(self, turn: Turn) -> None:
        """Note how the turn's body begins, for those that go on from it; its caller need not wait for that.

        Not where references are in it: what they mean may change.
        """
        if not turn.lasts:
            return
        request, fingerprints = turn.request, self._keyed.of(turn)
        new = request.raw_items(request.known.count if request.known else 0)
        if not any(fingerprints.refers(raw, self._rules) for raw in new):
            went_on = isinstance(turn.continuation, Delta) and not turn.continuation.fork
            self.beginnings.keep(request, turn.meant, turn.chain, instead=went_on)


def _hosted(said: Said) -> str:
    """The types of what the upstream ran itself."""
    return ", ".join(sorted({shown(kind(item)) for item in said.items} - CLIENT_SIDE))
