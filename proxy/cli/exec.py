"""`openline exec`: a command whose calls go through Openline, for as long as it runs, and what that came to."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, BinaryIO

import click

from proxy.cli.execution.agents import environment, fitted, for_run, named
from proxy.cli.execution.berth import Berth
from proxy.cli.execution.child import Child, end_like
from proxy.cli.execution.destination import Destination, destination
from proxy.cli.flags import BadSettings, flags, with_turn_flags
from proxy.cli.greeting import what_is_set
from proxy.cli.loop import new_loop
from proxy.cli.patience import patience
from proxy.instance import Instance
from proxy.settings_sources import Loaded

if TYPE_CHECKING:
    from proxy.cli.execution.conclusion import Conclusion

# What is needed once the command runs is imported then: it starts the sooner.
# ruff: noqa: PLC0415

_LONGEST_NAME = 64


@click.command("exec", context_settings={"allow_interspersed_args": False})
@with_turn_flags
@click.option("--own", is_flag=True, help="A proxy of its own, also where one with the same settings runs.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing at the end.")
@click.option("--json", "as_json", is_flag=True, help="Say it as a JSON object.")
@click.option(
    "--log", type=click.Path(path_type=Path), metavar="FILE", help="Add a line per turn to this file; has --own in it."
)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARGS]...")
def exec_(words: tuple[str, ...], *, own: bool, quiet: bool, as_json: bool, log: Path | None, **given: object) -> int:
    """Run a command whose calls to the API go through Openline, and say at its end what that came to.

    The command gets OPENAI_BASE_URL, the terminal, and every signal; the exit status is its own. Its calls go where
    OPENAI_BASE_URL led so far, unless --upstream or OPENLINE_UPSTREAM__URL says otherwise. The proxy ends with it,
    unless one runs that can be shared.
    """
    if quiet and as_json:
        raise click.UsageError("give --quiet or --json, not both", click.get_current_context())
    loaded = flags(**given).load()  # type: ignore[arg-type] # click has checked the values' types
    with patience():
        where = destination(loaded, named(words, os.environ), os.environ, own=own or log is not None)
    if where.settings.verbose:
        through = f"the Openline with pid {where.running.pid}" if where.running else "a proxy of its own"
        _say("\n".join((f"openline: upstream {where.host} ({where.origin}), by {through}", *what_is_set(loaded))))
    run = _name(where.within or "")
    told = _shared(words, where, where.running, run) if where.running else _alone(words, where, loaded, run, log)
    if not quiet:
        _say(told.json(words, where) if as_json else f"openline: {told.line(words)}")
    return end_like(told.status)


def _say(text: str) -> None:
    # The reader may have gone; the command counts all the same.
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def _shared(words: Sequence[str], where: Destination, running: Instance, run: str) -> "Conclusion":
    """Through one that runs already."""

    async def go() -> "Conclusion":
        status = await _child(words, where, for_run(running.api, run, where.way)).ended()
        from proxy.cli.execution.conclusion import shared

        # In here, where signals have no effect: Ctrl-C while it is asked must not cost the command's exit status.
        return shared(running, run, status)

    with asyncio.Runner() as runner:
        return runner.run(go())


def _alone(words: Sequence[str], where: Destination, loaded: Loaded, run: str, log: Path | None) -> "Conclusion":
    """Through a proxy in this very process."""

    async def go(berth: Berth) -> "Conclusion":
        child = _child(words, where, for_run(berth.instance.api, run, where.way))
        try:
            from proxy.cli.execution.conclusion import Conclusion
            from proxy.cli.execution.passing import passing

            async with passing(berth, where.settings, loaded.origins, written) as app:
                status = await child.ended()
            return Conclusion(run, status, app.tallies.of(run))
        finally:
            child.abandon()

    with _opened(log) as written, Berth() as berth, asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(go(berth))


def _opened(log: Path | None) -> AbstractContextManager[BinaryIO | None]:
    """The file for the turns' lines. Raises BadSettings."""
    if log is None:
        return contextlib.nullcontext()
    try:
        return log.open("ab")
    except OSError as error:
        raise BadSettings(f"--log {log}: it cannot be written: {error.strerror}") from None


def _name(within: str) -> str:
    """A new name for a run; one in another begins with its name, as long as names may be."""
    own = token_hex(4)
    return f"{within}-{own}" if 0 < len(within) < _LONGEST_NAME - len(own) else own


def _child(words: Sequence[str], where: Destination, base: str) -> Child:
    return Child(fitted(words, base), environment(os.environ, base, where.variables))
