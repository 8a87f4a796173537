"""A measurement: one run of the agent over the emulated link, and what the simulator saw of it."""

import hashlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from proxy.config import Settings, Upstream
from proxy.demo.agent import Conversation, converse
from proxy.demo.task import Task
from proxy.server.app import Openline
from proxy.simulator import Behaviour, Entry, Link, Simulator
from proxy.simulator.host import Seen

Tick = Callable[[int, int], None]
"""Told after each turn: how many turns are done, and the bytes that went up so far."""

_SILENCE = 30.0
_KEPT_ENTRIES = 8  # of the simulator's journal: each holds a whole prompt


@dataclass(frozen=True)
class Run:
    """One run. `up_bytes` counts bodies and frames as the simulator read them: before compression, no headers."""

    conversation: Conversation
    prompts: tuple[bytes, ...]
    """A digest of every prompt that the model was given, in order."""
    up_bytes: int
    deltas: int
    http_turns: int
    upgrades: int

    @property
    def turns(self) -> int:
        """How often the model was asked."""
        return len(self.prompts)


class _Observer:
    """Takes down each create as the simulator ends it; what it keeps is small, whatever was sent."""

    def __init__(self, tick: Tick) -> None:
        self.prompts: list[bytes] = []
        self.up_bytes = 0
        self.deltas = 0
        self.http_turns = 0
        self._tick = tick

    def __call__(self, seen: Seen) -> None:
        """One create (or something else, which is not counted) has been answered."""
        if not isinstance(seen, Entry):
            return
        self.up_bytes += seen.size
        if seen.prompt is None:  # the proxy asked an unknown host whether it checks ids
            return
        self.deltas += seen.previous_response_id is not None
        self.http_turns += seen.transport == "http"
        self.prompts.append(hashlib.sha256(seen.prompt.encode("utf-8", "surrogatepass")).digest())
        self._tick(len(self.prompts), self.up_bytes)


async def measure(task: Task, link: Link, model_seconds: float, tick: Tick, *, proxied: bool) -> Run:
    """Run the agent once against a fresh simulator, straight or through a fresh proxy. Raises DemoError."""
    observer = _Observer(tick)
    behaviour = Behaviour(link=link, think_seconds=model_seconds, journal_limit=_KEPT_ENTRIES)
    silence = _SILENCE + model_seconds + link.delay(behaviour.frame_limit)
    async with Simulator(behaviour, observer=observer) as simulator, AsyncExitStack() as stack:
        base_url = await simulator.start()
        if proxied:
            # Port 0 also means: no state file, so an installed proxy's memory is neither read nor changed.
            settings = Settings(listen="127.0.0.1:0", admin_listen="off", upstream=Upstream(url=base_url))
            proxy = Openline(settings, lambda _: None)
            stack.push_async_callback(proxy.close)
            base_url = await proxy.start()
        conversation = await converse(base_url, task, silence)
        # The caller may read the last event before the simulator has closed its books on the turn.
        await simulator.until(lambda: len(observer.prompts) >= len(conversation.first_event_seconds))
        upgrades = sum(handshake.status == 101 for handshake in simulator.handshakes)
    return Run(
        conversation,
        tuple(observer.prompts),
        observer.up_bytes,
        observer.deltas,
        observer.http_turns,
        upgrades,
    )


def differences(direct: Run, proxied: Run) -> list[str]:
    """What the proxy changed, in words; empty when every prompt and the final answer are the same."""
    found = []
    if direct.turns != proxied.turns:
        found.append(f"the model was asked {direct.turns} times directly and {proxied.turns} times through the proxy")
    for number, (one, other) in enumerate(zip(direct.prompts, proxied.prompts, strict=False), 1):
        if one != other:
            found.append(f"the model was given another prompt on turn {number}")
            break
    if direct.conversation.answer != proxied.conversation.answer:
        found.append("the final answers differ")
    return found
