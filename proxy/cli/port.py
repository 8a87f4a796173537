"""A port: a number that says which, as it is given on the command line."""

import click


class Port(click.IntRange):
    """One that can be. `lowest` is 0 where any free one may be meant."""

    name = "port"  # what a wrong value is said not to be

    def __init__(self, lowest: int = 1) -> None:
        super().__init__(lowest, 65_535)
