"""The owner of connections: what a connection tells whoever gave it out."""

from typing import TYPE_CHECKING, Protocol

from proxy.core.heads import Head
from proxy.core.reasons import Whole

if TYPE_CHECKING:
    from proxy.upstream.connection import Connection


class Owner(Protocol):
    """Who gave the connection out, and wants to know when that can be done again."""

    def ended(self, connection: "Connection", dead: list[Head], reason: Whole) -> None:
        """It is closed; these heads died with it."""

    def works(self, connection: "Connection") -> None:
        """The first event came."""

    def room(self) -> None:
        """A lane came free by itself."""
