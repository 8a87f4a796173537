"""`openline run`: the proxy in the foreground."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

import click

from proxy.cli.background.daemon import command, renew
from proxy.cli.background.succession import Elder
from proxy.cli.background.tenure import Tenure
from proxy.cli.flags import BadSettings, flags, with_flags
from proxy.cli.loop import new_loop
from proxy.cli.output import Output
from proxy.cli.serving import Serving
from proxy.config import Settings
from proxy.server.activation import BadHandover, Handed, handed
from proxy.server.descriptors import raise_limit
from proxy.telemetry.lines import lines


@click.command()
@with_flags
@click.option("--log-file", type=click.Path(path_type=Path), hidden=True, help="Where stdout goes: `start` says so.")
@click.option("--lock", type=int, hidden=True, help="The descriptor of a daemon's lock.")
@click.option("--link", type=int, hidden=True, help="The descriptor of the link to the process that started a daemon.")
def run(*, log_file: Path | None, lock: int | None, link: int | None, **given: object) -> int:
    """Run the proxy in the foreground.

    It prints the line to paste, then one line per turn. Ctrl-C lets running turns end; twice ends at once.
    """
    said = flags(**given)  # type: ignore[arg-type] # click has checked the values' types
    loaded = said.load()
    sockets = _handed(loaded.settings, heir=link is not None)
    tenure = Tenure(command(said, log_file), log_file, Elder(link), lock) if log_file and link else Tenure()
    raise_limit()
    form = lines(loaded.settings.log_format, terminal=sys.stdout.isatty())
    out = Output(1, partial(renew, log_file, (1, 2)) if log_file and link else None)
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(Serving(loaded, said.read, form, out, sockets, tenure).run())
    finally:
        out.close()


def _handed(settings: Settings, *, heir: bool) -> Handed:
    """The sockets that this process was started with, by systemd, launchd or `openline start`. Raises BadSettings."""
    try:
        sockets = handed(os.environ, os.getpid())
        if heir:
            sockets.check(settings, "no restart changes that: `openline stop`, then `openline start`")
        else:
            sockets.check(settings)
    except BadHandover as bad:
        raise BadSettings(str(bad)) from None
    return sockets
