"""A beginning: what is known of a body up to the end of its last item. The next turn has it too, word for word."""

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from proxy.core.fingerprint import SIZE
from proxy.core.spans import Field, Span

# Besides what grows with its items: the object, its fields, its place on the shelf.
_OWN = 1_024


class Digest(Protocol):
    """A digest under way, of what was read so far."""

    def update(self, data: memoryview, /) -> None:
        """Read more."""

    def digest(self) -> bytes:
        """That of all so far."""

    def copy(self) -> "Digest":
        """Another that goes on from here."""


class Mark(NamedTuple):
    """How far the bytes of a body have been digested."""

    at: int
    digest: Digest
    shelf: bytes
    """The name of the shelf for what ends here."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Of a body that was taken as a plain create. No text is kept of it, and forty bytes an item."""

    size: int
    fields: tuple[tuple[str, Field], ...] = field(repr=False)
    """Those up to `input`, which comes last; its end is not known."""
    places: bytes = field(repr=False)
    """Where each item begins and ends."""
    acts: bool
    """Whether a tool that stands among the items may change something."""
    thoughts: int | None
    """The bytes of all reasoning among the items; None where some is not there in its full size."""
    stored: bool
    """Under which of the two keys the digests are."""
    meant: bytes = field(repr=False)
    """The digests of what the items mean."""
    chain: bytes = field(repr=False)
    """The fingerprints of the history, the scope's first."""

    @property
    def items(self) -> tuple[Span, ...]:
        """The items' places."""
        places = array("Q", self.places)
        return tuple(map(Span, places[::2], places[1::2]))

    @property
    def count(self) -> int:
        """How many items it has."""
        return len(self.meant) // SIZE

    @property
    def weight(self) -> int:
        """About what it takes of memory."""
        return _OWN + len(self.places) + len(self.meant) + len(self.chain)


def placed(items: tuple[Span, ...]) -> bytes:
    """The items' places, in one piece."""
    return array("Q", [edge for item in items for edge in item]).tobytes()
