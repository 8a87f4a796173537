"""The package: anything else that is called `proxy` is found, and said where it is."""

import os
import sys
from pathlib import Path

import pytest

import proxy
from proxy.doctor.packages import package
from tests.cli.process import ROOT


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Python's path as of a command: its own folder, and behind it where Openline is."""
    found = ["/no/such/folder", str(ROOT)]
    monkeypatch.setattr(sys, "path", found)
    return found


def stranger(folder: Path) -> Path:
    """A module of the same name."""
    folder.mkdir()
    module = folder / "proxy.py"
    module.write_text("")
    return module


def test_openline_alone(path: list[str]) -> None:
    """Nothing else has the name: the line says where Openline is."""
    found = package()
    assert path
    assert (found.state, found.text) == ("ok", f"proxy is Openline {proxy.__version__}, in {ROOT / 'proxy'}")


def test_a_module_ahead_of_it(path: list[str], tmp_path: Path) -> None:
    """What is first elsewhere is found there in Openline's place: a failure that names the file."""
    module = stranger(tmp_path / "ahead")
    path.insert(1, str(module.parent))
    found = package()
    assert (found.state, str(module) in found.text) == ("failed", True)
    assert "PYTHONPATH" in found.advice


def test_a_module_behind_it(path: list[str], tmp_path: Path) -> None:
    """It does no harm, and is noted."""
    module = stranger(tmp_path / "behind")
    path.append(str(module.parent))
    found = package()
    assert (found.state, str(module) in found.text) == ("note", True)


def test_the_folder_of_the_command_does_not_count(path: list[str], tmp_path: Path) -> None:
    """It is the current one for `python -m proxy`, and another for `openline`."""
    path[0] = str(stranger(tmp_path / "here").parent)
    assert package().state == "ok"


def test_a_folder_without_code_is_no_package(path: list[str], tmp_path: Path) -> None:
    """Python passes it over where there is a real one."""
    (tmp_path / "proxy").mkdir()
    path.insert(1, str(tmp_path))
    assert package().state == "ok"


def test_another_distribution(path: list[str], tmp_path: Path) -> None:
    """One that installs files into the same package overwrites Openline's: a failure that names it."""
    about = tmp_path / "proxy_py-2.4.10.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: proxy.py\nVersion: 2.4.10\n")
    (about / "RECORD").write_text(f"proxy/__init__.py,,{os.linesep}")
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").touch()  # from Python 3.12 on, what is not there does not count
    path.append(str(tmp_path))
    found = package()
    assert (found.state, "proxy.py 2.4.10" in found.text) == ("failed", True)
    assert "environment of its own" in found.advice
