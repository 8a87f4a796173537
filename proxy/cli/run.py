"""`openline run`: the proxy in the foreground."""

import asyncio
import sys
from pathlib import Path

import click

from proxy.cli.flags import flags, with_flags
from proxy.cli.output import Output
from proxy.cli.serving import Serving
from proxy.server.descriptors import raise_limit
from proxy.telemetry.lines import lines


@click.command()
@with_flags
@click.option("--log-file", type=click.Path(path_type=Path), hidden=True, help="Where stdout goes: `start` says so.")
def run(*, log_file: Path | None, **given: object) -> int:
    """Run the proxy in the foreground.

    It prints the line to paste, then one line per turn. Ctrl-C lets running turns end; twice ends at once.
    """
    said = flags(**given)  # type: ignore[arg-type] # click has checked the values' types
    loaded = said.load()
    raise_limit()
    form = lines(loaded.settings.log_format, terminal=sys.stdout.isatty())
    out = Output(sys.stdout.fileno())
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(Serving(loaded, said.read, form, out, log=log_file).run())
    finally:
        out.close()


def new_loop() -> asyncio.AbstractEventLoop:
    """The loop of uvloop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - it does not exist on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
