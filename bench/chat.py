"""A chat: a conversation as a caller without state keeps it, and the text that fills it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from proxy.demo.task import task

Item = Mapping[str, object]
_WORDS = tuple(task(1, 1_000).outputs[0].split())


@dataclass(frozen=True, slots=True)
class Chat:
    """Settings, and every item so far."""

    settings: Mapping[str, object]
    items: tuple[Item, ...] = ()

    @property
    def body(self) -> dict[str, object]:
        """The next request, in full."""
        return {**self.settings, "input": list(self.items)}

    def said(self, text: str) -> "Chat":
        """What the user says next."""
        return replace(self, items=(*self.items, {"role": "user", "content": text}))

    def followed(self, output: Sequence[Item], result: str = "") -> "Chat":
        """The history after an answer: its items, and for each call in it what the tool gave back."""
        calls = [item["call_id"] for item in output if item["type"] == "function_call"]
        results = [{"type": "function_call_output", "call_id": call, "output": result} for call in calls]
        return replace(self, items=(*self.items, *output, *results))

    def reworded(self, text: str) -> "Chat":
        """The same with another last message of the user."""
        return replace(self, items=self.items[:-1]).said(text)


def chat(*, store: bool = False) -> Chat:
    """A conversation that has not begun: the demo's instructions and tools go along on every turn."""
    return Chat({**task(1, 1).settings, "store": store})


def text(size: int, *seed: object) -> str:
    """So many characters of words, the same for the same seed, and no others' for another."""
    name = "/".join(map(str, seed))
    words = random.Random(name).choices(_WORDS, k=size // 4)  # noqa: S311 - repeatable, not secret
    return f"{name}: {' '.join(words)}"[:size]
