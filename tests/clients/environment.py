"""Environment: a client's packages, installed once into a folder of their own outside this tree."""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import platformdirs

ROOT = Path(__file__).parents[2]
DRIVERS = Path(__file__).parent / "drivers"
_INSTALL_SECONDS = 900.0
_DONE = "versions.json"


class InstallError(Exception):
    """A client could not be installed; the message ends with what the installer said."""


@dataclass(frozen=True)
class Packages:
    """What a client consists of. `none`: programs that must be there already, looked up on the PATH.

    `programs`: such programs beside the packages.
    """

    kind: Literal["pip", "npm", "none"]
    names: tuple[str, ...]
    programs: tuple[str, ...] = ()

    @property
    def wanted(self) -> list[str]:
        """The names alone, without the versions and the extras that are asked for."""
        if self.kind == "npm":
            return [re.sub(r"(?<=.)@.*", "", name) for name in self.names]
        return [re.split(r"[\[<>=~! ]", name)[0].lower() for name in self.names]

    @property
    def folder(self) -> str:
        """The name of their folder: one for each set of packages and each interpreter."""
        python = ".".join(map(str, sys.version_info[:2])) if self.kind == "pip" else ""
        digest = hashlib.sha256("\n".join((self.kind, python, *self.names)).encode()).hexdigest()[:8]
        return f"{self.kind}-{re.sub(r'[^a-z0-9]+', '-', self.names[0].lower()).strip('-')}-{digest}"


class _Package(msgspec.Struct):
    version: str


class _Listed(msgspec.Struct):
    """What `npm ls --json` says."""

    dependencies: dict[str, _Package]


@dataclass(frozen=True)
class Environment:
    """An installed client: its folder, and the version of each package that was asked for. `new`: just installed."""

    kind: Literal["pip", "npm", "none"]
    folder: Path
    versions: Mapping[str, str]
    new: bool

    def command(self, driver: str) -> list[str]:
        """The command line that runs a driver: the name of a Python module of drivers/, or of an .mjs file there."""
        if driver.endswith(".mjs"):
            own = self.folder / "node_modules" / ".bin" / "node"  # npm's `node`, where the client needs a newer one
            return [str(own) if own.exists() else "node", str(self.folder / "drivers" / driver)]
        python = self.folder / "bin" / "python" if self.kind == "pip" else Path(sys.executable)
        return [str(python), "-m", f"tests.clients.drivers.{driver}"]


def cache() -> Path:
    """Where clients are installed."""
    return Path(os.environ.get("OPENLINE_CLIENTS_CACHE") or platformdirs.user_cache_path("openline-clients"))


def bytecode() -> dict[str, str]:
    """The environment in which Python processes keep their bytecode here, and not in this tree."""
    return {"PYTHONPYCACHEPREFIX": str(cache() / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}


async def installed(packages: Packages, *, fresh: bool = False) -> Environment:
    """The environment of these packages; made when it is not there, and made anew with `fresh`. InstallError."""
    folder = cache() / packages.folder
    folder.mkdir(parents=True, exist_ok=True)
    async with _alone(folder.with_suffix(".lock")):
        if new := fresh or not (folder / _DONE).exists():
            shutil.rmtree(folder)
            folder.mkdir()
            beside = await _there(Packages("none", packages.programs), folder)
            versions = {**await {"pip": _pip, "npm": _npm, "none": _there}[packages.kind](packages, folder), **beside}
            (folder / _DONE).write_bytes(msgspec.json.encode(versions))
        if packages.kind == "npm":  # an import is looked up from the file's own folder upwards
            shutil.copytree(
                DRIVERS,
                folder / "drivers",
                ignore=shutil.ignore_patterns("*.py*"),
                dirs_exist_ok=True,
            )
    return Environment(
        packages.kind,
        folder,
        msgspec.json.decode((folder / _DONE).read_bytes(), type=dict[str, str]),
        new,
    )


@contextlib.asynccontextmanager
async def _alone(lock: Path) -> AsyncIterator[None]:
    """One at a time installs into a folder."""
    with lock.open("w") as held:
        await asyncio.to_thread(fcntl.flock, held, fcntl.LOCK_EX)
        yield


async def _pip(packages: Packages, folder: Path) -> dict[str, str]:
    """A virtual environment, filled by this interpreter's pip; bytecode is written when it is first needed."""
    await _ran(folder, sys.executable, "-m", "venv", "--without-pip", str(folder))
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check")
    await _ran(folder, *pip, "install", "--quiet", "--no-compile", *packages.names)
    found = _distributions(folder)
    return {name: found[name] for name in dict.fromkeys([*packages.wanted, "openai"]) if name in found}


def _distributions(folder: Path) -> dict[str, str]:
    """The version of each package of a virtual environment."""
    (place,) = folder.glob("lib/python*/site-packages")
    return {each.name.lower(): each.version for each in importlib.metadata.distributions(path=[str(place)])}


async def _npm(packages: Packages, folder: Path) -> dict[str, str]:
    quiet = ("--loglevel=error", "--no-audit", "--no-fund", "--no-progress")
    await _ran(folder, "npm", "install", *quiet, "--prefix", str(folder), *packages.names)
    listed = await _ran(folder, "npm", "ls", "--json", "--depth=0", "--prefix", str(folder))
    found = msgspec.json.decode(listed, type=_Listed).dependencies
    return {name: found[name].version for name in sorted(packages.wanted)}


async def _there(packages: Packages, folder: Path) -> dict[str, str]:
    versions = {}
    for name in packages.names:
        if shutil.which(name) is None:
            raise InstallError(f"{name} is not on the PATH; install it with the system's package manager")
        words = re.search(rb"\d+\.\d+\S*", await _ran(folder, name, "--version"))
        versions[name] = words[0].decode() if words else "unknown"
    return versions


async def _ran(folder: Path, *command: str) -> bytes:
    """Run an installer to its end; gives its stdout."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _INSTALL_SECONDS)
    except TimeoutError:
        raise InstallError(f"{' '.join(command)}: not done after {_INSTALL_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # npm's own scripts, too
            await process.wait()
    if process.returncode:
        raise InstallError(f"{' '.join(command)}: exit status {process.returncode}\n{err.decode()[-2000:]}")
    return out
