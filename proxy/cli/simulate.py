"""The `simulate` command: the simulator in the foreground, in a process of its own."""

import asyncio
import errno
import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import click

from proxy.cli.output import Output
from proxy.cli.port import Port
from proxy.simulator import Behaviour, Entry, Handshake, Link, Recorded, Simulator
from proxy.simulator.behaviour import OMITTABLE, CompletedOutput
from proxy.simulator.errors import ErrorShape, LaneRefusal
from proxy.simulator.host import Seen

_SECONDS = click.FloatRange(min=0)
_COUNT = click.IntRange(min=1)
_OPTIONS = (
    click.option("--recorded", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
                 help="Answer with the `output` of each line of this JSON lines file, in order, not with the oracle."),
    click.option("--api-keys", multiple=True, metavar="KEY", help="Accept this key only; may be repeated."),
    click.option("--websocket/--no-websocket", default=None, help="Offer WebSocket mode."),
    click.option("--websocket-refusal", type=click.IntRange(400, 599), help="Status of refused upgrades."),
    click.option("--compress/--no-compress", default=None, help="Negotiate permessage-deflate."),
    click.option("--lanes/--no-lanes", default=None, help="Know stream_id."),
    click.option("--lane-refusal", type=click.Choice(get_args(LaneRefusal)), help="What comes of one without."),
    click.option("--named-lanes", type=_COUNT, help="Lanes that a connection can name in its life."),
    click.option("--in-flight", type=_COUNT, help="Responses that run at a time on a connection; more wait."),
    click.option("--steering/--no-steering", default=None, help="Know response.steer."),
    click.option("--age-limit", type=_SECONDS, metavar="SECONDS", help="Age at which a WebSocket is closed."),
    click.option("--frame-limit", type=_COUNT, metavar="BYTES", help="Size from which a frame closes with 1009."),
    click.option("--honours-store/--no-honours-store", default=None, help="Store responses when asked."),
    click.option("--store-limit", type=_COUNT, help="Stored responses that are kept."),
    click.option("--once-only-parents/--no-once-only-parents", default=None, help="A response continues once only."),
    click.option("--lenient-ids/--no-lenient-ids", default=None, help="Answer unknown ids with the context lost."),
    click.option("--forgetful", type=click.FloatRange(0, 1), help="Probability that a response is lost at once."),
    click.option("--seed", type=int, help="Seed of --forgetful."),
    click.option("--parent-gone-at", type=click.Choice(["next_completed", "next_created"]),
                 help="When a lane's response gives way to its next one."),
    click.option("--not-found-status", type=click.IntRange(400, 599), help="Status of previous_response_not_found."),
    click.option("--error-shape", type=click.Choice(get_args(ErrorShape)), help="How error frames are written."),
    click.option("--error-omits", type=click.Choice(OMITTABLE), multiple=True,
                 help="Member that error frames lack; may be repeated."),
    click.option("--completed-output", type=click.Choice(get_args(CompletedOutput)),
                 help="The output list of terminal events on a WebSocket."),
    click.option("--summaries-count/--no-summaries-count", default=None, help="Summaries are part of the prompt."),
    click.option("--delta-chars", type=_COUNT, help="Characters of a text delta."),
    click.option("--think-seconds", type=_SECONDS, metavar="SECONDS", help="Wait before the first event."),
    click.option("--event-seconds", type=_SECONDS, metavar="SECONDS", help="Wait before each delta."),
    click.option("--latency", type=_SECONDS, metavar="SECONDS", help="One-way latency of the emulated link."),
    click.option("--uplink", type=_SECONDS, metavar="BYTES", help="Bytes a second of the emulated link; 0: no limit."),
    click.option("--latency-ms", type=_SECONDS, metavar="MS", help="--latency in milliseconds, as in `openline demo`."),
    click.option("--uplink-mbit", type=_SECONDS, metavar="MBIT",
                 help="--uplink in Mbit/s, as in `openline demo`."),
    click.option("--cors/--no-cors", default=None, help="Let pages of any origin ask from a browser."),
    click.option("--echo-paths/--no-echo-paths", default=None, help="Offer /v1/_echo and /v1/_echo_stream."),
    click.option("--journal-limit", type=_COUNT, help="Creates that the journal keeps."),
)  # fmt: skip # one option a line or two reads best


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.option("--port", default=6737, show_default=True, type=Port(0), help="0 picks a free one.")
@click.option("-v", "--verbose", is_flag=True, help="Say more in each line: context, error, headers' names.")
@_with_options
def simulate(port: int, *, verbose: bool, **options: object) -> None:
    """Run a strict stand-in for the Responses API on this machine, to test agents against."""
    try:
        behaviour = _behaviour(options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    out = Output(sys.stdout.fileno())
    try:
        asyncio.run(_serve(behaviour, port, out, verbose=verbose))
    finally:
        out.close()


def _behaviour(options: Mapping[str, object]) -> Behaviour:
    """The defaults, and what was given on the command line."""
    default = Behaviour()
    names = {field.name for field in fields(Behaviour)}
    given = {name: value for name, value in options.items() if name in names and value not in {None, ()}}
    for name in ("api_keys", "error_omits"):
        if isinstance(value := given.get(name), tuple):
            given[name] = frozenset(value)
    link = Link(
        _one_of(options, "latency", ("latency_ms", 1 / 1_000), default.link.latency),
        _one_of(options, "uplink", ("uplink_mbit", 1_000_000 / 8), default.link.uplink),
    )
    if isinstance(path := options.get("recorded"), Path):
        given["model"] = _recorded(path)
    return replace(default, link=link, **given)  # type: ignore[arg-type] # click has checked the values' types


def _one_of(options: Mapping[str, object], name: str, scaled: tuple[str, float], default: float) -> float:
    """What either of two options says; the second counts by a factor. Raises UsageError where both are given."""
    other, factor = scaled
    here, there = options.get(name), options.get(other)
    if here is not None and there is not None:
        words = f"give --{name} or --{other.replace('_', '-')}, not both"
        raise click.UsageError(words, click.get_current_context(silent=True))
    if isinstance(there, float):
        return there * factor
    return here if isinstance(here, float) else default


def _recorded(path: Path) -> Recorded:
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        return Recorded([line["output"] for line in lines])
    except (ValueError, TypeError, KeyError) as error:
        raise click.UsageError(f"--recorded {path}: each line must be a JSON object with `output`: {error}") from error


async def _serve(behaviour: Behaviour, port: int, out: Output, *, verbose: bool) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    simulator = Simulator(behaviour, observer=lambda seen: out.line(line(seen, verbose=verbose)))
    try:
        base_url = await simulator.start(port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken" if taken else f"cannot be listened on: {error.strerror}"
        message = f"port {port} on 127.0.0.1 {reason}; choose another with --port (0: any free one)"
        raise click.ClickException(message) from None
    out.line(f"export OPENAI_BASE_URL={base_url}")
    await ended.wait()
    await simulator.close()


def line(seen: Seen, *, verbose: bool = False) -> str:
    """One line about a request: what came and how it was answered, never what was in it."""
    if isinstance(seen, Handshake):
        return f"upgrade {seen.status}" + (f" ws#{seen.connection}" if seen.connection else "")
    if not isinstance(seen, Entry):
        return f"{seen.method} {seen.path.partition('?')[0]} {len(seen.body)} bytes"
    way = f"ws#{seen.connection}" if seen.transport == "ws" else "http"
    lane = f" lane {seen.lane}" if seen.lane else ""
    context = "delta" if seen.previous_response_id else "full"
    warm = "" if seen.generate else " warm-up"
    kind = "successor" if seen.successor else "create"
    text = f"{kind} {seen.n} {way}{lane} {context}{warm} {seen.size} bytes: {seen.outcome}"
    if seen.outcome == "rejected":
        text += f" {seen.status} {seen.error_code or '-'}"
    if verbose:
        items = len(seen.context) if seen.context is not None else "no"
        text += f" · context {items} items · {seen.response_id or 'no response'}"
        text += f" · headers {' '.join(sorted({name.lower() for name, _ in seen.headers}))}"
    return text
