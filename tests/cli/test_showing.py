"""A showing: neither Ctrl-C nor a reader that goes away is an error."""

from tests.cli.process import ran, started

_SHOW = """
import time, click
from proxy.cli.showing import until_enough
with until_enough():
    while True:
        click.echo("x" * 1000)
        time.sleep(0)
"""


async def test_a_reader_that_goes_away_ends_it_without_a_word() -> None:
    """As `| head` does: no traceback, also none at the exit."""
    async with started(python=("-c", _SHOW)) as command:
        await command.line()
        command.stop_reading()
        status, _, err = await command.end()
    assert (status, err) == (0, "")


async def test_ctrl_c_ends_it_without_a_word() -> None:
    """It is how one ends it."""
    text = _SHOW.replace("time.sleep(0)", "raise KeyboardInterrupt")
    assert await ran(python=("-c", text)) == (0, "x" * 1000 + "\n", "")
