"""`openline start`: the proxy in the background."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import click
import msgspec

from proxy import __version__
from proxy.cli.background.daemon import Place, command, environment
from proxy.cli.background.succession import Heir, NoHeir
from proxy.cli.client import Client, NoAnswer
from proxy.cli.flags import Flags, flags, with_flags
from proxy.cli.greeting import greeting
from proxy.cli.serving import refusal
from proxy.errors import StartFault
from proxy.instance import Instance, instances
from proxy.lock import Held, Lock
from proxy.server.activation import Handed
from proxy.server.listener import bind
from proxy.server.terms import Terms, digest
from proxy.settings_sources import Loaded

_CLAIM_SECONDS = 15.0
_LOOK_SECONDS = 0.1
_BACKLOG = 1_024


class _Ready(msgspec.Struct, frozen=True):
    ready: bool
    reason: str = ""


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` gives."""

    already: bool
    pid: int
    version: str
    api: str
    admin: str | None
    log: str | None


@click.command()
@with_flags
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def start(*, as_json: bool, **given: object) -> int:
    """Start the proxy in the background, and print the line to paste.

    The flags are those of `run`. Where it runs already, that is said, and nothing is done.
    """
    said = flags(**given)  # type: ignore[arg-type] # click has checked the values' types
    loaded = said.load()
    try:
        instance, already = _running(said, loaded)
    except NoHeir as failure:
        click.echo(f"openline: {failure}", err=True)
        return failure.status
    if as_json:
        told = _Told(
            already=already,
            pid=instance.pid,
            version=instance.version,
            api=instance.api,
            admin=instance.admin,
            log=instance.log,
        )
        click.echo(msgspec.json.encode(told))
    else:
        click.echo("\n".join(_already(said, loaded, instance) if already else _begun(loaded, instance)))
    return 0


def _running(said: Flags, loaded: Loaded) -> tuple[Instance, bool]:
    """The one that serves there, and whether it did so already. Raises NoHeir."""
    with contextlib.ExitStack() as opened:
        place, sockets = _place(loaded, opened)
        claim = _claim(place)
        if isinstance(claim, Instance):
            return claim, True
        if not sockets:
            sockets = _listening(loaded, place.port, claim)
            for sock in sockets:
                opened.enter_context(sock)
        host, _, port = loaded.settings.listen.rpartition(":")
        if port == "0":  # the next one, after a restart, is to have the same
            said = replace(said, given={**said.given, "listen": f"{host}:{place.port}"})
        return _started(said, place, sockets, claim), False


def _place(loaded: Loaded, opened: contextlib.ExitStack) -> tuple[Place, Sequence[socket.socket]]:
    """Where it is to listen. Of port 0 the sockets come along: only they say which port that is."""
    settings = loaded.settings
    if settings.listen_port:
        try:
            return Place.listening(settings.listen_host, settings.listen_port), ()
        except OSError as error:
            raise _refused(loaded, error) from None
    sockets = _listening(loaded, 0)
    for sock in sockets:
        opened.enter_context(sock)
    return Place.listening(settings.listen_host, sockets[0].getsockname()[1]), sockets


def _claim(place: Place) -> Lock | Instance:
    """The right to listen there, or whoever serves there already."""
    until = time.monotonic() + _CLAIM_SECONDS
    while True:
        try:
            return Lock.take(place.lock)
        except Held:
            pass
        except OSError as error:
            raise click.ClickException(f"{place.lock.parent}: the folder cannot be used: {error.strerror}") from None
        for instance in instances():
            if instance.name == place.name and _serves(instance):
                return instance
        if time.monotonic() > until:
            raise click.ClickException(
                f"an Openline at port {place.port} has been starting or ending for {_CLAIM_SECONDS:g} s: try again"
            )
        time.sleep(_LOOK_SECONDS)


def _serves(instance: Instance) -> bool:
    """Whether it is not about to end."""
    try:
        return Client(instance).get("/readyz", _Ready).reason != "draining"
    except NoAnswer:
        return True  # without an admin listener it cannot be asked


def _listening(loaded: Loaded, port: int, lock: Lock | None = None) -> Sequence[socket.socket]:
    """Sockets that listen: who calls from now on waits until the daemon accepts."""
    sockets: Sequence[socket.socket] = ()
    try:
        sockets = bind(loaded.settings.listen_host, port)
        for sock in sockets:
            sock.listen(_BACKLOG)
    except OSError as error:
        for sock in sockets:
            sock.close()
        if lock:
            lock.release()
        raise _refused(loaded, error) from None
    return sockets


def _refused(loaded: Loaded, error: OSError) -> click.ClickException:
    address = (loaded.settings.listen_host, loaded.settings.listen_port)
    return click.ClickException(asyncio.run(refusal(address, error)))


def _started(said: Flags, place: Place, sockets: Sequence[socket.socket], lock: Lock) -> Instance:
    """Start the daemon, and wait until it serves. Raises NoHeir."""
    with contextlib.ExitStack() as undone:
        undone.callback(lock.release)
        try:
            heir = Heir(command(said, place.log), Handed(tuple(sockets)), lock, place.log, environment(said))
        except OSError as error:
            raise click.ClickException(f"it cannot be started: {error.strerror} ({error.filename})") from None
        undone.callback(heir.kill)
        words = heir.wait()
        undone.pop_all()
    lock.leave()
    click.echo(words, nl=False, err=True)
    found = next((one for one in instances() if one.pid == heir.pid), None)
    if found is None:
        raise click.ClickException(f"it runs (pid {heir.pid}), but left no file by which to find it: see {place.log}")
    heir.let_go()
    return found


def _begun(loaded: Loaded, instance: Instance) -> Iterator[str]:
    yield from greeting(loaded, instance.api, instance.admin)
    port = f" --port {instance.port}" if len(list(instances())) > 1 else ""
    yield f"log: {instance.log} (openline logs -f{port})"
    yield f"it runs in the background (pid {instance.pid}); openline stop{port} ends it"


def _goes_otherwise(loaded: Loaded, instance: Instance) -> bool:
    """Whether other things become of turns there than by the settings that were given here; False where it is mute."""
    try:
        there = Client(instance).get("/terms", Terms)
        mode = there.mode if loaded.origins["mode"].kind == "default" else loaded.settings.mode
        return there.digest != digest(loaded.settings, mode, os.environ)
    except (NoAnswer, StartFault):
        return False


def _already(said: Flags, loaded: Loaded, instance: Instance) -> Iterator[str]:
    yield next(iter(greeting(loaded, instance.api, instance.admin)))
    yield f"openline is already running (pid {instance.pid}, version {instance.version}) at {instance.api}"
    if instance.version != __version__:
        yield f"this command is version {__version__}: openline restart brings it there"
    if (said.given.keys() - {"listen", "verbose"} or said.config) and _goes_otherwise(loaded, instance):
        yield "it goes on with the settings that it was started with: to use those given here, openline stop it first"
