"""A program: a proxy's way out in a process that runs out of file descriptors. Prints what became of each turn."""

import asyncio
import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.turns.turn import Turn
from tests.turns.wiring import Recorder, Wiring, on
from tests.upstream.peer import soon


@contextmanager
def starved() -> Iterator[None]:
    """No descriptor is left: the limit is what is in use, with the holes filled."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0], hard))
    os.close(held.pop())
    # The lowest free number is the limit now; those below it are all in use.
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def run(wiring: Wiring, turn: Turn) -> Recorder:
    """A whole turn."""
    sink = Recorder(wants_json=True)
    await soon(wiring.turns.run(turn, sink))
    return sink


async def main(base: str) -> dict[str, object]:
    """The turns."""
    told: dict[str, object] = {}
    async with Wiring(on(base)) as wiring:
        await run(wiring, wiring.turn())
        with starved():
            turn = wiring.turn(key="another")
            sink = await run(wiring, turn)
            told["made room"] = {
                "route": turn.outcome.route,
                "status": sink.answers[0].status,
                "faults": len(turn.outcome.faults),
                "sockets": wiring.pool.open_connections,
            }
    async with Wiring(on(base)) as wiring:
        # One HTTP connection is open, and no socket.
        await (await wiring.http.open(wiring.turn().origin)).read()
        with starved():
            turn = wiring.turn()
            sink = await run(wiring, turn)
            told["over http"] = {
                "route": turn.outcome.route,
                "reason": turn.outcome.reason,
                "status": sink.answers[0].status,
            }
    async with Wiring(on(base)) as wiring:
        with starved():
            sink = await run(wiring, wiring.turn())
            answer = sink.answers[0]
            told["nothing"] = {"status": answer.status, "code": json.loads(answer.body)["error"]["code"]}
        status = wiring.pool.status().breakers
        failures = len(wiring.pool._breakers)
        told["breakers"] = {"open": status.open, "half_open": status.half_open, "failures": failures}
        turn = wiring.turn()
        sink = await run(wiring, turn)
        told["after"] = {"route": turn.outcome.route, "status": sink.answers[0].status}
    return told


async def with_upstream() -> dict[str, object]:
    """The upstream is a process of its own, which does not starve."""
    upstream = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "simulate", "--port", "0"), stdout=asyncio.subprocess.PIPE
    )
    try:
        if upstream.stdout is None:
            raise TypeError("stdout is a pipe here")
        async with asyncio.timeout(20.0):
            base = (await upstream.stdout.readline()).decode().strip().removeprefix("export OPENAI_BASE_URL=")
        return await main(base)
    finally:
        upstream.kill()
        await upstream.wait()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(with_upstream())))
