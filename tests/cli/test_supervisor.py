"""The supervisor's files and program: whole or not at all, within a limit, and one line of what went wrong."""

import stat
from pathlib import Path

import pytest

from proxy.cli.services.supervisor import CommandFailed, Program, UnitFile
from tests.cli.stand_in import StandIn


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A program `ctl`."""
    stand_in = StandIn(tmp_path / "bin", "ctl")
    monkeypatch.setenv("PATH", stand_in.path)
    return stand_in


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Its folder is made, its mode is its own, and no draft stays, also where it cannot be put in place."""
    path = tmp_path / "a" / "b" / "unit"
    path.parent.mkdir(parents=True)
    path.write_text("old")
    path.chmod(0o644)
    file = UnitFile(path, "a test", "new é")
    assert not file.written
    file.write()
    assert file.written
    assert (path.read_text("utf-8"), stat.S_IMODE(path.stat().st_mode)) == ("new é", 0o600)
    (folder := tmp_path / "taken" / "unit").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        UnitFile(folder, "a test", "new").write()
    assert [each.name for each in folder.parent.iterdir()] == ["unit"]
    assert not UnitFile(folder, "a test", "new").written


def test_a_text_is_in_no_repr(tmp_path: Path) -> None:
    """It may hold a proxy's password."""
    assert "secret" not in repr(UnitFile(tmp_path, "a test", "secret"))


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo out; echo first >&2; echo 'last one ' >&2; exit 7", "last one"),
        ("echo only out; exit 7", "only out"),
        ("exit 7", "exit status 7"),
    ],
)
def test_what_fails_is_one_line(script: str, why: str, program: StandIn) -> None:
    """The last that it said, or its status where it said nothing."""
    program.answer("do", script)
    with pytest.raises(CommandFailed, match=f"^`ctl --user do it` failed: {why}$"):
        Program(("ctl", "--user")).do("do", "it")
    assert Program(("ctl", "--user")).ask("do").status == 7


def test_what_hangs_is_given_up(program: StandIn) -> None:
    """A limit ends the wait, and it is said that it may still happen."""
    program.answer("do", "exec sleep 50")
    with pytest.raises(CommandFailed, match=r"^`ctl do` has not ended after 0\.1 s, and may go on$"):
        Program(("ctl",), limit=0.1).do("do")


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may have no such program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match=r"^there is no ctl on this machine$"):
        Program(("ctl",)).ask("do")
