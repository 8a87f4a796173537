"""`openline demo`: an agent directly and through the proxy, over an emulated link, and what that changed."""

import asyncio
import os
import shutil
import sys
import textwrap
from dataclasses import dataclass

import click
import msgspec

from proxy.demo.agent import DemoError
from proxy.demo.measurement import Run, differences, measure
from proxy.demo.progress import Progress, use_colour
from proxy.demo.report import Comparison, Conditions, compare, table
from proxy.demo.task import task
from proxy.simulator import Link

_WIDEST = 100


@dataclass(frozen=True)
class _Plan:
    rounds: int
    output_bytes: int
    conditions: Conditions


@click.command()
@click.option("--rounds", default=20, show_default=True, type=click.IntRange(1, 100), help="Tool rounds of the agent.")
@click.option(
    "--output-kb",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0.1, 100),
    help="Size of each tool output: by so much the context grows.",
)
@click.option(
    "--latency-ms", default=50.0, show_default=True, type=click.FloatRange(0, 2_000), help="Emulated latency, one way."
)
@click.option(
    "--uplink-mbit",
    default=20.0,
    show_default=True,
    type=click.FloatRange(0, 100_000),
    help="Emulated uplink, Mbit/s; 0: no limit.",
)
@click.option(
    "--model-ms",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 60_000),
    help="Time of the model before each answer, the same in both runs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON instead of the table.")
def demo(
    *, rounds: int, output_kb: float, latency_ms: float, uplink_mbit: float, model_ms: float, as_json: bool
) -> None:
    """Show what Openline gains, emulated on this machine: no key, no network.

    A small agent calls tools in rounds and sends its whole, growing history each time: first directly to a simulated
    API over one kept-alive HTTP connection, then through the proxy. Both runs cross the same emulated link. Exits
    with 1 if the proxy changed any prompt that the model was given, or the final answer.
    """  # fmt: skip
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # all of it stays on this machine, whatever the shell says
    link = Link(latency_ms / 1_000, uplink_mbit * 1_000_000 / 8)
    plan = _Plan(rounds, round(output_kb * 1_000), Conditions(link, model_ms / 1_000))
    try:
        comparison = asyncio.run(_both(plan))
    except DemoError as error:
        raise click.ClickException(f"the demo stopped: {error}") from None
    conclude(comparison, as_json=as_json)


def conclude(comparison: Comparison, *, as_json: bool) -> None:
    """Print the figures; an error if the two runs differ."""
    if as_json:
        click.echo(msgspec.json.encode(comparison))
    else:
        _show(comparison)
    if not comparison.identical:
        raise click.ClickException(f"the proxy changed something: {'; '.join(comparison.differences)}")


async def _both(plan: _Plan) -> Comparison:
    work = task(plan.rounds, plan.output_bytes)
    link, model_seconds = plan.conditions.link, plan.conditions.model_seconds

    async def run(name: str, *, proxied: bool) -> Run:
        with Progress(sys.stderr, name, plan.rounds + 1) as progress:
            return await measure(work, link, model_seconds, progress, proxied=proxied)

    direct = await run("directly", proxied=False)
    proxied = await run("through Openline", proxied=True)
    return compare(direct, proxied, plan.conditions, differences(direct, proxied))


def _show(comparison: Comparison) -> None:
    """The table and the sentence, as wide as the terminal and no wider than is good to read."""
    colour = use_colour(sys.stdout)
    heading, *rows = table(comparison)
    click.echo()
    click.echo(click.style(heading, bold=True), color=colour)
    for row in rows:
        click.echo(click.style(row, fg=None if comparison.identical else "red"), color=colour)
    click.echo()
    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    click.echo(textwrap.fill(comparison.conditions, width))
