"""The bundle: all that a lane may ask of the others is there to be asked."""

from proxy.core.bundle import Bundle
from proxy.core.lanes import Lanes


def test_the_lanes_of_a_connection_are_one() -> None:
    """A lane asks the lanes that it is one of, and they have an answer to everything."""
    bundle: Bundle = Lanes(7, named=True, clock=float)
    asked = {name for name in (*Bundle.__annotations__, *vars(Bundle)) if not name.startswith("_")}
    assert {name for name in asked if not hasattr(bundle, name)} == set()
    lane = Lanes(7, named=True, clock=float).spare()
    assert lane is not None
    assert lane.connection == bundle.connection
