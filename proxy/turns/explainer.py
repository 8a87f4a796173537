"""The explainer: why turns go in full, told by the traces of those before. Nothing that it knows decides anything."""

from collections.abc import Mapping, Sequence
from functools import partial

from proxy.core.explanation import SETTLED, Explanation, buried, happened, unknown
from proxy.core.fingerprint import Fingerprints, pack
from proxy.core.heads import Heads
from proxy.core.meaning import Rules
from proxy.core.reasons import Whole
from proxy.core.scope import named, owner
from proxy.core.trace import Asked, Trace, nearest
from proxy.turns.traces import Traces
from proxy.turns.turn import Turn

# The bytes of a request that are digested under the other key, too, to find a turn that differs in `store`.
_READ_TWICE = 1_048_576


class Explainer:
    """Explains one host's turns."""

    def __init__(self, rules: Rules, prints: Mapping[bool, Fingerprints], heads: Heads) -> None:
        """Stored turns and the others have fingerprints under two keys: `prints` are those of either."""
        self._rules = rules
        self._prints = prints
        self._heads = heads
        self._traces = Traces()

    def why(self, turn: Turn, reason: Whole) -> Explanation | None:
        """Why it goes in full; None where the reason says it all."""
        if reason in (Whole.FIRST, Whole.FORCED):
            return None
        if reason in SETTLED:
            return happened(reason)
        asked, near = self._nearest(turn, turn.request.raw_items())
        if reason is Whole.NO_MATCH:
            return unknown(asked, near)
        return buried(self._heads.grave(turn.chain), asked, near)

    def note(self, turn: Turn, point: bytes, said: Sequence[Sequence[bytes]]) -> None:
        """Keep what the turn was asked and, in each form, what was said; its history ends at this point."""
        # Of a delta it is known without a look at all of them.
        parent = self._traces.get(turn.continued.fingerprints[0]) if turn.continued else None
        trace = Trace(
            point,
            turn.key.digest,
            turn.outcome.id,
            turn.request.stored,
            scope=turn.chain[0],
            settings=parent.settings if parent else self._settings(turn),
            items=b"".join(turn.meant),
            forms=tuple(b"".join(form) for form in said),
        )
        self._traces.add(trace, parent)

    def _nearest(self, turn: Turn, raws: Sequence[bytes]) -> tuple[Asked, Trace | None]:
        """The turn that it has most in common with. Only where there is none, one that was stored and it is not."""
        stored, settings = turn.request.stored, self._settings(turn)
        asked = Asked(raws, turn.meant, settings, self._prints[stored], self._rules)
        near = nearest(asked, self._traces.of(turn.key.digest, stored=stored))
        others = [] if near else self._others(turn, raws)
        if not others:
            return asked, near
        meant = self._meant(turn, raws)
        asked = Asked(raws, meant, settings, self._prints[not stored], self._rules)
        return asked, nearest(asked, others)

    def _others(self, turn: Turn, raws: Sequence[bytes]) -> list[Trace]:
        """The turns that begin alike and have their digests under the other key; none where the request is large."""
        others = self._traces.of(turn.key.digest, stored=not turn.request.stored)
        if not others or len(turn.request.body) > _READ_TWICE:
            return []
        first = b"".join(self._meant(turn, raws[:1]))
        return [trace for trace in others if trace.items.startswith(first)]

    def _meant(self, turn: Turn, raws: Sequence[bytes]) -> list[bytes]:
        """What items mean under the other key."""
        fingerprints = self._prints[not turn.request.stored]
        return fingerprints.items(raws, self._rules, partial(self._heads.item, owner(self._rules, turn.key.digest)))

    def _settings(self, turn: Turn) -> dict[str, bytes]:
        passing = self._prints[False]
        return {name: passing.digest(pack(value)) for name, value in named(turn.request).items()}
