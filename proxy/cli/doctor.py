"""`openline doctor`: whether Openline can work here, line by line."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import click

from proxy.cli.flags import flags, with_flags
from proxy.cli.occupant import openline_at, program_at
from proxy.doctor.checks import Finding
from proxy.doctor.credential import USUAL, credential
from proxy.doctor.examination import Examination
from proxy.doctor.local import Occupant
from proxy.doctor.report import as_json, conclusion, line
from proxy.settings_sources import ConfigError, Loaded

_MODEL = "gpt-5-mini"


@click.command()
@with_flags
@click.option(
    "--api-key-env", metavar="NAME", help=f"The variable that holds the API key to ask with.  [default: {USUAL}]"
)
@click.option("--model", default=_MODEL, show_default=True, metavar="NAME", help="The model to ask with.")
@click.option("--json", "as_list", is_flag=True, help="Print the findings as a JSON list.")
def doctor(*, api_key_env: str | None, model: str, as_list: bool, **given: object) -> int:
    """Say whether Openline can work here: settings, ports, network, upstream.

    Asks the upstream a few times; nothing is generated. The key is sent to the upstream alone, and never shown. Exits
    with 1 if anything failed. docs/doctor.md says what each line means.
    """
    said = flags(**given)  # type: ignore[arg-type] # click has checked the values' types
    loaded: Loaded | ConfigError
    try:
        loaded = said.read()
    except ConfigError as error:
        loaded = error
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    findings: list[Finding] = []

    def report(finding: Finding) -> None:
        findings.append(finding)
        if not as_list:
            click.echo(line(finding, width))

    asyncio.run(Examination(loaded, os.environ, credential(os.environ, api_key_env), model, _who, report).run())
    click.echo(as_json(findings) if as_list else conclusion(findings))
    return int(any(finding.state == "failed" for finding in findings))


async def _who(place: Path | tuple[str, int]) -> Occupant:
    clause = await openline_at(place)
    return Occupant(clause is not None, clause or program_at(place))
