"""`python -m bench`: runs the benchmarks that are named, or all of them."""

import asyncio
import os
import shlex
import signal
import sys
import textwrap
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

import click
import msgspec

from bench.agents import agents
from bench.crowd import crowd
from bench.idle import idle
from bench.loop import loop
from bench.machine import machine
from bench.plan import Plan
from bench.process import BenchError
from bench.relay import relay
from bench.result import Figures, Result
from bench.shown import Show, nowhere, on_stderr
from bench.siblings import siblings
from bench.startup import startup
from bench.turns import turns
from bench.undo import undo

_WIDTH = 100
_DEFAULT = Plan()
BENCHMARKS: Mapping[str, Callable[[Plan, Show], Awaitable[Result]]] = MappingProxyType(
    {run.__name__: run for run in (agents, siblings, undo, idle, relay, turns, crowd, startup, loop)}
)
_SIZE = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0)


class Report(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    command: str
    machine: str
    results: dict[str, list[Figures]]
    emulated: bool = True


def _pair(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """Two counts, the second the larger."""
    first, _, second = value.partition(",")
    if not (first.isdecimal() and second.isdecimal() and 0 < int(first) < int(second)):
        raise click.BadParameter(f"expected two counts, the second the larger, as in 50,400; got {value!r}", ctx, param)
    return int(first), int(second)


def _sizes(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Any number of sizes."""
    parts = value.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"expected sizes in bytes, as in 10000,100000; got {value!r}", ctx, param)
    return tuple(map(int, parts))


@click.command(epilog=f"Benchmarks: {', '.join(BENCHMARKS)}.")
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)), metavar="[NAME]...")
@click.option("--list", "listed", is_flag=True, help="Name the benchmarks and end.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON instead of the tables.")
@click.option("--agents", type=_SIZE, default=_DEFAULT.agents, help="agents: how many.")
@click.option("--rounds", type=_SIZE, default=_DEFAULT.rounds, help="agents: tool rounds of each.")
@click.option("--opening-bytes", type=_SIZE, default=_DEFAULT.opening_bytes, help="agents: each one's first message.")
@click.option("--output-bytes", type=_SIZE, default=_DEFAULT.output_bytes, help="agents, siblings: each tool's result.")
@click.option("--tool-seconds", type=_SECONDS, default=_DEFAULT.tool_seconds, help="The longest that a tool takes.")
@click.option("--siblings", type=_SIZE, default=_DEFAULT.siblings, help="siblings: how many.")
@click.option("--shared-bytes", type=_SIZE, default=_DEFAULT.shared_bytes, help="siblings: their parent's history.")
@click.option("--sibling-rounds", type=_SIZE, default=_DEFAULT.sibling_rounds, help="siblings: tool rounds of each.")
@click.option("--user-turns", type=click.IntRange(min=4), default=_DEFAULT.user_turns, help="undo: turns before it.")
@click.option(
    "--conversations",
    callback=_pair,
    metavar="FEWER,MORE",
    default=",".join(map(str, _DEFAULT.conversations)),
    help="idle: how many, at two looks.",
)
@click.option("--conversation-bytes", type=_SIZE, default=_DEFAULT.conversation_bytes, help="idle: each one's history.")
@click.option("--conversation-turns", type=_SIZE, default=_DEFAULT.conversation_turns, help="idle: turns up to it.")
@click.option("--warm-turns", type=_SIZE, default=_DEFAULT.warm_turns, help="idle: turns that fill what is bounded.")
@click.option("--relay-pieces", type=_SIZE, default=_DEFAULT.relay_pieces, help="relay: events as fast as taken.")
@click.option("--relay-paced", type=_SIZE, default=_DEFAULT.relay_paced, help="relay: events of each paced stream.")
@click.option("--relay-pace", type=_SECONDS, default=_DEFAULT.relay_pace, help="relay: so many of them a second.")
@click.option(
    "--relay-repeats", type=_SIZE, default=_DEFAULT.relay_repeats, help="relay: runs, the least of which counts."
)
@click.option("--turns", type=click.IntRange(min=2), default=_DEFAULT.turns, help="turns: of each size and way.")
@click.option(
    "--turn-bytes",
    callback=_sizes,
    metavar="BYTES,…",
    default=",".join(map(str, _DEFAULT.turn_bytes)),
    help="turns: sizes of the requests.",
)
@click.option("--crowd", type=_SIZE, default=_DEFAULT.crowd, help="crowd: conversations, a socket each.")
@click.option("--crowd-bytes", type=_SIZE, default=_DEFAULT.crowd_bytes, help="crowd: each one's history.")
@click.option("--crowd-at-once", type=_SIZE, default=_DEFAULT.crowd_at_once, help="crowd: turns at a time.")
@click.option("--startups", type=_SIZE, default=_DEFAULT.startups, help="startup: starts of each command.")
@click.option("--loop-rounds", type=_SIZE, default=_DEFAULT.loop_rounds, help="loop: tool rounds.")
@click.option("--loop-output-bytes", type=_SIZE, default=_DEFAULT.loop_output_bytes, help="loop: each tool's result.")
@click.option(
    "--loop-repeats", type=_SIZE, default=_DEFAULT.loop_repeats, help="loop: runs of each way, the median of."
)
@click.option("--attribution", is_flag=True, help="idle: say which lines of code hold the bytes, too.")
@click.option("--model-seconds", type=_SECONDS, default=_DEFAULT.model_seconds, help="Until the model's first event.")
@click.option("--event-seconds", type=_SECONDS, default=_DEFAULT.event_seconds, help="Until each further piece.")
@click.option("--seed", type=int, default=_DEFAULT.seed, help="Of texts, and of what tools take.")
def bench(names: Sequence[str], *, listed: bool, as_json: bool, **sizes: object) -> None:
    """Measure Openline with real processes, emulated on this machine: no key, no network.

    Exits with 1 if a turn failed, or if the model was given another prompt than a request spells out.
    """  # fmt: skip
    if listed:
        for name, run in BENCHMARKS.items():
            click.echo(f"{name:<10}{(sys.modules[run.__module__].__doc__ or '').partition(': ')[2]}")
        return
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # all of it stays on this machine, whatever the shell says
    plan = msgspec.convert(sizes, Plan)
    show = on_stderr if sys.stderr.isatty() else nowhere
    try:
        results = asyncio.run(_run(names or tuple(BENCHMARKS), plan, show))
    except asyncio.CancelledError:
        raise click.Abort from None
    except BenchError as error:
        raise click.ClickException(str(error)) from None
    report = Report(_command(), machine(), {result.name: list(result.figures) for result in results})
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _tell(report, results)
    if not all(result.sound for result in results):
        raise click.ClickException("a turn failed, or was given another prompt than its request spells out")


async def _run(names: Sequence[str], plan: Plan, show: Show) -> list[Result]:
    task = asyncio.current_task()
    if task:
        # As Ctrl-C does: what was started is ended on the way out.
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return [await BENCHMARKS[name](plan, show) for name in names]


def _command() -> str:
    return shlex.join(("python", "-m", "bench", *sys.argv[1:]))


def _tell(report: Report, results: Sequence[Result]) -> None:
    for result in results:
        for line in result.lines():
            click.echo(line)
        click.echo()
    click.echo(textwrap.fill(f"Emulated, with `{report.command}` on {report.machine}.", _WIDTH))


if __name__ == "__main__":
    bench()
