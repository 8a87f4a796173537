"""Two creates that generate nothing: what the host does with a made-up response id, and with a lane."""

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from secrets import token_hex

import msgspec

from proxy.config import Settings
from proxy.core.events import TERMINAL, Event, Kind
from proxy.core.heads import Heads
from proxy.core.refusal import Refusal, refusal
from proxy.doctor.checks import Finding, Name, failed, limit, note, ok, skipped
from proxy.doctor.road import patience
from proxy.errors import TurnFault
from proxy.telemetry.logs import printable
from proxy.upstream.address import PoolKey
from proxy.upstream.capabilities import Host, capabilities
from proxy.upstream.dial import dialler
from proxy.upstream.pool import Pool
from proxy.upstream.way import Way

_LONGEST_MODEL = 60
_NO_MODEL_CODES = frozenset({"model_not_found", "model_not_supported", "invalid_model", "unknown_model"})
_NO_MODEL = re.compile(
    r"\bmodel\b.*\b(?:not (?:exist|found|supported|available)|unknown|invalid|unsupported)\b"
    r"|\b(?:unknown|invalid|unsupported|no such)\b.*\bmodel\b",
    re.IGNORECASE | re.DOTALL,
)
_NO_DELTAS = "Openline sends no deltas to such a host"


@dataclass(frozen=True, slots=True)
class _Said:
    """What the host said last of one create."""

    event: Event
    named: bool
    """Whether it echoed the lane's name."""

    @property
    def refused(self) -> Refusal | None:
        """The error that it answered with, if it did."""
        return refusal(self.event.frame) if self.event.kind is Kind.ERROR else None


class Creates:
    """Asks under one identity, each question on a connection of its own, as the proxy would open it."""

    def __init__(self, settings: Settings, way: Way, key: PoolKey, model: str) -> None:
        self._settings = settings
        self._way = way
        self._key = key
        self._model = model
        self._seconds = limit(settings.timeouts.first_event_seconds)
        self._known = capabilities(settings.upstream)

    async def ids(self) -> Finding:
        """Whether the host refuses to continue a response that there never was."""
        made_up = {"previous_response_id": f"resp_{token_hex(24)}", "input": []}
        said = await self._ask("ids", made_up, lanes=False)
        if isinstance(said, Finding):
            return said
        refused = said.refused
        if refused is None and said.event.type != "response.failed":
            return self._lost()
        if refused and refused.not_found:
            return self._safe()
        answer = f"error {refused.status}" if refused else "response.failed"
        return failed(
            "ids",
            f"not clear: a made-up response id is answered with {answer}, which may have another cause."
            f" {_NO_DELTAS} until it is",
            "see how the host is doing and what the account may do, then ask again",
        )

    async def lanes(self) -> Finding:
        """Whether one connection carries several conversations; without, each has its own."""
        short = {"input": [{"role": "user", "content": "Hello"}], "max_output_tokens": 16}
        said = await self._ask("lanes", short, lanes=True)
        if isinstance(said, Finding):
            return said
        refused = said.refused
        if refused and not refused.no_lanes and not said.named:
            text = f"not clear: a short create on a lane is answered with error {refused.status}"
            return failed("lanes", text, "see how the host is doing and what the account may do, then ask again")
        if said.named and not (refused and refused.no_lanes):
            text = "the host has lanes: conversations share connections"
            if self._known.lanes:
                return ok("lanes", text)
            return note("lanes", f"{text}, but Openline does not count on it", 'set upstream.lanes = "on"')
        text = "the host has no lanes: each conversation at work has a connection of its own"
        if self._known.lanes:
            return note("lanes", f"{text}, and Openline has to find out each time", 'set upstream.lanes = "off"')
        return note("lanes", text)

    async def _ask(self, name: Name, fields: Mapping[str, object], *, lanes: bool) -> _Said | Finding:
        """Send one create and hear it out; a finding says why nothing can be concluded."""
        try:
            said = await self._exchange(fields, lanes=lanes)
        except TurnFault as fault:
            return failed(name, f"no answer: {fault.detail}", "try again; if it stays so, ask whoever runs the host")
        except TimeoutError:
            text = f"no answer within {self._seconds:g} s"
            return failed(name, text, "see how the host is doing, and whether something on the way holds frames back")
        if said.refused and _minds_model(said.refused):
            model = printable(self._model, _LONGEST_MODEL)
            return skipped(name, f"the host does not know the model {model}", "name one of its own with --model")
        return said

    async def _exchange(self, fields: Mapping[str, object], *, lanes: bool) -> _Said:
        """Raises TurnFault, TimeoutError."""
        host = Host(
            replace(self._known, lanes=lanes),
            recheck_seconds=self._settings.pool.recheck_seconds,
            clock=time.monotonic,
        )
        heads = Heads(most=1, max_age=1.0, clock=time.monotonic)
        pool = Pool(self._settings, host, dialler(self._settings, self._way), heads)
        last: Event | None = None
        try:
            lease = await pool.lease(self._key, patience(limit(self._settings.timeouts.dial_seconds)))
            lane = {"stream_id": lease.named} if lease.named else {}
            frame = {
                "type": "response.create",
                **lane,
                "model": self._model,
                **fields,
                "generate": False,
                "store": False,
            }
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await lease.send(msgspec.json.encode(frame), None, None)
                    while last is None or last.kind not in TERMINAL | {Kind.ERROR}:
                        last = (await lease.batch(self._seconds))[-1]
            pool.give_back(lease)
        finally:
            await pool.close()
        if last is None:
            raise TimeoutError
        return _Said(last, lease.lane.lanes.proven)

    def _safe(self) -> Finding:
        text = "a made-up response id is refused: deltas are safe"
        if self._known.verifies_ids is False:
            return note("ids", f'{text}, but upstream.verifies_ids = "no" rules them out', "take that setting away")
        return ok("ids", text)

    def _lost(self) -> Finding:
        text = "a made-up response id is taken for a known one, so that a conversation could be lost unseen"
        if self._known.verifies_ids:
            return failed("ids", text, 'set upstream.verifies_ids = "no", or Openline would send deltas all the same')
        return failed("ids", f"{text}: {_NO_DELTAS}", "use another host, or have this one refuse ids it does not know")


def _minds_model(said: Refusal) -> bool:
    return said.code in _NO_MODEL_CODES or said.param == "model" or _NO_MODEL.search(said.message) is not None
