"""The state folder: whether files can be there, and whose it is."""

import os
from pathlib import Path

from proxy.doctor.state import folder, state, trouble
from tests.cli.process import ran

US = os.geteuid()


def test_a_folder_that_is_not_there_can_be_made(tmp_path: Path) -> None:
    """Looking at it does not make it; one that is there is named."""
    path = tmp_path / "a" / "openline"
    assert state(path, US).text == f"{path} will be made"
    assert state(path, US).state == "ok"
    assert list(tmp_path.iterdir()) == []
    path.mkdir(parents=True, mode=0o700)
    assert (state(path, US).state, state(path, US).text) == ("ok", str(path))


def test_a_file_in_its_place_is_a_failure(tmp_path: Path) -> None:
    """Wherever on the way it is; the line names it, and says what to do."""
    file = tmp_path / "file"
    file.write_text("")
    found = state(file / "openline", US)
    assert (found.state, found.text) == ("failed", f"{file}/openline cannot be used: {file} is no folder")
    assert "XDG_STATE_HOME" in found.advice
    (tmp_path / "running").write_text("")
    assert state(tmp_path, US).text == f"{tmp_path} cannot be used: {tmp_path}/running is no folder"
    assert trouble(tmp_path) is None


def test_a_folder_of_another_user_is_a_failure(tmp_path: Path) -> None:
    """Who owns it can read what is there."""
    found = state(tmp_path, US + 1)
    assert (found.state, found.text) == ("failed", f"{tmp_path} belongs to another user")


def test_a_folder_that_others_write_to_is_noted(tmp_path: Path) -> None:
    """With the command that mends it."""
    tmp_path.chmod(0o722)
    found = state(tmp_path, US)
    assert (found.state, found.advice) == ("note", f"chmod 700 {tmp_path}")


async def test_the_doctor_and_the_paths_say_so(tmp_path: Path) -> None:
    """In the environment where no daemon can start, both end with 1."""
    file = tmp_path / "file"
    file.write_text("")
    environ = {"XDG_STATE_HOME": str(file)}
    status, out, _ = await ran("doctor", "--port", "0", "--upstream", "http://127.0.0.1:9/v1", environ=environ)
    assert status == 1
    assert f"failed  state       {file}/openline cannot be used: {file} is no folder; correct XDG_STATE_HOME" in out
    status, out, err = await ran("paths", environ=environ)
    assert (status, err) == (1, f"openline: {file}/openline cannot be used: {file} is no folder\n")
    assert out.startswith("settings ")


def test_it_is_the_one_that_is_used() -> None:
    """The name of the folder is Openline's."""
    assert folder().name == "openline"
