"""A port on the command line: what is one, and what is said of the rest."""

import click
import pytest

from proxy.cli.port import Port


def read(port: Port, text: str) -> object:
    """What an option of this type makes of a word."""
    option = click.Option(["--port"], type=port)
    context = click.Command("c", params=[option]).make_context("c", ["--port", text])
    return context.params["port"]


def test_a_port_is_a_number_that_can_be_one() -> None:
    """From 1, or from 0 where any free one may be meant, up to the last."""
    assert read(Port(), "6736") == 6736
    assert read(Port(0), "0") == 0
    for port, text in ((Port(), "0"), (Port(0), "65536")):
        with pytest.raises(click.BadParameter, match=rf"^{text} is not in the range"):
            read(port, text)


def test_what_is_no_number_is_no_port() -> None:
    """It is said in words, not by the name of a type."""
    with pytest.raises(click.BadParameter, match=r"^'abc' is not a valid port\.$"):
        read(Port(), "abc")
