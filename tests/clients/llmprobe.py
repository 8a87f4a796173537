"""llmprobe: an independent test of OpenAI-compatible endpoints, at the simulator itself and through the proxy.

`python -m tests.clients.llmprobe` installs it, runs it twice and compares what it says of each assertion. The exit
status is 1 where it says something else through the proxy, but for what a socket cannot carry.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import click
import msgspec

from tests.clients.driver import surroundings
from tests.clients.environment import Packages, installed
from tests.clients.stage import stage

_PACKAGES = Packages("npm", ("llmprobe",))
_SECONDS = 300.0
# docs/headers.md: a socket carries no `x-ratelimit-…` per turn, and Openline invents none.
_KNOWN = {"responses-rate-limit-headers"}


class _Result(msgspec.Struct):
    """What it says of one assertion."""

    id: str
    outcome: str


class _Conformance(msgspec.Struct):
    results: list[_Result]


class _Report(msgspec.Struct):
    """Its report; what is not compared is left out."""

    conformance: _Conformance
    capability: dict[str, msgspec.Raw]
    agentic: dict[str, msgspec.Raw]

    @property
    def outcomes(self) -> dict[str, str]:
        """By assertion, and the two scores of the model."""
        scores = {
            f"{name} score": bytes(card["pct"]).decode()
            for name, card in (("model", self.capability), ("agent", self.agentic))
        }
        return {**{result.id: result.outcome for result in self.conformance.results}, **scores}


async def compared() -> tuple[dict[str, str], dict[str, str]]:
    """The outcomes at the simulator and through the proxy."""
    environment = await installed(_PACKAGES)
    program = environment.folder / "node_modules" / "llmprobe" / "bin" / "dist" / "llmprobe.mjs"
    return await _probed(program, proxied=False), await _probed(program, proxied=True)


async def _probed(program: Path, *, proxied: bool) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="openline-llmprobe-") as folder:
        # A file, as Node may end with part of what it wrote into a pipe not written.
        said = Path(folder) / "said.json"
        async with stage(proxied=proxied, simulate=(), environ={}) as scene:
            process = await asyncio.create_subprocess_exec(
                *(
                    "node",
                    str(program),
                    scene.base,
                    "-k",
                    "sk-any",
                    "-m",
                    "gpt-5.4",
                    "--no-bench",
                    "--no-save",
                    "--json",
                ),
                env=surroundings(Path(folder)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=os.open(said, os.O_WRONLY | os.O_CREAT, 0o600),
            )
            try:
                await asyncio.wait_for(process.wait(), _SECONDS)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return msgspec.json.decode(said.read_bytes(), type=_Report).outcomes


def main() -> None:
    """Print what differs, and how many are equal."""
    direct, proxied = asyncio.run(compared())
    differing = {name for name in {*direct, *proxied} if direct.get(name) != proxied.get(name)}
    for name in sorted(differing):
        known = " (a socket does not carry it)" if name in _KNOWN else ""
        click.echo(f"{name}: {direct.get(name)} directly, {proxied.get(name)} through the proxy{known}")
    click.echo(f"{len(direct) - len(differing)} of {len(direct)} verdicts are the same")
    sys.exit(bool(differing - _KNOWN))


if __name__ == "__main__":
    main()
