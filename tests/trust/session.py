"""A session full of private strings, with an upstream that quotes them all and everything that can go wrong."""

import asyncio
import itertools
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

from tests.cli.process import ROOT, Command
from tests.fuzz.streams import Script, events
from tests.fuzz.upstream import BINARY, CLOSE, Create, Cut, frame
from tests.trust.markers import HEADERS, MARKERS, TEXTS

# Whatever was learned of the host in one turn, the next one is tried all the same.
TRYING = {
    "OPENLINE_UPSTREAM__VERIFIES_IDS": "yes",
    "OPENLINE_TIMEOUTS__FIRST_EVENT_SECONDS": "0.3",
    "OPENLINE_TIMEOUTS__SILENCE_SECONDS": "0.3",
    "OPENLINE_POOL__BREAKER_FAILURES": "1000",
    "OPENLINE_POOL__RECHECK_SECONDS": "0",
}
CREDENTIALS = {
    "Authorization": f"Bearer {HEADERS['key']}",
    "OpenAI-Organization": HEADERS["organisation"],
    "OpenAI-Project": HEADERS["project"],
    "api-key": HEADERS["api-key"],
    "x-openline-token": HEADERS["own token"],
}
ALL = " ".join(MARKERS.values())
NONE: Mapping[str, str] = {}


def reply(status: int, body: bytes, *more: bytes) -> bytes:
    """An HTTP answer."""
    head = b"\r\n".join([b"HTTP/1.1 %d Said" % status, b"content-length: %d" % len(body), *more, b"", b""])
    return head + body


def error(kind: str) -> bytes:
    """An error object that quotes everything."""
    return msgspec.json.encode({"type": kind, "status": 400, "error": {"message": ALL, "code": "bad", "param": ALL}})


WRONGS = (
    *("reject", "break off", "no json", "no event", "odd type", "odd first", "after", "binary"),
    *("bits", "close", "reset", "fail", "hollow", "hang"),
)


@dataclass
class Quoting:
    """An upstream that quotes all that is private in every answer, right or wrong."""

    serial: "itertools.count[int]" = field(default_factory=itertools.count)
    refusals: list[bytes] = field(default_factory=list)

    def answer(self, create: Create) -> Script:
        """As the last message of the create asks."""
        last = create.input[-1] if create.input else ""
        asked = str(last.get("content", "")) if isinstance(last, dict) else str(last)
        said = events(TEXTS["answer"], f"resp_{next(self.serial)}", create.lane, label="neutral")
        for event in (said[0], said[-1]):
            response = event["response"]
            if isinstance(response, dict):
                response |= {"store": create.body.get("store") is True, "instructions": TEXTS["instructions"]}
        script: Script = [frame(msgspec.json.encode(event)) for event in said]
        wrong: dict[str, Script] = {
            "reject": [frame(error("error"))],
            "break off": [*script[:4], frame(error("error"))],
            "no json": [*script[:3], frame(ALL.encode())],
            "no event": [*script[:3], frame(msgspec.json.encode([ALL]))],
            "odd type": [
                *script[:3],
                frame(msgspec.json.encode({"type": TEXTS["garbage"], "stream_id": TEXTS["garbage"]})),
            ],
            "odd first": [frame(msgspec.json.encode({"type": TEXTS["garbage"], "stream_id": TEXTS["garbage"]}))],
            "after": [*script, frame(msgspec.json.encode({"type": TEXTS["garbage"]}))],
            "binary": [*script[:3], frame(ALL.encode(), BINARY)],
            "bits": [*script[:3], frame(ALL.encode(), first=0xF0)],
            "close": [*script[:3], frame(struct.pack("!H", 1011) + ALL.encode()[:100], CLOSE), Cut("close")],
            "reset": [*script[:3], Cut("reset")],
            "fail": [
                frame(
                    msgspec.json.encode({"type": "response.failed", "response": {"id": ALL, "error": {"message": ALL}}})
                )
            ],
            "hollow": [frame(msgspec.json.encode({"type": "response.completed", "response": ALL}))],
            "hang": [*script[:5], Cut("silence")],
        }
        return next((made for name, made in wrong.items() if name in asked), script)

    def plain(self, create: Create) -> Script:
        """Plain HTTP, which quotes too."""
        asked = str(create.body.get("input", ""))
        if "bad line" in asked:
            return [f"HTTP/1.1 {ALL}\r\n\r\n".encode(), Cut("close")]
        if "bad chunk" in asked:
            return [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + ALL.encode(), Cut("close")]
        return [reply(400, error("error"), f"x-quoted: {HEADERS['key']}".encode())]

    def upgrade(self) -> Script | None:
        """A refusal, where one is due."""
        return [self.refusals.pop(), Cut("close")] if self.refusals else None


@dataclass(frozen=True)
class Running:
    """A proxy in a process of its own."""

    process: asyncio.subprocess.Process
    base: str

    async def end(self) -> bytes:
        """End it as Ctrl-C does; what it had printed. Its exit status must be 0."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = await asyncio.wait_for(self.process.communicate(), 20.0)
        assert self.process.returncode == 0
        return out


PLACES = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "TMPDIR", "HOME")


def furnished(folder: Path) -> Path:
    """The folder, with the places in it where a process may leave something."""
    for name in PLACES:
        (folder / name.lower()).mkdir(parents=True)
    return folder


@asynccontextmanager
async def run(
    folder: Path, url: str, *, python: Sequence[str] = (), code: str = "", environ: dict[str, str] | None = None
) -> AsyncIterator[Running]:
    """`openline run -v` in a process of its own, which keeps its files in `folder`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINE_")}
    places = {name: str(folder / name.lower()) for name in PLACES}
    start = ["-c", code] if code else ["-m", "proxy"]
    with (folder / "stderr").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *python, *start, "run", "-v", "--port", str(free_port()), "--upstream", url),
            env={**inherited, **places, "OPENLINE_LOG_FORMAT": "human", **TRYING, **(environ or {})},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield Running(process, await Command(process).base())
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def free_port() -> int:
    """A port that nobody listens on: with port 0 there would be no state file."""
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def asking(content: str, *, stream: bool, store: bool = False) -> dict[str, object]:
    """A create in which everything is private."""
    call = {
        "type": "function_call",
        "call_id": "c",
        "name": "f",
        "arguments": msgspec.json.encode({"a": TEXTS["arguments"]}).decode(),
    }
    return {
        "model": "m",
        "stream": stream,
        "store": store,
        "instructions": TEXTS["instructions"],
        "input": [
            {"role": "user", "content": TEXTS["prompt"]},
            {"type": "reasoning", "summary": [], "encrypted_content": TEXTS["encrypted"]},
            call,
            {"type": "function_call_output", "call_id": "c", "output": TEXTS["tool output"]},
            {"role": "user", "content": content},
        ],
    }


class Caller:
    """Asks for everything that can go wrong, and keeps what our own endpoints said."""

    def __init__(self, session: aiohttp.ClientSession, base: str, admin: str) -> None:
        self.session = session
        self.base = base
        self.root = base.removesuffix("/v1")
        self.admin = admin
        self.ours: list[bytes] = []

    async def create(
        self, content: str, *, stream: bool, store: bool = False, headers: Mapping[str, str] = NONE
    ) -> None:
        """One create; whatever comes of it."""
        body = asking(content, stream=stream, store=store)
        await self.post("/v1/responses", msgspec.json.encode(body), headers)

    async def post(self, target: str, body: bytes, headers: Mapping[str, str] = NONE) -> None:
        """One POST; whatever comes of it."""
        try:
            async with self.session.post(
                f"{self.root}{target}", data=body, headers={**CREDENTIALS, **headers}
            ) as response:
                await response.read()
        except aiohttp.ClientError:
            return

    async def raw(self, data: bytes) -> None:
        """Bytes that need not be HTTP."""
        host, _, port = self.root.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        writer.write_eof()
        try:
            await reader.read()
        except ConnectionError:
            return
        finally:
            writer.close()

    async def hang_up(self) -> None:
        """A stream that is not read to its end."""
        body = msgspec.json.encode(asking("hang", stream=True))
        async with self.session.post(f"{self.base}/responses", data=body, headers=CREDENTIALS) as response:
            await response.content.readany()

    async def look(self) -> None:
        """What our own endpoints say of themselves, on both listeners."""
        for url in (
            f"{self.root}/healthz",
            *(f"{self.admin}/{page}" for page in ("healthz", "status", "metrics", "x")),
        ):
            async with self.session.get(url) as response:
                self.ours.append(await response.read())


async def everything(caller: Caller, quoting: Quoting) -> None:
    """A session of successes and failures."""
    wrongs = [*WRONGS, "trip over"]
    for stream in (True, False):
        await caller.create("go on", stream=stream)
        await caller.create("go on", stream=stream, store=True)
        for wrong in wrongs:
            await caller.create(wrong, stream=stream)
    await asyncio.gather(*(caller.create(wrong, stream=True) for wrong in wrongs))
    for status in (401, 403, 404, 429, 500, 302):
        quoting.refusals += [reply(status, ALL.encode(), f"location: http://127.0.0.1:9/{HEADERS['key']}".encode())] * 2
        other = {"x-openline-mode": "full", "OpenAI-Project": f"{HEADERS['project']}-{status}"}
        await caller.create("go on", stream=True, headers=other)
        quoting.refusals.clear()
    for content in ("bad line", "bad chunk", "go on"):
        await caller.create(content, stream=True, headers={"Cookie": HEADERS["cookie"]})
        await caller.create(content, stream=False, headers={"x-auth-token": HEADERS["token"]})
    await caller.create("go on", stream=True, headers={"x-openline-mode": HEADERS["token"]})
    await caller.post("/v1/responses", ALL.encode())
    await caller.post("/v1/responses", b'{"model":"m","input":"%b' % TEXTS["prompt"].encode())
    await caller.post("/v1/responses", ALL.encode(), {"Content-Encoding": "gzip"})
    await caller.post(f"/v1/files?token={HEADERS['query']}", b"{}")
    await caller.post("/v1/responses", b"{}", {"Host": f"{HEADERS['token']}.example"})
    await caller.post("/v1/responses", b"{}", {"Origin": f"http://{HEADERS['token']}.example"})
    by_path = f"/t/{HEADERS['own token']}/v1/responses"
    await caller.post(by_path, msgspec.json.encode(asking("go on", stream=True)), {"x-openline-token": ""})
    await caller.post(f"/t/{HEADERS['token']}/v1/responses", b"{}", {"x-openline-token": HEADERS["token"]})
    await caller.raw(f"POST {ALL} HTTP/1.1\r\n{ALL}\r\nAuthorization: {HEADERS['key']}\r\n\r\n{ALL}".encode())
    head = f"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nAuthorization: {HEADERS['key']}\r\n"
    await caller.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n{ALL}\r\n".encode())
    await caller.raw(f"{head}Content-Length: 9000\r\n\r\n{ALL}\r\n".encode())
    await caller.raw(f"{head}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n".encode())
    await caller.hang_up()
    await caller.look()
