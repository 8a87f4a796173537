"""Calls: the requests that a client made over a tap, and how each was answered."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from proxy.simulator.bodies import decompress
from tests.clients.messages import Message, messages
from tests.clients.tap import Line

# What differs between two runs of one client whatever lies between it and the API.
_OWN = (
    (re.compile(r"\bresp_[0-9a-f]{16,}"), "resp_N"),
    (
        re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
        "UUID",
    ),
    (re.compile(r"\b127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"\breq(_|uest id: )[0-9a-zA-Z_-]{8,}|\bol_[0-9a-f]{8,}"), "REQUEST"),
)
_ANSWERED = {"assistant"}
_SAID = {"function_call", "custom_tool_call", "reasoning", "item_reference"}


@dataclass(frozen=True)
class Call:
    """One request. `status` is None where no answer began; `cut`: the answer did not come to its proper end."""

    method: str
    path: str
    body: object
    status: int | None
    route: str = ""
    reason: str = ""
    cut: bool = False

    @property
    def create(self) -> bool:
        """Whether a response is asked for."""
        return self.method == "POST" and self.path.endswith("/responses")

    @property
    def preflight(self) -> bool:
        """Whether a browser asks what its page may do: of calls that begin at once, each that finds no answer yet."""
        return self.method == "OPTIONS"

    @property
    def continues(self) -> bool:
        """Whether it is a create that sends back something that the model said."""
        items = self.body.get("input") if self.create and isinstance(self.body, dict) else None
        return isinstance(items, list) and any(_said(item) for item in items)


def calls(lines: Sequence[Line]) -> list[Call]:
    """The calls of all connections, in the order in which they began."""
    found: list[tuple[int, Call]] = []
    for line in lines:
        answers: Iterable[Message | None] = itertools.chain(messages(bytes(line.down)), itertools.repeat(None))
        found += [
            (line.when(asked.at), _call(asked, answer))
            for asked, answer in zip(messages(bytes(line.up)), answers, strict=False)
        ]
    return [call for _, call in sorted(found, key=lambda pair: pair[0])]


def plain(text: str, own: Iterable[tuple[re.Pattern[str], str]] = ()) -> str:
    """`text` with what is new in each run replaced by a word; `own` are further patterns of one client."""
    for pattern, word in (*_OWN, *own):
        text = pattern.sub(word, text)
    return text


def spelled(call: Call, own: Iterable[tuple[re.Pattern[str], str]] = ()) -> str:
    """The call as one line of text that is the same in two runs of one client."""
    return plain(
        f"{call.method} {call.path} {msgspec.json.encode(call.body, order='sorted').decode()}",
        own,
    )


def _call(asked: Message, answer: Message | None) -> Call:
    method, path, _ = asked.start.split(" ", 2)
    headers: Mapping[str, str] = answer.headers if answer else {}
    return Call(
        method,
        path,
        _decoded(asked),
        int(answer.start.split(" ")[1]) if answer else None,
        headers.get("x-openline-route", ""),
        headers.get("x-openline-reason", ""),
        cut=answer is None or _cut(answer),
    )


def _cut(answer: Message) -> bool:
    """Whether it ended too early; a stream whose last event came did not, though the client then hung up at once."""
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return b"response.completed" not in answer.body and b"[DONE]" not in answer.body
    return not answer.whole


def _decoded(asked: Message) -> object:
    """The body as JSON, or as text where it is none; codex compresses some."""
    body = decompress(asked.body, asked.headers.get("content-encoding", ""))
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")


def _said(item: object) -> bool:
    return isinstance(item, dict) and (item.get("role") in _ANSWERED or item.get("type") in _SAID)
