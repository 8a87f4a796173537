"""Steering: user input for responses that run, from its arrival to the response that carries it on."""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache

from proxy.simulator import validation
from proxy.simulator.errors import ApiError, RefusedError
from proxy.simulator.events import Event
from proxy.simulator.journal import Entry
from proxy.simulator.prompt import Item, items_of
from proxy.simulator.response import Response

QUEUE_LIMIT = 16
_ENDED_LIMIT = 1_000
_UNSUPPORTED = ("conversation", "context_management", "multi_agent")
_WHY = {
    "response_not_found": "Response with id '{}' is not available on this connection.",
    "response_already_completed": "Response with id '{}' has completed and takes no more steering input.",
    "response_not_active": "Response with id '{}' has ended and takes no more steering input.",
    "steering_not_supported": "Response with id '{}' does not support steering.",
    "too_many_pending_steers": f"At most {QUEUE_LIMIT} steering inputs can wait for response '{{}}'.",
    "successor_creation_failed": "No response continued from response '{}' with this input.",
}
_STUBS = {
    "function_call": ("function_call_output", ("call_id", "name")),
    "custom_tool_call": ("custom_tool_call_output", ("call_id",)),
    "computer_call": ("computer_call_output", ("call_id",)),
    "shell_call": ("shell_call_output", ("call_id",)),
    "apply_patch_call": ("apply_patch_call_output", ("call_id",)),
}


@dataclass(frozen=True)
class Steer:
    """One accepted submission: `input` as it came, for the response `response_id`."""

    id: str
    response_id: str
    input: object


@dataclass
class _Running:
    """A response that runs: `speak` sends an event in its stream; `lost` is input that its lane dropped for it."""

    lane: str | None
    supported: bool
    speak: Callable[[Event], Awaitable[None]]
    lost: list[Steer]
    queue: list[Steer] = field(default_factory=list)


class Steering:
    """What can be steered on one connection, and the input that waits. It dies with the connection.

    Accepted input is committed when the response that continues the steered one is created: by itself, or, where
    the steered one ended with calls that the client must answer, by the create that brings the outputs.
    """

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}
        self._ended: LRUCache[str, tuple[str | None, str]] = LRUCache(_ENDED_LIMIT)
        self._waiting: dict[str | None, list[Steer]] = {}

    async def submit(self, frame: Item, otherwise: Callable[[str | None, Event], Awaitable[None]]) -> None:
        """Take a steer frame in or refuse it. `otherwise` speaks on a lane for responses that do not run."""
        named = frame.get("previous_response_id")
        running = self._running.get(named) if isinstance(named, str) else None
        try:
            validation.check_steer(frame)
            steer = self._accept(str(named), frame.get("input"), running)
        except RefusedError as refused:
            event = _failed({"previous_response_id": named, "input": frame.get("input")}, refused.error)
        else:
            event = {"type": "response.steer.accepted", "steer": _reference(steer)}
        if running is not None:
            await running.speak(event)
        else:
            lane, _ = self._ended.get(named, (None, "")) if isinstance(named, str) else (None, "")
            await otherwise(lane, {**event, "sequence_number": 0})

    def waiting(self, entry: Entry) -> tuple[Item, ...]:
        """The accepted input that this create commits, in front of its own: for its parent, on its lane."""
        steers = self._waiting.get(entry.lane, ())
        return tuple(_items(steer for steer in steers if steer.response_id == entry.previous_response_id))

    def begin(self, response_id: str, entry: Entry, speak: Callable[[Event], Awaitable[None]]) -> None:
        """A response is created: what waited on its lane is committed, or lost when it continues another one."""
        waited = self._waiting.pop(entry.lane, [])
        lost = [steer for steer in waited if steer.response_id != entry.previous_response_id]
        body = entry.body or {}
        supported = entry.generate and not any(body.get(name) for name in _UNSUPPORTED)
        self._running[response_id] = _Running(entry.lane, supported, speak, lost)

    def stops(self, response_id: str, said: Sequence[Item]) -> bool:
        """Whether the response is to stop here, between two items: it is steered, and no call would stay open."""
        return bool(self._running[response_id].queue) and not _required_input(said)

    def end(self, response: Response) -> tuple[list[Event], bool]:
        """The response has ended: what is to be said after its last event, and whether a successor starts by itself."""
        ended = response.status == "completed"
        running = self._close(response.id, "response_already_completed" if ended else "response_not_active")
        told = list(_lost(running.lost))
        if not ended and response.incomplete_reason != "steered":
            return [*told, *_lost(running.queue)], False
        if not running.queue:
            return told, False
        self._waiting[running.lane] = running.queue
        required = _required_input(response.output)
        if required:
            told += [_pending(steer, required) for steer in running.queue]
        return told, not required

    def refuse(self, entry: Entry) -> list[Event]:
        """The create is answered with an error: the input that it carried, or that waited for it, is given back."""
        if entry.response_id in self._running:
            running = self._close(entry.response_id, "response_not_active")
            return [*_lost(running.lost), *_lost(running.queue)]
        if not self.waiting(entry):
            return []
        return list(_lost(self._waiting.pop(entry.lane)))

    def _accept(self, named: str, given: object, running: _Running | None) -> Steer:
        if running is None:
            raise RefusedError(_error(self._ended.get(named, (None, "response_not_found"))[1], named))
        if not running.supported:
            raise RefusedError(_error("steering_not_supported", named))
        if len(running.queue) >= QUEUE_LIMIT:
            raise RefusedError(_error("too_many_pending_steers", named))
        steer = Steer(f"steer_{secrets.token_hex(16)}", named, given)
        running.queue.append(steer)
        return steer

    def _close(self, response_id: str, code: str) -> _Running:
        running = self._running.pop(response_id)
        self._ended[response_id] = (running.lane, code)
        return running


def _items(steers: Iterable[Steer]) -> Iterator[Item]:
    for steer in steers:
        yield from items_of(steer.input)


def _required_input(output: Sequence[Item]) -> list[Event]:
    """A stub for each call in `output` that the client has to answer before anything else can follow."""
    answered = {item.get("call_id") for item in output if str(item.get("type")).endswith("_output")}
    stubs: list[Event] = []
    for item in output:
        kind = str(item.get("type"))
        if kind in _STUBS and item.get("call_id") not in answered:
            name, keys = _STUBS[kind]
            stubs.append({"type": name, **{key: item.get(key) for key in keys}})
        elif kind == "tool_search_call" and item.get("execution") == "client":
            stubs.append({"type": "tool_search_output", "call_id": item.get("call_id"), "execution": "client"})
        elif kind == "mcp_approval_request":
            stubs.append({"type": "mcp_approval_response", "approval_request_id": item.get("id")})
    return stubs


def _reference(steer: Steer) -> Event:
    return {"id": steer.id, "previous_response_id": steer.response_id}


def _pending(steer: Steer, required: list[Event]) -> Event:
    return {
        "type": "response.steer.pending",
        "steer": _reference(steer),
        "reason": "waiting_for_required_input",
        "required_input": required,
    }


def _lost(steers: Iterable[Steer]) -> Iterator[Event]:
    for steer in steers:
        told = {**_reference(steer), "input": steer.input}
        yield _failed(told, _error("successor_creation_failed", steer.response_id))


def _error(code: str, response_id: str) -> ApiError:
    return ApiError(400, _WHY[code].format(response_id), code)


def _failed(steer: Event, error: ApiError) -> Event:
    described = {"type": error.kind, "code": error.code, "message": error.message}
    return {"type": "response.steer.failed", "steer": steer, "error": described}
