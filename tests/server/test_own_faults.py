"""Faults of our own: what a caller is told of one is a fixed sentence."""

import msgspec
import pytest

from proxy.config import Settings, Upstream
from proxy.errors import Problem
from proxy.server.app import Openline
from proxy.simulator import Fault, Simulator
from tests.server.wire import KEY, ask

CREATE = msgspec.json.encode({"model": "gpt-5.4", "store": False, "input": "hi"})


@pytest.mark.parametrize(("method", "path", "body"), [("GET", "/v1/models", None), ("POST", "/v1/responses", CREATE)])
async def test_the_caller_is_told_nothing_of_it(method: str, path: str, body: bytes | None) -> None:
    """Neither the exception nor its trace is in the answer to a turn, or to what passes through: the log has them."""
    async with Simulator() as sim:
        app = Openline(Settings(listen="127.0.0.1:0", upstream=Upstream(url=await sim.start())), lambda _outcome: None)
        url = await app.start()
        try:
            sim.faults.add(Fault("refuse", "upgrade", status=404))
            assert app._engine is not None
            await app._engine.http.close()  # so that using it is a bug
            response = await ask(url, method, path, [KEY], body)
        finally:
            await app.close()
    assert (response.status, response.body) == (500, Problem.FAULT.answer().body)
    told = " ".join(f"{name}: {value}" for name, value in response.headers).lower()
    assert "error" not in told
    assert "session" not in told
