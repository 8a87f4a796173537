"""An exchange: the recorded requests of one real client, and what the scripted server answered to each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.e2e.stack import Item

T = TypeVar("T")

FOLDER = Path(__file__).parent.parent / "data" / "captures"
# codex-ws-ws speaks WebSocket mode by itself: there is no stateless request in it.
RUNS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "codex-ws-ws")
# Headers of the hop that was recorded; the client of the test has its own.
_HOP = {"host", "connection", "content-length", "accept-encoding", "transfer-encoding"}


class _Request(msgspec.Struct):
    n: int
    method: str
    headers: list[tuple[str, str]]
    body: msgspec.Raw = msgspec.Raw(b"null")
    key_order: list[str] | None = None


class _Answer(msgspec.Struct):
    n: int
    output: list[dict[str, object]] | None = None


@dataclass(frozen=True)
class Exchange:
    """One recorded request, and the items that it was answered with."""

    raw: bytes
    headers: Mapping[str, str]
    output: tuple[Item, ...]

    @cached_property
    def body(self) -> dict[str, object]:
        """The request, parsed."""
        return msgspec.json.decode(self.raw, type=dict[str, object])

    @property
    def input(self) -> list[object]:
        """Its input items."""
        given = self.body["input"]
        return given if isinstance(given, list) else [given]

    def continues(self, earlier: "Exchange") -> bool:
        """Whether it sends back the earlier input, word for word, and something after it."""
        before = earlier.input
        return len(self.input) > len(before) and self.input[: len(before)] == before


def run(name: str) -> tuple[Exchange, ...]:
    """The stateless requests of a run, in order: its POSTs. A GET is a client asking for WebSocket mode."""
    folder = FOLDER / name
    answers = {answer.n: answer.output or [] for answer in _lines(folder / "responses.jsonl", _Answer)}
    requests = [request for request in _lines(folder / "requests.jsonl", _Request) if request.method == "POST"]
    return tuple(_exchange(request, answers[request.n]) for request in requests)


def _lines(path: Path, kind: type[T]) -> list[T]:
    return [msgspec.json.decode(line, type=kind) for line in path.read_bytes().splitlines() if line.strip()]


def _exchange(request: _Request, output: list[dict[str, object]]) -> Exchange:
    headers = {name.lower(): value for name, value in request.headers if name.lower() not in _HOP}
    fields = msgspec.json.decode(request.body, type=dict[str, msgspec.Raw])
    ordered = {name: fields[name] for name in request.key_order or fields}
    return Exchange(msgspec.json.encode(ordered), headers, tuple(output))
