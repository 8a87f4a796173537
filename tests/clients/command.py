"""Command: `python -m tests.clients`, its arguments, its progress and its exit status."""

import asyncio
import difflib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence

import click

from tests.clients import catalogue, docs, record, scripts
from tests.clients.record import Measured
from tests.clients.table import table
from tests.clients.tour import Stop, Tour


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME[/MODE]]…")
@click.option(
    "--script",
    "wanted",
    multiple=True,
    type=click.Choice(list(scripts.BY_NAME)),
    help="Only this script.",
)
@click.option(
    "--list",
    "listing",
    is_flag=True,
    help="Say which clients and scripts there are, and end.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=os.cpu_count() or 1,
    show_default="one a core",
    help="So many scripts at once.",
)
@click.option("--fresh", is_flag=True, help="Install the newest releases anew.")
@click.option(
    "--quick",
    is_flag=True,
    help="Only what CI runs: the main modes, many with the main scripts alone.",
)
@click.option("--show", is_flag=True, help="Say what the client did in each turn, on both sides.")
@click.option("--write-docs", is_flag=True, help="Write what was measured into docs/clients.md.")
def main(
    names: tuple[str, ...],
    wanted: tuple[str, ...],
    *,
    listing: bool,
    jobs: int,
    fresh: bool,
    quick: bool,
    show: bool,
    write_docs: bool,
) -> None:
    """Put real clients through the scripts, directly and through the proxy, and compare."""
    if listing:
        for client in catalogue.CLIENTS:
            click.echo(f"{client.name:<18} {client.title}: {', '.join(map(client.listed, client.modes))}")
        click.echo(
            "* in CI, with every script; ° in CI, with the main scripts; of all others, one mode with one script"
        )
        for script in scripts.SCRIPTS:
            click.echo(f"{script.name:<18} {script.title}")
        return
    if write_docs and (quick or wanted or any("/" in name for name in names)):
        raise click.UsageError("--write-docs wants whole clients and all scripts: a part would be taken for the whole")
    for name in names:
        known, _, mode = name.partition("/")
        if known not in catalogue.BY_NAME or (mode and mode not in catalogue.BY_NAME[known].modes):
            raise click.UsageError(_unknown(name))
    stops = list(_asked(names, wanted, quick=quick))
    if not stops:
        raise click.UsageError("none of these clients has such a script in such a mode; --list says which they have")
    try:
        sys.exit(asyncio.run(_run(stops, jobs=jobs, fresh=fresh, show=show, write_docs=write_docs)))
    except (asyncio.CancelledError, KeyboardInterrupt) as ended:
        number = signal.SIGINT if isinstance(ended, KeyboardInterrupt) else signal.SIGTERM
        sys.exit(128 + number)


async def _run(stops: Sequence[Stop], *, jobs: int, fresh: bool, show: bool, write_docs: bool) -> int:
    """Run what is asked for; gives the exit status."""
    if running := asyncio.current_task():  # SIGTERM ends what was started, as Ctrl-C does
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    began = time.monotonic()
    measured = _written if write_docs else _kept_nowhere
    tour = Tour(stops, jobs=jobs, fresh=fresh, show=show, measured=measured)
    found = await tour.run()
    run = {script.name for stop in stops for some in stop.scripts.values() for script in some}
    names = [script.name for script in scripts.SCRIPTS if script.name in run]
    click.echo(table(found, names))
    click.echo(f"{sum(map(len, stops))} scripts, {time.monotonic() - began:.0f} s")
    for name, wrong in tour.wrong.items():
        some = " ".join(f"--script {script}" for script in wrong)
        click.echo(f"not as promised; to see what happened: python -m tests.clients {name} {some} --show")
    if tour.absent:
        click.echo(f"not installed, and so not run: {', '.join(tour.absent)}")
    return int(bool(tour.wrong or tour.absent))


def _kept_nowhere(_name: str, _measured: Measured) -> None:
    """A run that is only looked at."""


def _written(name: str, measured: Measured) -> None:
    """Into the record and the page."""
    record.write({name: measured})
    docs.write()


def _asked(names: Sequence[str], wanted: Sequence[str], *, quick: bool) -> Iterator[Stop]:
    """The clients in the catalogue's order, each with the modes and scripts that were asked for: all where none was."""
    for client in catalogue.CLIENTS:
        modes = [mode for mode in client.modes if not names or {client.name, f"{client.name}/{mode}"} & set(names)]
        chosen = {
            mode: [script for script in client.scripts(mode, quick=quick) if not wanted or script.name in wanted]
            for mode in modes
        }
        chosen = {mode: some for mode, some in chosen.items() if some}
        if chosen:
            yield Stop(client, chosen)


def _unknown(name: str) -> str:
    """What to say of a client, or of a mode, that there is none of."""
    known, slash, _ = name.partition("/")
    if slash and known in catalogue.BY_NAME:
        return f"{known} has no such mode; it has {', '.join(catalogue.BY_NAME[known].modes)}"
    near = difflib.get_close_matches(known, catalogue.BY_NAME, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"there is no client {known!r}: {meant}--list says which there are"
