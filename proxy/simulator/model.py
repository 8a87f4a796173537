"""Model: what turns a prompt into an answer; `Recorded` answers with given items word for word."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Item = Mapping[str, object]
Status = Literal["completed", "incomplete", "failed"]


@dataclass(frozen=True)
class Answer:
    """What the model said: output items, and how it ended (`reason` of incomplete, `error` code and text)."""

    output: Sequence[Item]
    status: Status = "completed"
    reason: str = "max_output_tokens"
    error_code: str = "server_error"
    error_message: str = "The server had an error while processing your request. Sorry about that!"


class Model(Protocol):
    """Anything that answers. It must depend on its arguments alone for answers to be comparable."""

    def answer(self, prompt: str, settings: Item, items: Sequence[Item]) -> Answer:
        """Answer `prompt`, which renders `settings` and the context `items`."""
        ...


class Recorded:
    """Answers the n-th call with the n-th list of items, word for word: for replaying captures. Thread-safe."""

    def __init__(self, outputs: Iterable[Sequence[Item]]) -> None:
        self._outputs = iter([tuple(output) for output in outputs])
        self._lock = threading.Lock()

    def answer(self, prompt: str, settings: Item, items: Sequence[Item]) -> Answer:  # noqa: ARG002 - by protocol
        """The next recorded output; after the last one, the answer is a failure that says so."""
        with self._lock:
            output = next(self._outputs, None)
        if output is None:
            return Answer((), "failed", error_message="The simulator has no recorded answer left.")
        return Answer(output)
