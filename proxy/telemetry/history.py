"""The history: the outcomes of recent turns, in a bounded ring. Counts and names, nothing that was said."""

from collections import deque
from collections.abc import Iterator

from proxy.telemetry.summary import runs
from proxy.turns.outcome import Outcome

_MOST = 500


class History:
    """What ended lately, whatever way it went."""

    def __init__(self, most: int = _MOST) -> None:
        self._outcomes: deque[Outcome] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._outcomes)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(list(self._outcomes))

    def add(self, outcome: Outcome) -> None:
        """One more has ended; of too many the oldest goes."""
        self._outcomes.append(outcome)

    def latest(self, count: int, run: str | None = None) -> list[Outcome]:
        """The last `count`, of one run where one is named, oldest first."""
        chosen = [one for one in self._outcomes if run is None or run in runs(one.run or "")]
        return chosen[-count:] if count > 0 else []

    def find(self, name: str) -> Outcome | None:
        """The one whose id is, or ends with, `name`; None where none is or several do."""
        exact = [one for one in self._outcomes if one.id == name]
        found = exact or [one for one in self._outcomes if name and one.id.endswith(name)]
        return found[-1] if len(found) == 1 else None
