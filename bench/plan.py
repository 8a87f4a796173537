"""A plan: how large each benchmark is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes, all of which the command line sets. Times are in seconds, sizes in bytes."""

    agents: int = 100
    rounds: int = 10
    opening_bytes: int = 20_000
    """What the user of each agent says first."""
    output_bytes: int = 8_000
    """What each tool gives back."""
    tool_seconds: float = 0.2
    """The longest that a tool takes."""
    siblings: int = 8
    shared_bytes: int = 300_000
    """The history of the siblings' parent."""
    sibling_rounds: int = 3
    user_turns: int = 10
    conversations: tuple[int, int] = (50, 400)
    """Idle ones, at the first and at the second look."""
    conversation_bytes: int = 1_000_000
    conversation_turns: int = 20
    warm_turns: int = 1_700
    """Turns ahead of the first look, which fill what is bounded to its bounds."""
    attribution: bool = False
    model_seconds: float = 0.15
    """Until the model's first event."""
    event_seconds: float = 0.1
    """Until each further piece of its answer."""
    seed: int = 0
    relay_pieces: int = 20_000
    """Events of an answer that comes as fast as it is taken."""
    relay_paced: int = 4_000
    """Events of one that is paced."""
    relay_pace: float = 4_000.0
    """So many a second, on each stream."""
    relay_repeats: int = 5
    turns: int = 60
    turn_bytes: tuple[int, ...] = (10_000, 100_000, 1_000_000, 4_000_000)
    loop_rounds: int = 24
    """Tool rounds of the one agent on a slow link."""
    loop_output_bytes: int = 20_000
    """What each of its tools gives back."""
    loop_repeats: int = 3
    startups: int = 12
    crowd: int = 1_000
    """Conversations that have a socket each."""
    crowd_bytes: int = 100_000
    """The history of each, at first."""
    crowd_at_once: int = 16
