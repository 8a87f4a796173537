"""Environment: a client's packages, installed once into a folder of their own outside this tree."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
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
    """What a client consists of. `none`: programs that must be there already, looked up on the PATH."""

    kind: Literal["pip", "npm", "none"]
    names: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The name of their folder: one for each set of packages and each interpreter."""
        python = ".".join(map(str, sys.version_info[:2])) if self.kind == "pip" else ""
        digest = hashlib.sha256("\n".join((self.kind, python, *self.names)).encode()).hexdigest()[:8]
        return f"{self.kind}-{re.sub(r'[^a-z0-9]+', '-', self.names[0].lower()).strip('-')}-{digest}"


@dataclass(frozen=True)
class Environment:
    """An installed client: its folder, and the version of each package that was asked for."""

    kind: Literal["pip", "npm", "none"]
    folder: Path
    versions: Mapping[str, str]

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


async def installed(packages: Packages, *, fresh: bool = False) -> Environment:
    """The environment of these packages; made when it is not there, and made anew with `fresh`. InstallError."""
    folder = cache() / packages.folder
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_suffix(".lock")):
        if fresh or not (folder / _DONE).exists():
            shutil.rmtree(folder)
            folder.mkdir()
            versions = await {"pip": _pip, "npm": _npm, "none": _there}[packages.kind](packages, folder)
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
    )


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time installs into a folder."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


async def _pip(packages: Packages, folder: Path) -> dict[str, str]:
    await _ran(folder, sys.executable, "-m", "venv", str(folder))
    python = str(folder / "bin" / "python")
    await _ran(
        folder,
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *packages.names,
    )
    listed = await _ran(
        folder,
        python,
        "-m",
        "pip",
        "list",
        "--format=json",
        "--disable-pip-version-check",
    )
    found = {
        entry["name"].lower(): entry["version"] for entry in msgspec.json.decode(listed, type=list[dict[str, str]])
    }
    wanted = [re.split(r"[\[<>=~! ]", name)[0].lower() for name in packages.names]
    return {name: found[name] for name in dict.fromkeys([*wanted, "openai"]) if name in found}


async def _npm(packages: Packages, folder: Path) -> dict[str, str]:
    await _ran(
        folder,
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--prefix",
        str(folder),
        *packages.names,
    )
    listed = await _ran(folder, "npm", "ls", "--json", "--depth=0", "--prefix", str(folder))
    found = msgspec.json.decode(listed, type=dict[str, object])["dependencies"]
    return {name: str(entry["version"]) for name, entry in found.items()} if isinstance(found, dict) else {}


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
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _INSTALL_SECONDS)
    except TimeoutError:
        raise InstallError(f"{' '.join(command)}: not done after {_INSTALL_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise InstallError(f"{' '.join(command)}: exit status {process.returncode}\n{err.decode()[-2000:]}")
    return out
