"""A result: the figures of one benchmark, for a program and for a reader."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from proxy.cli.table import table


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Every benchmark has its own on top of these."""

    conditions: str
    errors: dict[str, int]

    @property
    def sound(self) -> bool:
        """Whether every turn was answered as it is to be."""
        return not self.errors


class Prompted(Figures, frozen=True, kw_only=True):
    """One run whose turns were given to a model that tells what it was asked."""

    wrong_prompts: int
    """Turns of which the model was given another prompt than their own full request spells out."""

    @property
    def sound(self) -> bool:
        """The same, and none with another prompt."""
        return not self.errors and not self.wrong_prompts


@dataclass(frozen=True, slots=True)
class Result:
    """`cells` are the table, its heading first; `figures` all that was measured."""

    name: str
    what: str
    """What was run, in a sentence."""
    figures: Sequence[Figures]
    cells: Sequence[Sequence[str]]

    @property
    def sound(self) -> bool:
        """Whether every turn was answered, and none with another prompt."""
        return all(one.sound for one in self.figures)

    def lines(self) -> Iterator[str]:
        """For a reader."""
        yield f"{self.name}: {self.what}"
        yield ""
        yield from table(self.cells, indent="  ")


def counted(counts: Mapping[str, int]) -> str:
    """Counts by name in one cell."""
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
