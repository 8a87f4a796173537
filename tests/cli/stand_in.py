"""A stand-in for a program of the system: it writes down what it is asked, and answers as the test says."""

import os
from pathlib import Path


class StandIn:
    """The program `name` in a folder of its own, to be put first on the PATH. Unless told otherwise it succeeds."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._folder.mkdir()
        self._asked = folder / "asked"
        program = folder / name
        program.write_text(f"""#!/bin/sh
printf '%s\\n' "$*" >>'{self._asked}'
case $1 in --*) verb=$2 ;; *) verb=$1 ;; esac
if [ -e '{folder}'/answer-"$verb" ]; then . '{folder}'/answer-"$verb"; fi
""")
        program.chmod(0o755)

    @property
    def path(self) -> str:
        """A PATH on which it comes first."""
        return f"{self._folder}{os.pathsep}{os.environ['PATH']}"

    def answer(self, verb: str, script: str) -> None:
        """From now on do this, in the shell, when asked for `verb`."""
        (self._folder / f"answer-{verb}").write_text(f"{script}\n")

    def asked(self) -> list[str]:
        """What it was asked since the last time."""
        if not self._asked.exists():
            return []
        lines = self._asked.read_text().splitlines()
        self._asked.unlink()
        return lines
