"""A journal: lines in a file, in the form that is asked for, or nowhere."""

import json
from pathlib import Path

import pytest

from proxy.cli.execution.journal import Journal
from proxy.config import LogFormat
from proxy.core.reasons import Route
from proxy.turns.outcome import Outcome


@pytest.mark.parametrize(("form", "is_json"), [("auto", True), ("json", True), ("human", False)])
def test_lines_are_in_the_form_that_is_asked_for(form: LogFormat, is_json: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """A file is no terminal: JSON, unless a person is to read it."""
    with (tmp_path / "log").open("ab") as file:
        journal = Journal(file, form)
        journal.turn(Outcome("ol_1", Route.DELTA))
        journal.notice("hello")
        journal.close()
    turn, notice = (tmp_path / "log").read_text().splitlines()
    if is_json:
        assert (json.loads(turn)["route"], json.loads(notice)["text"]) == ("delta", "hello")
    else:
        assert (turn[:5], notice) == ("delta", "openline: hello")


def test_without_a_file_there_are_none() -> None:
    """Nothing is written, and nothing fails."""
    journal = Journal(None, "auto")
    journal.turn(Outcome("ol_1", Route.DELTA))
    journal.notice("hello")
    journal.close()
