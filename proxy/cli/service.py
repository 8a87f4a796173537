"""`openline service`: Openline as a service of this user, which systemd or launchd starts at the first call."""

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from proxy.cli import occupant
from proxy.cli.flags import BadSettings, flags, with_flags
from proxy.cli.greeting import greeting
from proxy.cli.services.launchd import Launchd
from proxy.cli.services.plan import Plan, Unfit, absolute, plan
from proxy.cli.services.supervisor import CommandFailed, Supervisor, Unavailable, UnitFile
from proxy.cli.services.systemd import Systemd
from proxy.server.listener import bind
from proxy.server.status import url

_START_SECONDS = 30.0
_STOPPED = 3
_NOT_INSTALLED = 4


class NotInstalled(click.ClickException):
    """There is no service to start or to stop."""

    exit_code = _NOT_INSTALLED


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    purpose: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class _Installed:
    """What `install` tells."""

    written: bool
    files: Sequence[_File]
    recorded: Sequence[str]
    settings_file: Path | None
    logs: str
    export: str


@dataclass(frozen=True, slots=True)
class _State:
    """What `status` tells."""

    installed: bool
    files: Sequence[Path]
    states: Mapping[str, str]
    logs: str


_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")


@click.group()
def service() -> None:
    """Run Openline as a service of yours, under systemd (Linux) or launchd (macOS).

    It listens from login on, and the process starts at the first call.
    """


@service.command(short_help="Install it, or install it anew.")
@with_flags
@click.option("--dry-run", is_flag=True, help="Print the files, and write nothing.")
@_AS_JSON
def install(*, dry_run: bool, as_json: bool, **given: object) -> None:
    """Install it, or install it anew: after an upgrade, or with other flags.

    The flags are those of `run`. What this shell has of proxies, certificates and settings is recorded.
    """
    said = absolute(flags(**given))  # type: ignore[arg-type] # click has checked the values' types
    loaded = said.load()
    supervisor = _supervisor()
    try:
        made = plan(said, loaded, os.environ, sys.executable)
        files, shown = supervisor.files(made), supervisor.files(made.masked)
    except Unfit as unfit:
        raise BadSettings(str(unfit)) from None
    if dry_run:
        _check_manager(supervisor)
    else:
        _install(supervisor, made, files)
    told = _Installed(
        written=not dry_run,
        files=[_File(file.path, file.purpose, file.text if dry_run else None) for file in shown],
        recorded=list(made.environment),
        settings_file=loaded.file,
        logs=supervisor.logs,
        export=next(greeting(loaded, f"{url(*made.addresses[0])}/v1", None)),
    )
    click.echo(_json(told) if as_json else "\n".join(_lines(told)))


@service.command()
@_AS_JSON
def uninstall(*, as_json: bool) -> None:
    """Stop it, and remove what `install` wrote."""
    supervisor = _supervisor()
    files = [path for path in supervisor.paths if path.exists()]
    if not files:
        nothing = "openline: no service is installed, and nothing was removed"
        click.echo(_json({"removed": files}) if as_json else nothing)
        return
    with _one_line():
        try:
            supervisor.uninstall()
        except Unavailable as unavailable:
            click.echo(f"openline: it could not be stopped, if it runs: {unavailable}", err=True)
    click.echo(_json({"removed": files}) if as_json else "\n".join(f"removed {path}" for path in files))


@service.command()
@_AS_JSON
def start(*, as_json: bool) -> None:
    """Listen, and start the process at once."""
    with _one_line():
        _installed().start()
    done = "openline: the service is started; `openline service status` says how it is"
    click.echo(_json({"started": True}) if as_json else done)


@service.command()
@_AS_JSON
def stop(*, as_json: bool) -> None:
    """Stop it until the next login; callers are refused meanwhile."""
    with _one_line():
        _installed().stop()
    done = "openline: the service is stopped until the next login, or `openline service start`"
    click.echo(_json({"stopped": True}) if as_json else done)


@service.command(short_help="Say whether it is installed, and how it is.")
@_AS_JSON
def status(*, as_json: bool) -> int:
    """Say whether it is installed, and how it is.

    The exit status is 0 where it listens, 3 where it does not, 4 where none is installed.
    """
    supervisor = _supervisor()
    files = [path for path in supervisor.paths if path.exists()]
    with _one_line():
        states = supervisor.states() if files else {}
        listening = bool(files) and supervisor.listening
    told = _State(installed=bool(files), files=files, states=states, logs=supervisor.logs)
    if as_json:
        click.echo(_json(told))
    elif not files:
        click.echo("openline: no service is installed; `openline service install` installs one")
    else:
        click.echo(f"installed: {', '.join(map(str, files))}")
        for name, state in states.items():
            click.echo(f"{name}: {state}")
        click.echo(f"its lines: {told.logs}")
    return 0 if listening else _STOPPED if files else _NOT_INSTALLED


def _supervisor(platform: str = sys.platform) -> Supervisor:
    """The one of this system."""
    if platform == "darwin":
        return Launchd()
    if platform == "linux":
        return Systemd()
    raise click.ClickException(f"there are services for systemd and launchd, and none for {platform}: use WSL2")


def _installed() -> Supervisor:
    """The same, where there is a service."""
    supervisor = _supervisor()
    if not all(path.exists() for path in supervisor.paths):
        raise NotInstalled("no service is installed: `openline service install` installs one")
    return supervisor


@contextmanager
def _one_line() -> Iterator[None]:
    """What fails is one line."""
    try:
        yield
    except CommandFailed as failed:
        raise click.ClickException(str(failed)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'a file'}: {error.strerror}") from None


def _install(supervisor: Supervisor, made: Plan, files: Sequence[UnitFile]) -> None:
    """Install it, after all checks that can be made: what fails there has changed nothing."""
    try:
        supervisor.check()
    except Unavailable as unavailable:
        raise click.ClickException(f"nothing was written: {unavailable}") from None
    with _one_line():
        _check_command(made.command)
        if not (supervisor.paths[0].exists() and supervisor.listening):
            _check_free(made.addresses)
        supervisor.install(files)


def _check_manager(supervisor: Supervisor) -> None:
    """Say so where an install would be refused now, as nobody would run the service."""
    try:
        supervisor.check()
    except Unavailable as unavailable:
        click.echo(f"openline: an install would be refused now: {unavailable}", err=True)


def _check_command(command: Sequence[str]) -> None:
    """Raise ClickException where this interpreter finds Openline in the shell's folder or by its variables alone."""
    python, safely, *module = command[:4]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    words = (python, safely, *module, "--version")
    try:
        ended = subprocess.run(  # noqa: S603 - this very interpreter
            words, cwd="/", env=environ, capture_output=True, timeout=_START_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise click.ClickException(f"{python} does not start within {_START_SECONDS:g} s: try again") from None
    if ended.returncode:
        raise click.ClickException(f"{python} does not find Openline by itself: install it there (pip install)")


def _check_free(addresses: Sequence[tuple[str, int]]) -> None:
    """Raise ClickException where somebody listens already, or nobody of this user may."""
    for address in addresses:
        try:
            for sock in bind(*address):
                sock.close()
        except OSError as error:
            place = f"listen: port {address[1]} on {address[0]}"
            if error.errno != errno.EADDRINUSE:
                raise click.ClickException(f"{place} cannot be listened on: {error.strerror}") from None
            who = asyncio.run(occupant.describe(address))
            raise click.ClickException(f"{place} is taken: {who}; end that first, or choose another port") from None


def _lines(told: _Installed) -> Iterator[str]:
    """What was done, for a person; the last line can be pasted."""
    for file in told.files:
        yield f"{'wrote' if told.written else '# would write'} {file.path} ({file.purpose})"
        if file.text is not None:
            yield file.text
    yield f"settings: {told.settings_file or 'no file'}"
    yield f"recorded of this shell: {', '.join(told.recorded) or 'nothing'}"
    yield f"its lines: {told.logs}"
    yield told.export


def _json(told: object) -> str:
    return msgspec.json.encode(told, enc_hook=str).decode()
