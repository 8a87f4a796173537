"""Rivals: what stands between a caller and the hose, each a process of its own."""

import contextlib
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.process import ROOT, BenchError, launched, started
from bench.stack import base_of
from proxy.tasks import Tasks

_FLOOR = ROOT / "bench" / "floor" / "relay.c"
_COMPILERS = ("cc", "gcc", "clang")
_NGINX = """
daemon off; master_process off; pid {home}/nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 64m; client_body_buffer_size 16m; proxy_buffering off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  upstream hose {{ server 127.0.0.1:{hose}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {scheme}://hose; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_ssl_verify off;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Rival:
    """One that listens."""

    name: str
    port: int
    pid: int

    def cpu(self) -> float:
        """The seconds of a core that it has taken so far, of all its threads. Raises BenchError where nobody tells."""
        try:
            threads = list(Path(f"/proc/{self.pid}/task").iterdir())
            return sum(int((thread / "schedstat").read_text("ascii").split()[0]) for thread in threads) / 1e9
        except (OSError, IndexError, ValueError) as error:
            raise BenchError(f"/proc does not tell what {self.name} takes of a core: run it on Linux") from error


Open = Callable[[Path, int], AbstractAsyncContextManager[Rival]]
"""Given a home and the hose's port, one that stands in front of it."""


@contextlib.asynccontextmanager
async def hose(home: Path, *options: str) -> AsyncIterator[Rival]:
    """The upstream itself, of which the caller may ask directly."""
    async with launched(home, (sys.executable, "-m", "bench.hose", *options)) as process:
        yield Rival("directly", int(await process.line()), process.pid)


@contextlib.asynccontextmanager
async def floor(home: Path, port: int) -> AsyncIterator[Rival]:
    """The floor relay."""
    async with launched(home, (str(home / "floor"), str(port))) as process:
        yield Rival("floor", int(await process.line()), process.pid)


@contextlib.asynccontextmanager
async def nginx(home: Path, port: int, *, scheme: str = "http") -> AsyncIterator[Rival]:
    """Nginx as a reverse proxy of plain HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        own: int = free.getsockname()[1]
    config = home / "nginx.conf"
    config.write_text(_NGINX.format(home=home, hose=port, port=own, scheme=scheme), "utf-8")
    command = (shutil.which("nginx") or "nginx", "-p", str(home), "-c", str(config))
    async with launched(home, command) as process:
        yield Rival("nginx", await process.listening(own), process.pid)


def openline(settings: Mapping[str, object] | None = None, *, scheme: str = "http") -> Open:
    """Openline over a WebSocket."""

    @contextlib.asynccontextmanager
    async def run(home: Path, port: int) -> AsyncIterator[Rival]:
        environ = {f"OPENLINE_{name}": str(value) for name, value in (settings or {}).items()}
        arguments = ("run", "--port", "0", "--upstream", f"{scheme}://localhost:{port}/v1", "--lanes", "off")
        async with started(home, *arguments, environ=environ) as process, contextlib.AsyncExitStack() as opened:
            tasks = Tasks()
            opened.push_async_callback(tasks.close)
            base = await base_of(process)
            tasks.start(process.listen(), "openline's lines")
            yield Rival("openline", int(base.rpartition(":")[2].partition("/")[0]), process.pid)

    return run


async def compiled(home: Path) -> bool:
    """Whether there is a floor relay in `home` now: it is compiled on the spot, where a compiler is."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        return False
    async with launched(home, (compiler, "-O2", "-o", str(home / "floor"), str(_FLOOR))) as process:
        return await process.ended() == 0


def has_nginx() -> bool:
    """Whether it is installed."""
    return shutil.which("nginx") is not None
