"""`openline stop`: the end of a proxy, of the one that is meant and of no other process."""

import contextlib
import os
import signal
import time

import click
import msgspec

from proxy.cli.background.daemon import Watch
from proxy.cli.client import Client, NoAnswer, find
from proxy.cli.port import Port
from proxy.config import Settings
from proxy.instance import Instance, instances
from proxy.settings_shown import ShownSettings

# Beyond drain_seconds: to close what is left, and to write the last lines.
_CLOSE_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_SILENT_SECONDS = 0.5
# One that is being restarted ends, and its successor is there.
_SUCCESSORS = 3


class NotEnded(click.ClickException):
    """It runs on."""

    exit_code = 4


class _Running(msgspec.Struct, frozen=True):
    running: int


@click.command()
@click.option("--port", type=Port(), help="The one whose callers use this port.")
@click.option("--now", is_flag=True, help="Cut running turns off.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def stop(*, port: int | None, now: bool, as_json: bool) -> None:
    """End the proxy that runs, once its running turns have ended.

    It takes `drain_seconds` at most. Where none runs, the exit status is 3.
    """
    instance: Instance | None = find(port)
    ended: list[int] = []
    while instance and len(ended) < _SUCCESSORS:
        _end(instance, now=now)
        ended.append(instance.pid)
        there = [one for one in instances() if one.api == instance.api and one.pid not in ended]
        instance = next(iter(there), None)
    if as_json:
        click.echo(msgspec.json.encode({"pids": ended}))
    else:
        click.echo(f"stopped (pid {', '.join(map(str, ended))})")


def _end(instance: Instance, *, now: bool) -> None:
    """Have it end, and wait until it has. Raises NotEnded."""
    limit = 0.0 if now else _drain_seconds(instance)
    with contextlib.closing(Watch(instance)) as watch:
        if not watch.over:  # by itself, meanwhile
            _signal(instance, now=now)
        _wait(instance, watch, limit, told=now)


def _signal(instance: Instance, *, now: bool) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(instance.pid, signal.SIGTERM)
        if now:
            os.kill(instance.pid, signal.SIGINT)  # another signal: of the same there may be one at a time


def _wait(instance: Instance, watch: Watch, limit: float, *, told: bool) -> None:
    """Until it has ended; after a moment it is said for which turns, unless that is `told`. Raises NotEnded."""
    began = time.monotonic()
    while not watch.over:
        waited = time.monotonic() - began
        if waited > limit + _CLOSE_SECONDS:
            raise NotEnded(f"pid {instance.pid} has not ended within {waited:.0f} s: see its log, or kill it")
        if waited > _SILENT_SECONDS and not told and (count := _turns(instance)):
            told = True
            turns = "1 running turn" if count == 1 else f"{count} running turns"
            click.echo(f"openline: waiting for {turns}, at most {limit:g} s; --now cuts them off", err=True)
        time.sleep(_LOOK_SECONDS)


def _drain_seconds(instance: Instance) -> float:
    """How long its turns may take, as far as it says so."""
    try:
        shown = Client(instance).get("/settings", ShownSettings).settings
    except NoAnswer:
        return Settings().drain_seconds
    return next(float(one.value) for one in shown if one.key == "drain_seconds" and isinstance(one.value, int | float))


def _turns(instance: Instance) -> int:
    """How many run, as far as it says so."""
    try:
        return Client(instance).get("/status", _Running).running
    except NoAnswer:
        return 0
