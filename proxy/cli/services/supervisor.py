"""A supervisor: what runs this user's services, the files that it reads, and the program that talks to it."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Protocol

from proxy.cli.services.plan import Plan


class Unavailable(Exception):
    """Nobody is there who would run a service. The one line says why, and what to do."""


class CommandFailed(Exception):
    """The supervisor's program refused. The one line has its words."""


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A file that the supervisor reads. It may hold a proxy's password: it is for its owner alone."""

    path: Path
    purpose: str
    text: str = field(repr=False)

    @property
    def written(self) -> bool:
        """Whether it is there, with this text."""
        return self.path.is_file() and self.path.read_bytes() == self.text.encode()

    def write(self) -> None:
        """Replace what is there. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{token_hex(4)}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - a mode is needed
                file.write(self.text.encode())
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)


class Supervisor(Protocol):
    """What every supervisor can do. All but `files`, `paths` and `logs` raise CommandFailed; `check` Unavailable."""

    @property
    def paths(self) -> Sequence[Path]:
        """Where its files are, or would be."""

    @property
    def logs(self) -> str:
        """Where the lines of the service can be read."""

    def files(self, plan: Plan) -> Sequence[UnitFile]:
        """The files for this plan. Raises Unfit where they cannot say it."""

    def check(self) -> None:
        """Raise Unavailable unless a service could be installed now."""

    def install(self, files: Sequence[UnitFile]) -> None:
        """Write the files and go by them, from now on and at every login. Raises OSError."""

    def uninstall(self) -> None:
        """End the service, and take away the files. Raises OSError."""

    def start(self) -> None:
        """Listen, and run."""

    def stop(self) -> None:
        """End it, and listen no more, until the next login."""

    def states(self) -> Mapping[str, str]:
        """What the supervisor says of each of its parts; the first is the one that listens."""

    @property
    def listening(self) -> bool:
        """Whether it holds the address."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    status: int
    out: str
    err: str = ""

    @property
    def why(self) -> str:
        """What it says in the end, in one line."""
        lines = (self.err or self.out).strip().splitlines()
        return lines[-1].strip() if lines else f"exit status {self.status}"


@dataclass(frozen=True, slots=True)
class Program:
    """The program by which a supervisor is talked to, with the arguments that it always gets."""

    words: tuple[str, ...]
    limit: float = 120.0
    """In seconds; above what a service with usual settings takes to end."""

    def ask(self, *arguments: str) -> Said:
        """Run it. Raises CommandFailed only where it is not there or does not end."""
        found = shutil.which(self.words[0])
        if found is None:
            raise CommandFailed(f"there is no {self.words[0]} on this machine")
        words = (found, *self.words[1:], *arguments)
        try:
            ended = subprocess.run(  # noqa: S603 - arguments are ours, and go through no shell
                words, capture_output=True, text=True, errors="replace", timeout=self.limit, check=False
            )
        except subprocess.TimeoutExpired:
            said = " ".join((*self.words, *arguments))
            raise CommandFailed(f"`{said}` has not ended after {self.limit:g} s, and may go on") from None
        return Said(ended.returncode, ended.stdout, ended.stderr)

    def do(self, *arguments: str) -> None:
        """Run it. Raises CommandFailed where it says that it failed."""
        said = self.ask(*arguments)
        if said.status:
            raise CommandFailed(f"`{' '.join((*self.words, *arguments))}` failed: {said.why}")
