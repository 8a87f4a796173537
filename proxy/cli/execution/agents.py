"""Agents: what a command needs in its words and its environment to go through Openline, each fact with its source."""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple
from urllib.parse import urlsplit

# Where clients look for the address of the API: docs/clients.md says which looks where. The first counts most.
VARIABLES: tuple[str, ...] = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
RUN_MARK = "/openline-run/"
"""What `openline exec` puts ahead of the path."""
_NO_PROXY = ("NO_PROXY", "no_proxy")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Programs that run another, and their options that take a value: `npx --help`, `bunx --help`, `node --help`.
_LAUNCHERS: Mapping[str, frozenset[str]] = {
    "npx": frozenset({"-p", "--package", "-c", "--call", "-w", "--workspace", "--prefix", "--cache", "--registry"}),
    "bunx": frozenset({"-p", "--package"}),
    "node": frozenset({"-r", "--require", "--import", "--loader", "-C", "--conditions", "--env-file"}),
}


class Address(NamedTuple):
    """Where a command would go without us, and who says so."""

    where: str
    url: str


@dataclass(frozen=True, slots=True)
class OwnSetting:
    """The key of an agent's own TOML file that names the address: what it would go by without us."""

    variable: str
    """Names the folder; without it the folder is `folder`, in the home."""
    folder: str
    file: str
    key: str

    def read(self, environ: Mapping[str, str]) -> Address | None:
        """What it says; None where it says nothing."""
        folder = environ.get(self.variable) or os.path.join(environ.get("HOME", "~"), self.folder)  # noqa: PTH118 - Path raises
        file = Path(folder, self.file)
        try:
            said = tomllib.loads(file.read_text("utf-8")).get(self.key)
        except (OSError, ValueError):  # none there, or one that the agent itself will complain of
            return None
        return Address(f"{self.key} in {file}", said) if isinstance(said, str) and said else None


@dataclass(frozen=True, slots=True)
class Agent:
    """One that needs more than OPENAI_BASE_URL. In its words `{base}` stands for the base URL."""

    name: str
    source: str
    """How the facts are known."""
    words: tuple[str, ...] = ()
    """Put ahead of its own arguments."""
    reads_variables: bool = True
    """Whether it goes where OPENAI_BASE_URL leads."""
    options: frozenset[str] = frozenset()
    """Those that take KEY=VALUE, as `words` does."""
    keys: re.Pattern[str] = re.compile(r"(?!)")
    """The keys by which the arguments choose an address or a provider themselves."""
    flags: frozenset[str] = frozenset()
    """Flags that do so, too."""
    own: OwnSetting | None = None
    silent: str = ""
    """Why it may make no call to us all the same, if not for want of that."""

    def chooses(self, arguments: Sequence[str]) -> bool:
        """Whether the arguments say themselves where to go."""
        ended = arguments.index("--") if "--" in arguments else len(arguments)
        for before, word in zip(("", *arguments), arguments[:ended], strict=False):
            option, _, value = word.partition("=")
            given = [value] if option in self.options else [word] if before in self.options else []
            given += [word[2:].removeprefix("=")] if word[:2] in self.options else []
            if option in self.flags or any(self.keys.match(one.strip()) for one in given):
                return True
        return False


CODEX = Agent(
    "codex",
    source="docs/clients.md, codex in detail: measured with 0.169.0 (mode `flag`); `codex --help` for the options",
    words=("-c", 'openai_base_url="{base}"'),
    reads_variables=False,
    options=frozenset({"-c", "--config"}),
    keys=re.compile(r"(?:openai_base_url|model_provider|model_providers\..*)\s*="),
    flags=frozenset({"--oss", "--local-provider"}),
    own=OwnSetting("CODEX_HOME", ".codex", "config.toml", "openai_base_url"),
    silent="its settings may name a provider of its own: docs/clients.md#codex-in-detail",
)
PI = Agent(
    "pi",
    source="docs/clients.md, pi: measured with 0.87.1",
    silent="pi goes by ~/.pi/agent/models.json: docs/clients.md#pi",
)
AGENTS: Mapping[str, Agent] = {agent.name: agent for agent in (CODEX, PI)}


def agent(words: Sequence[str]) -> Agent | None:
    """The one that the command runs, if it is one that needs more than the environment."""
    at = _program(words)
    return AGENTS.get(_name(words[at])) if at < len(words) else None


def fitted(words: Sequence[str], base: str) -> list[str]:
    """The command's words, with what its agent needs to go to `base`."""
    known, at = agent(words), _program(words) + 1
    if known is None or known.chooses(words[at:]):
        return list(words)
    return [*words[:at], *(word.format(base=base) for word in known.words), *words[at:]]


def silence(words: Sequence[str]) -> str:
    """Why the command may have made no call to us; empty where that is as for any other."""
    known = agent(words)
    if known and known.chooses(words[_program(words) + 1 :]):
        return "its arguments say themselves where to go"
    return known.silent if known else ""


def environment(environ: Mapping[str, str], base: str, variables: Sequence[str] = VARIABLES) -> dict[str, str]:
    """The command's environment: the address in these variables, and no proxy on the way to it. All else stays."""
    # A client that reads one of the two spellings reads what it had in the other.
    had = [environ.get(name) or environ.get(other, "") for name, other in (_NO_PROXY, _NO_PROXY[::-1])]
    exempt = {name: _with_loopback(value) for name, value in zip(_NO_PROXY, had, strict=True)}
    return {**environ, **dict.fromkeys(variables, base), **exempt}


def named(words: Sequence[str], environ: Mapping[str, str]) -> list[Address]:
    """The addresses that the command would go to without us: none, or the first of which it may take any.

    For an agent that reads no variable they say nothing, but for one that an `openline exec` around it has set.
    """
    known = agent(words)
    own = known.own.read(environ) if known and known.own else None
    said = [Address(name, url) for name in VARIABLES if (url := environ.get(name, "").strip())]
    if known and not known.reads_variables:
        said = [one for one in said if RUN_MARK in one.url]
    return [*([own] if own else []), *said]


def leading(environ: Mapping[str, str], found: Sequence[Address]) -> tuple[str, ...]:
    """The variables that may lead to us, where these addresses were found: those that lead there, or are free.

    Free is an empty one where nothing was found. What leads elsewhere, or to a client's own default, is for other
    clients, with other keys: these would come to an upstream that they are not meant for.
    """
    urls = {one.url for one in found}
    said = {name: environ.get(name, "").strip() for name in VARIABLES}
    return tuple(name for name, url in said.items() if (url in urls if url else not urls))


def for_run(base: str, run: str, way: str = "") -> str:
    """The base URL by which turns are counted as those of this run; with `way` only who goes that way takes them."""
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}{RUN_MARK}{run}{f'.{way}' if way else ''}{parts.path}"


def _program(words: Sequence[str]) -> int:
    """Where the program is named: behind a launcher and its options. It may be none: then this is the end."""
    takes_value = _LAUNCHERS.get(PurePath(words[0]).name)
    if takes_value is None:
        return 0
    at = 1
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in takes_value else 1
    return min(at, len(words))


def _name(word: str) -> str:
    """`codex` of /usr/bin/codex, codex.js and @openai/codex@latest."""
    return re.sub(r"(?<=.)@.*", "", PurePath(word).name).removesuffix(".js")


def _with_loopback(value: str) -> str:
    """The list with this machine on it. A `*` alone is all there can be."""
    if value.strip() == "*":
        return value
    there = {entry.strip() for entry in value.split(",")}
    return ",".join((*([value] if value else []), *(host for host in _LOOPBACK if host not in there)))
