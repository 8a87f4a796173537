"""Command: `python -m tests.clients`, its arguments, its progress and its exit status."""

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from tests.clients import catalogue, docs, record, scripts
from tests.clients.catalogue import Client
from tests.clients.driver import DriverError
from tests.clients.environment import Environment, InstallError, installed
from tests.clients.record import Measured, Mode
from tests.clients.run import both
from tests.clients.scripts import Script
from tests.clients.table import table, told
from tests.clients.verdict import Verdict, judge


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
@click.option("--fresh", is_flag=True, help="Install the newest releases anew.")
@click.option(
    "--quick",
    is_flag=True,
    help="Only what CI runs: clients that install in seconds, their main modes.",
)
@click.option("--show", is_flag=True, help="Say what the client did in each turn, on both sides.")
@click.option("--write-docs", is_flag=True, help="Write what was measured into docs/clients.md.")
def main(
    names: tuple[str, ...],
    wanted: tuple[str, ...],
    *,
    listing: bool,
    fresh: bool,
    quick: bool,
    show: bool,
    write_docs: bool,
) -> None:
    """Put real clients through the scripts, directly and through the proxy, and compare."""
    if listing:
        for client in catalogue.CLIENTS:
            click.echo(f"{client.name:<18} {client.title}: {', '.join(client.modes)}")
        for script in scripts.SCRIPTS:
            click.echo(f"{script.name:<18} {script.title}")
        return
    if quick:
        names = tuple(f"{client.name}/{mode}" for client in catalogue.CLIENTS for mode in client.quick)
    if write_docs and (wanted or any("/" in name for name in names)):
        raise click.UsageError("--write-docs wants whole clients and all scripts: a part would be taken for the whole")
    for name in names:
        known, _, mode = name.partition("/")
        if known not in catalogue.BY_NAME or (mode and mode not in catalogue.BY_NAME[known].modes):
            raise click.UsageError(f"there is no client {name!r}; --list says which there are")
    chosen = [script for script in scripts.SCRIPTS if not wanted or script.name in wanted]
    try:
        sys.exit(asyncio.run(_run(names, chosen, fresh=fresh, show=show, write_docs=write_docs)))
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)


async def _run(
    names: Sequence[str],
    chosen: Sequence[Script],
    *,
    fresh: bool,
    show: bool,
    write_docs: bool,
) -> int:
    """Run what is asked for; gives the exit status."""
    if running := asyncio.current_task():  # SIGTERM ends what was started, as Ctrl-C does
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    found: dict[str, Measured] = {}
    failed = False
    for client, modes in _asked(names):
        _progress(f"{client.name}: installing")
        try:
            environment = await installed(client.packages, fresh=fresh)
        except InstallError as error:
            click.echo(f"{client.name}: {error}")
            failed = True
            continue
        measured = found[client.name] = Measured(datetime.now(UTC).date().isoformat(), dict(environment.versions))
        for mode in modes:
            measured.modes[mode] = Mode()
            for script in (script for script in client.scripts(mode) if script in chosen):
                _progress(f"{client.name}/{mode}: {script.title}")
                verdict = await _one(client, mode, script, environment, show=show)
                measured.modes[mode].add(script.name, verdict)
                failed = failed or bool(verdict.wrong)
                for line in verdict.wrong:
                    click.echo(f"{client.name}/{mode}: {script.name}: {line}")
        if write_docs:
            record.write({client.name: measured})
            docs.write()
    _progress("")
    click.echo(table(found, [script.name for script in chosen]))
    return int(failed)


def _asked(names: Sequence[str]) -> Iterator[tuple[Client, Sequence[str]]]:
    """The clients in the catalogue's order, each with its modes that were asked for: all where none was."""
    for client in catalogue.CLIENTS:
        modes = [mode for mode in client.modes if not names or {client.name, f"{client.name}/{mode}"} & set(names)]
        if modes:
            yield client, modes


async def _one(client: Client, mode: str, script: Script, environment: Environment, *, show: bool) -> Verdict:
    """One script; a client whose process fails is a verdict too."""
    try:
        pair = await both(client, mode, script, environment)
    except DriverError as error:
        return Verdict((str(error),))
    if show:
        click.echo(told(pair))
    return judge(pair)


def _progress(text: str) -> None:
    """Where the run is: one line that is written over, on a terminal only."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", nl=False, err=True)
