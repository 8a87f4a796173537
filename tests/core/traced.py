"""Traced turns: traces and requests as the proxy's memory makes them, of items that a test can write down."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.core.explanation import Explanation, buried, unknown
from proxy.core.fingerprint import Fingerprints, pack
from proxy.core.heads import Grave
from proxy.core.meaning import Rules, meaning
from proxy.core.reasons import Whole
from proxy.core.request import parse
from proxy.core.scope import named
from proxy.core.trace import Asked, Trace, nearest
from tests.core.histories import FAITHFUL, Spelled, raw
from tests.core.spelling import Object

UNKNOWN = Grave(Whole.NO_MATCH)
NONE: Object = {}


@dataclass
class Tracer:
    """Traces turns, and explains new ones by them."""

    rules: Rules = FAITHFUL
    prints: Fingerprints = field(default_factory=lambda: Fingerprints(bytes(32)))
    traces: list[Trace] = field(default_factory=list)

    def turn(self, sent: Sequence[Spelled], *said: Sequence[Spelled], settings: Object = NONE) -> Trace:
        """A turn that was answered, in each of these forms; the latest of all so far."""
        asked = self.asked(sent, settings)
        forms = tuple(b"".join(self._said(item) for item in form) for form in said)
        name = f"ol_{len(self.traces)}"
        trace = Trace(name.encode(), b"key", name, False, b"", asked.settings, asked.items, forms)  # noqa: FBT003
        self.traces.append(trace)
        return trace

    def asked(self, sent: Sequence[Spelled], settings: Object = NONE) -> Asked:
        """A new request."""
        raws = [raw(item) for item in sent]
        body = json.dumps({"model": "m", **settings, "input": []}).encode()
        meant = self.prints.items(raws, self.rules, lambda _: None)
        counted = {name: self.prints.digest(pack(value)) for name, value in named(parse(body, most_items=1)).items()}
        return Asked(raws, meant, counted, self.prints, self.rules)

    def why(self, sent: Sequence[Spelled], settings: Object = NONE, *, grave: Grave = UNKNOWN) -> Explanation:
        """Why a new request goes in full, for the grave's reason."""
        asked = self.asked(sent, settings)
        near = nearest(asked, self.traces)
        return unknown(asked, near) if grave.reason is Whole.NO_MATCH else buried(grave, asked, near)

    def _said(self, item: Spelled) -> bytes:
        meant = meaning(raw(item), self.rules)
        assert isinstance(meant, dict)
        return self.prints.meant(meant, outlined=True)
