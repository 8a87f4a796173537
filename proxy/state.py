"""The state file: stored heads that outlive the process. Fingerprints and ids only, readable by its owner alone."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes, token_hex

import msgpack
import msgspec
import platformdirs

from proxy import private
from proxy.config import Settings
from proxy.core.heads import StoredHead, StoredItem

_VERSION = 2
_KEY_SIZE = 32
# A million heads, by a setting fifty times the default, take less.
_MOST_BYTES = 256 * 1_048_576


class _Content(msgspec.Struct):
    version: int
    key: bytes
    saved_at: float
    """By the wall clock: ages go on while no process runs."""
    heads: list[StoredHead]
    items: list[StoredItem]


@dataclass(frozen=True, slots=True)
class State:
    """What one installation knows of stored responses, and the key that its fingerprints were made with."""

    key: bytes = field(default_factory=lambda: token_bytes(_KEY_SIZE), repr=False)
    heads: Sequence[StoredHead] = ()
    items: Sequence[StoredItem] = ()


class StateFile:
    """One file per listening address, so that two proxies never share one.

    One that is damaged, another user's, or no plain file: as if it were not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> State:
        """What was saved last, or a new key and nothing."""
        try:
            content = msgspec.msgpack.decode(private.read(self.path, _MOST_BYTES), type=_Content)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return State()
        if content.version != _VERSION or len(content.key) != _KEY_SIZE:
            return State()
        since = max(0.0, time.time() - content.saved_at)
        return State(
            content.key,
            [head._replace(age=max(0.0, head.age) + since) for head in content.heads],
            [item._replace(age=max(0.0, item.age) + since) for item in content.items],
        )

    def save(self, state: State) -> None:
        """Replace the file as a whole. Raises OSError."""
        kept = {"heads": list(state.heads), "items": list(state.items)}
        content = {"version": _VERSION, "key": state.key, "saved_at": time.time(), **kept}
        private.folder(self.path.parent)
        draft = self.path.with_name(f"{self.path.name}.{token_hex(4)}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - a mode is needed
                file.write(msgpack.packb(content))
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)


def state_file(settings: Settings) -> StateFile | None:
    """Where this proxy keeps its state; none on a port that is another one at the next start."""
    if not settings.heads.survive_restarts or settings.listen_port == 0:
        return None
    host = settings.listen_host.replace(":", "_")
    return StateFile(platformdirs.user_state_path("openline") / f"heads-{host}-{settings.listen_port}.msgpack")
