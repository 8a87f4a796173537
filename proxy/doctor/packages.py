"""The package `proxy`: whether this name leads to Openline, and to nothing else that is installed here."""

import importlib.machinery
import importlib.metadata
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import proxy
from proxy import __version__
from proxy.doctor.checks import Finding, failed, note, ok

_PACKAGE = "proxy"
_OURS = "openline"


def package() -> Finding:
    """Whether another distribution, or another folder of Python's path, has a package of the same name."""
    own = Path(proxy.__file__).resolve()
    others = _others()
    if others:
        return failed(
            "package",
            f"{', '.join(others)} has a package named {_PACKAGE} too: its files and Openline's overwrite each other",
            "give Openline an environment of its own (python3 -m venv), or uninstall the other and install Openline"
            " again",
        )
    # The first entry is the folder of the command, or the current one: it is another each time.
    found = list(_places(sys.path if sys.flags.safe_path else sys.path[1:]))
    strangers = [place for place in found if place != own]
    if not strangers:
        return ok("package", f"{_PACKAGE} is Openline {__version__}, in {own.parent}")
    if found[0] != own:
        return failed(
            "package",
            f"from other folders, Python finds {strangers[0]} under the name {_PACKAGE}, and not Openline's {own}",
            "take its folder out of PYTHONPATH, rename it, or give Openline an environment of its own"
            " (python3 -m venv)",
        )
    return note(
        "package",
        f"{strangers[0]} is named {_PACKAGE} too: it is behind Openline's on Python's path, and does no harm there",
    )


def _others() -> list[str]:
    """The other distributions that install this package, with their versions."""
    names = set(importlib.metadata.packages_distributions().get(_PACKAGE, ())) - {_OURS}
    return sorted(f"{name} {importlib.metadata.version(name)}" for name in names)


def _places(path: Sequence[str]) -> Iterator[Path]:
    """Where each folder of the path has this package, if it does."""
    for entry in path:
        spec = importlib.machinery.PathFinder.find_spec(_PACKAGE, [entry])
        if spec and spec.origin:  # a folder without code has none, and gives way to any that has
            yield Path(spec.origin).resolve()
