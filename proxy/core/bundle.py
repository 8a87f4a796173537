"""The bundle: what a lane asks of all the lanes of its connection."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from proxy.core.heads import Head
from proxy.core.reasons import Whole

if TYPE_CHECKING:
    from proxy.core.lane import Lane


class Bundle(Protocol):
    """What a lane asks of all the lanes of its connection."""

    connection: int
    proven: bool
    clock: Callable[[], float]
    reason: Whole | None
    written: int
    """How many lanes were ever used for a create."""

    @property
    def taken(self) -> int:
        """How many names the host has taken."""

    @property
    def room(self) -> bool:
        """Whether one more turn may start."""

    def keeps(self, head: Head) -> bool:
        """Whether `head` can be continued on another lane without a conversation being given up."""

    def can_fork(self, head: Head) -> bool:
        """Whether `head` may be continued on another lane."""

    def forking(self, head: Head) -> bool:
        """Whether a fork of `head` has not begun yet."""

    def begun(self, lane: "Lane") -> None:
        """The fork that the lane has goes on without its parent."""

    def keep(self, head: Head) -> None:
        """A conversation has gone on from `head` elsewhere."""

    def lost_name(self) -> None:
        """A lane was given up: if too few are left, take no new turns."""

    def retire(self, reason: Whole) -> None:
        """Take no new turns."""
