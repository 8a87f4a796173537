"""Held conversations: many of one size, that a proxy can go on with."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.caller import Caller, Tools, Turn
from bench.chat import Chat, chat, text
from bench.plan import Plan
from bench.process import BenchError
from bench.stack import Host

# Far below what a socket has lanes for: whatever the pool's way of choosing, none is given up.
_ON_A_SOCKET = 16
_WARM_BYTES = 40
# So many items fill the caches of what was read, thrice in all: their tables grow once more while old entries go.
_WARM_ROUNDS = 70
# More than traces are kept of: after these, each new one takes the room of one that is as large.
_SHAPED = 210
_SAMPLE = 10


@dataclass(frozen=True, slots=True)
class Kept:
    """How conversations are kept: by a lane each, or (`store`) by the API, in so many turns."""

    store: bool
    turns: int
    plan: Plan

    @property
    def host(self) -> Host:
        """It has lanes, and its model answers at once."""
        return Host(lanes=True)

    @property
    def name(self) -> str:
        """For a table."""
        return "stored" if self.store else "lanes"

    @property
    def keys(self) -> int:
        """How many API keys the callers have: each has one socket, which is open from the start to the end."""
        return 1 if self.store else -(-self.plan.conversations[1] // _ON_A_SOCKET)

    @property
    def settings(self) -> Mapping[str, object]:
        """The proxy's: one socket for each key, and room to remember every turn."""
        remembered = max(20_000, 4 * self.plan.conversations[1] * self.turns)
        sockets = {"POOL__MAX_CONNECTIONS": max(128, self.keys), "POOL__MAX_CONNECTIONS_PER_KEY": 1}
        return {**sockets, "HEADS__MAX_COUNT": remembered}

    @property
    def creates(self) -> int:
        """How many turns it takes in all."""
        return self.keys + self.plan.warm_turns + self.plan.conversations[1] * self.turns + _SAMPLE


class Held:
    """The conversations of one proxy. Of most nothing is kept here: a few are asked to go on in the end."""

    def __init__(self, kept: Kept, caller: Caller) -> None:
        self._kept = kept
        self._plan = kept.plan
        self._caller = caller
        self._count = 0
        self._last: dict[int, Turn] = {}
        most = kept.plan.conversations[1]
        self._sampled = {at * most // _SAMPLE for at in range(_SAMPLE)}

    @property
    def turns(self) -> list[Turn]:
        """The last turns of those that are sampled."""
        return list(self._last.values())

    async def warm(self) -> None:
        """Open each key's socket, then fill what is bounded to its bounds. None of it can be continued.

        The last ones of these turns have as many items as the conversations.
        """
        for key in range(self._kept.keys):
            await self._caller.ask(_cut(self._opening("open")), key=f"bench-{key}")
        for at in range(self._plan.warm_turns):
            rounds = _WARM_ROUNDS if at < self._plan.warm_turns - _SHAPED else self._rounds
            await self._caller.ask(_cut(self._brought(f"warm{at}", rounds, _WARM_BYTES)), key="bench-0")

    async def grow(self, count: int) -> None:
        """Let there be so many conversations. Raises BenchError where one fails."""
        while self._count < count:
            turn = await self._converse(self._count)
            if turn.error:
                raise BenchError(f"idle: conversation {self._count + 1} failed: {turn.error}")
            if self._count in self._sampled:
                self._last[self._count] = turn
            self._count += 1

    async def sample(self) -> list[Turn]:
        """One more turn of a few."""
        return [
            await self._caller.ask(turn.asked.followed(turn.output).said("Go on. [[rounds=0]]"), key=self._key(number))
            for number, turn in self._last.items()
        ]

    def _key(self, number: int) -> str:
        return f"bench-{number % self._kept.keys}"

    async def _converse(self, number: int) -> Turn:
        """One conversation, to its last turn: as it went on, or as a caller brings it who was elsewhere before."""
        size = self._plan.conversation_bytes // self._rounds
        if self._kept.turns == 1:
            return await self._caller.ask(self._brought(str(number), self._rounds, size), key=self._key(number))
        results = [text(size, "idle", number, at) for at in range(self._rounds)]
        turns = await self._caller.work(self._opening(str(number)), results, Tools(0.0), key=self._key(number))
        return turns[-1]

    def _opening(self, name: str) -> Chat:
        order = f"[[rounds={self._rounds} calls=1 reasoning=0]]"
        return chat(store=self._kept.store).said(f"Task {name}. {order}")

    def _brought(self, name: str, rounds: int, size: int) -> Chat:
        """A history with all of its tool calls, whose results have so many bytes each."""
        history = self._opening(name)
        for at in range(rounds):
            call = {"type": "function_call", "call_id": f"call_{name}_{at}", "name": "read_file", "arguments": "{}"}
            history = history.followed([call], text(size, "brought", name, at))
        return history

    @property
    def _rounds(self) -> int:
        return max(1, self._plan.conversation_turns - 1)


def _cut(asked: Chat) -> Chat:
    """Such that its answer is too short to be whole: then there is nothing to go on from, and the lane stays free."""
    return replace(asked, settings={**asked.settings, "max_output_tokens": 15, "tool_choice": "none"})
