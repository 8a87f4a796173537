"""A stage: a simulator, a real `openline run` in front of it, and commands that find it."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from proxy.simulator import Simulator
from tests.cli.process import Command, ran, started
from tests.server.wire import Response, ask

KEY = ("Authorization", "Bearer marker-key")


@dataclass
class Stage:
    """One of them. `environ` is what its commands need to find it."""

    command: Command
    base: str
    environ: dict[str, str] = field(repr=False)

    async def openline(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Run a command to its end: exit status, stdout, stderr."""
        return await ran(*arguments, environ={**self.environ, **environ})

    async def json(self, *arguments: str) -> dict[str, object]:
        """What a command says as JSON."""
        status, out, err = await self.openline(*arguments)
        assert (status, err) == (0, "")
        return msgspec.json.decode(out, type=dict[str, object])

    async def create(self, items: list[object], *, run: str = "", **more: object) -> Response:
        """One create through it."""
        target = f"/openline-run/{run}/v1/responses" if run else "/v1/responses"
        body = msgspec.json.encode({"model": "gpt-5", "input": items, "store": False, **more})
        return await ask(self.base, "POST", target, [KEY], body)


@contextlib.asynccontextmanager
async def stage(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Stage]:
    """Set it up; `arguments` are further ones of `run`. Its state is in `folder`."""
    own = {"XDG_STATE_HOME": str(folder / "state"), "OPENLINE_UPSTREAM__VERIFIES_IDS": "yes", **(environ or {})}
    simulator = Simulator()
    try:
        url = await simulator.start()
        async with started("run", "--port", "0", "--upstream", url, *arguments, environ=own) as command:
            yield Stage(command, await command.base(), own)
    finally:
        await simulator.close()


def said(response: Response) -> list[object]:
    """What the model said, to be sent back."""
    return msgspec.convert(response.json()["output"], list[object])
