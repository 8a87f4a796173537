"""A browser: headless Chromium that opens one page, whose script says to its own server what came of it."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

_SECONDS = 45.0
_PROGRAMS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
# The page's own work, and nothing that a browser does of itself.
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--disable-dev-shm-usage", "--disable-breakpad", "--password-store=basic", "--use-mock-keychain"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
async function went() { %s }
let told;
try { told = await went(); } catch (error) { told = {error: `${error.name}: ${error.message}`}; }
await fetch("/told", {method: "POST", body: JSON.stringify(told)});
</script>"""


class NoBrowser(Exception):
    """There is no Chromium here; the message says what to install."""


class Page:
    """A page of an origin of its own; its script is known when the browser asks for it."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.script = ""
        self.told: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Serve the page, and take what its script tells."""
        if request.path == "/told":
            self.told.put_nowait(await request.read())
            return web.Response(status=204)
        return web.Response(text=_PAGE % self.script, content_type="text/html")

    async def run(self, script: str) -> dict[str, object]:
        """Open the page in a browser; gives what `script` returns, or `error` with what it threw."""
        self.script = script
        async with _browser(self.origin), asyncio.timeout(_SECONDS):
            return msgspec.json.decode(await self.told.get(), type=dict[str, object])


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[Page]:
    """Serve a page on a loopback port: its origin is known, its script is not yet."""
    holder: list[Page] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        return await holder[0].answer(request)

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        holder.append(Page(f"http://127.0.0.1:{runner.addresses[0][1]}"))
        yield holder[0]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _browser(url: str) -> AsyncIterator[None]:
    """A browser that opens `url`, ended with all its processes. NoBrowser."""
    program = _program()
    with tempfile.TemporaryDirectory(prefix="openline-browser-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(program, *_FLAGS, f"--user-data-dir={profile}", url),
            env={**os.environ, "HOME": profile, "TMPDIR": profile},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()


def _program() -> str:
    """The path of a browser. NoBrowser."""
    for program in _PROGRAMS:
        if path := shutil.which(program):
            return path
    raise NoBrowser("no Chromium or Chrome on the PATH: install one (Debian's package is `chromium`)")
