"""Record: what a run measured, kept in measured.json from which docs/clients.md is written."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.clients.verdict import Verdict

FILE = Path(__file__).parent / "measured.json"


class Mode(msgspec.Struct):
    """One way of using a client. `scripts`: same, healed (a fault did not reach it) or wrong, by script."""

    scripts: dict[str, str] = {}
    deltas: int = 0
    continuations: int = 0
    reasons: dict[str, int] = {}
    cut: dict[str, str] = {}
    """What it did about a line cut in mid-answer: directly, and with each `after_loss`."""

    def add(self, script: str, verdict: Verdict) -> None:
        """Take in how one script went."""
        self.scripts[script] = "wrong" if verdict.wrong else "healed" if verdict.healed else "same"
        self.deltas += verdict.deltas
        self.continuations += verdict.continuations
        self.reasons = dict(Counter(self.reasons) + verdict.reasons)
        if script in _CUTS:
            self.cut |= {"direct": verdict.direct, _CUTS[script]: verdict.proxied}

    @property
    def share(self) -> str:
        """The continuations that were sent as deltas, for a reader."""
        return f"{self.percent} of {self.continuations}" if self.continuations else "not run"

    @property
    def percent(self) -> str:
        """The same, rounded down: 100 % is all of them."""
        return f"{100 * self.deltas // self.continuations} %" if self.continuations else "none"


class Measured(msgspec.Struct):
    """One client: the versions that were installed, the day, and each mode."""

    day: str
    versions: dict[str, str]
    modes: dict[str, Mode] = {}


_CUTS: Mapping[str, str] = {"cut": "cut", "cut-failed": "failed"}


def read() -> dict[str, Measured]:
    """All that was measured so far, by client."""
    return msgspec.json.decode(FILE.read_bytes(), type=dict[str, Measured]) if FILE.exists() else {}


def write(found: Mapping[str, Measured]) -> None:
    """Put these clients in place of what was measured of them before."""
    both = {**read(), **found}
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(both.items()))), indent=1) + b"\n")
