"""Simulator: the listener, and the one place that wires the simulator's parts together."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from proxy.simulator.behaviour import Behaviour
from proxy.simulator.faults import Fault, Faults
from proxy.simulator.host import Host, Seen
from proxy.simulator.journal import Handshake, Journal, Request
from proxy.simulator.routes import Routes


class Simulator:
    """A strict stand-in for the Responses API, over HTTP and WebSocket on one loopback port.

    `observer` is called with each create, handshake and other request as soon as it has been answered.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, observer: Callable[[Seen], None] | None = None) -> None:
        self._host = Host(behaviour or Behaviour(), observer)
        self._runner: web.ServerRunner | None = None

    @property
    def behaviour(self) -> Behaviour:
        """What it was made with. Assign another value to change it for what comes next."""
        return self._host.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._host.behaviour = behaviour

    @property
    def journal(self) -> Journal:
        """The creates so far."""
        return self._host.journal

    @property
    def faults(self) -> Faults:
        """The faults to come."""
        return self._host.faults

    @property
    def handshakes(self) -> deque[Handshake]:
        """The upgrade requests so far."""
        return self._host.handshakes

    @property
    def requests(self) -> deque[Request]:
        """The other HTTP requests so far (neither creates nor control calls)."""
        return self._host.requests

    @property
    def connections(self) -> int:
        """Open WebSockets."""
        return len(self._host.sockets)

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> str:
        """Listen, and return the base URL to give to a client. OSError when the port is taken."""
        server = web.Server(
            Routes(self._host, self.strike).handle, handler_cancellation=True, auto_decompress=False, access_log=None
        )
        runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        bound = runner.addresses[0]
        address = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        return f"http://{address}:{bound[1]}{self._host.behaviour.base_path}"

    async def close(self) -> None:
        """Cut every connection and stop listening."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            for connection in runner.server.connections if runner.server else ():
                if connection.transport is not None:
                    connection.transport.abort()  # whatever waits on it ends
            await runner.cleanup()

    async def __aenter__(self) -> "Simulator":
        """Nothing is started yet: the port is for `start` to say."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close."""
        await self.close()

    async def strike(self, fault: Fault) -> None:
        """Let a fault of the place `now` happen to every open WebSocket."""
        if fault.where != "now":
            raise ValueError("Fault: only a fault of the place 'now' strikes at once; queue others in faults")
        self._host.faults.strike(fault)
        if fault.what == "forget":
            self._host.forget()
            return
        for socket in list(self._host.sockets.values()):
            with suppress(ConnectionError):  # it is closing already: the others are struck all the same
                await socket.strike(fault)

    async def drop_connections(self) -> None:
        """Reset every open WebSocket, and return when they are gone."""
        await self.strike(Fault("abort", "now"))
        await self.until(lambda: not self._host.sockets)

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until `condition()` holds, looking again at everything that is journaled; TimeoutError if never."""
        await self._host.watch.until(condition, seconds)
