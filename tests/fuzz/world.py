"""A world to throw things at: a proxy in a loop of its own, driven from outside, in which every fault is noticed."""

import asyncio
import contextlib
import gc
import logging
import re
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings

from proxy.config import Settings, Timeouts
from tests.conftest import DEEP
from tests.e2e.stack import Reply, Stack, chat

T = TypeVar("T")
# Nothing takes longer, on a machine with other things to do too; reaching it means that something is stuck.
LIMIT = 20.0
# A caller or upstream that says nothing more is given up after this.
QUICK = Timeouts(dial_seconds=2.0, first_event_seconds=1.0, silence_seconds=1.0, write_seconds=2.0)
# The same where each silence is waited for many times.
IMPATIENT = Timeouts(
    dial_seconds=5.0, detour_seconds=0.25, first_event_seconds=0.5, silence_seconds=0.5, write_seconds=2.0
)
# What no caller is ever to see: our own inside, or the HTTP library's pages.
_INSIDE = re.compile(rb"Traceback|File \"|aiohttp|Server got itself in trouble|<html|msgspec\.|proxy/", re.IGNORECASE)


@dataclass
class Watched:
    """A loop, and everything that went wrong in it without anybody being told."""

    runner: asyncio.Runner
    faults: list[str] = field(default_factory=list)

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run `work` in the loop, within the limit."""
        return self.runner.run(_within(work))

    def check(self) -> None:
        """Nothing went wrong unseen; exceptions that nobody asked for are reported when they are collected."""
        gc.collect()
        assert self.faults == []


async def _within(work: Coroutine[object, object, T]) -> T:
    async with asyncio.timeout(LIMIT):
        return await work


class _Errors(logging.Handler):
    """Errors that any library logs: an exception that was not handled ends there."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        self._faults.append(f"{record.name}: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


@contextlib.contextmanager
def watched() -> Iterator[Watched]:
    """A loop whose unhandled exceptions, and any library's errors, are kept; at the end there must be none."""
    with asyncio.Runner() as runner:
        seen = Watched(runner)
        runner.get_loop().set_exception_handler(lambda _loop, context: seen.faults.append(repr(context)))
        errors = _Errors(seen.faults)
        logging.getLogger().addHandler(errors)
        try:
            yield seen
            seen.check()
        finally:
            logging.getLogger().removeHandler(errors)


@contextlib.contextmanager
def opened(seen: Watched, what: contextlib.AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Something asynchronous, open while the block runs."""
    exits = contextlib.AsyncExitStack()
    try:
        yield seen.run(exits.enter_async_context(what))
    finally:
        seen.run(exits.aclose())


async def still_works(running: Stack, text: str = "Say something. [[rounds=0]]") -> Reply:
    """A normal turn goes as it should: the process lives, nothing is stuck, and nothing of another turn is in it."""
    talk = chat(text)
    reply = await running.ask(talk.body, key="normal")
    assert (reply.status, reply.cut) == (200, False), reply.body
    direct = await running.ask(talk.body, key="normal", base=running.direct)
    assert reply.output == direct.output
    return reply


def is_clean(body: bytes) -> bool:
    """Whether an answer shows nothing of our inside."""
    return _INSIDE.search(body) is None


def thrown(examples: int) -> settings:
    """So many examples; without shrinking where time is short, as that has no limit that fits a budget."""
    return settings(
        max_examples=examples,
        phases=list(Phase) if DEEP else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
        report_multiple_bugs=False,
    )


def quick(**given: object) -> Settings:
    """Settings that give up soon."""
    return Settings(**{"timeouts": QUICK, **given})  # type: ignore[arg-type] # msgspec has no kwargs type
