"""Settings sources: defaults < file < environment < flags, each value with the place it came from."""

import contextlib
import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar, cast, get_args, get_origin

import msgspec
import msgspec.inspect
import platformdirs

from proxy.config import InvalidSettingError, Section, Settings
from proxy.token import BadToken, Token, read

S = TypeVar("S", bound=Section)

PREFIX = "OPENLINE_"
CONFIG_VARIABLE = "OPENLINE_CONFIG"
TOKEN_VARIABLE = "OPENLINE_TOKEN"  # noqa: S105 - the name of a variable
_TOKEN_FIELD = "token"  # noqa: S105 - the name of a field, which is no setting
FLAGS = MappingProxyType(
    {
        "listen": "--listen",
        "token_file": "--token-file",
        "upstream.url": "--upstream",
        "mode": "--mode",
        "match": "--match",
        "upstream.lanes": "--lanes",
        "verbose": "--verbose",
        "log_format": "--log-format",
    }
)


class ConfigError(Exception):
    """Settings that cannot be used; the line names the key, the source and what to do. `others`: further mistakes."""

    def __init__(self, line: str, others: Sequence[str] = ()) -> None:
        super().__init__(line)
        self.others = tuple(others)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `name` is the file's path, the variable or the flag; empty for a default."""

    kind: Literal["default", "file", "environment", "flag", "command"]
    name: str = ""

    def __str__(self) -> str:
        words = {"default": "default", "environment": "environment variable "}
        return words.get(self.kind, f"{self.kind} ") + self.name


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting: its dotted key, the type of its value, its default."""

    key: str
    type: object
    default: object

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.key.upper().replace(".", "__")

    @property
    def expects(self) -> str:
        """In words, what its value may be."""
        if get_origin(self.type) is Literal:
            return " or ".join(f'"{word}"' for word in get_args(self.type))
        return _expects(msgspec.inspect.type_info(self.type))


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and the origin of each by its dotted key."""

    settings: Settings
    origins: Mapping[str, Origin]
    file: Path | None


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as one source gave it, already of the right type."""

    value: object
    origin: Origin


def leaves(section: type[Section] = Settings, prefix: str = "") -> Iterator[Leaf]:
    """Every setting, in the order of the schema."""
    for field in msgspec.structs.fields(section):
        key = f"{prefix}{field.name}"
        if isinstance(field.default, Section):
            yield from leaves(type(field.default), f"{key}.")
        elif field.name != _TOKEN_FIELD:
            yield Leaf(key, field.type, field.default)


def load(flags: Mapping[str, object], environ: Mapping[str, str], *, config: Path | None) -> Loaded:
    """Read all sources. `flags` is by dotted key, `config` the `--config` file.

    Raises:
        ConfigError: a file that cannot be read, an unknown key, a wrong type or an impossible value.
    """
    known = {leaf.key: leaf for leaf in leaves()}
    given = {key: _Given(leaf.default, Origin("default")) for key, leaf in known.items()}
    file = _find_file(environ, config)
    mistakes: list[str] = []
    for key, value, origin in (
        *(_from_file(file, known) if file else ()),
        *_from_environment(environ, known),
        *((key, value, Origin("flag", FLAGS.get(key, key))) for key, value in flags.items()),
    ):
        with _noted(mistakes):
            given[key] = _Given(_converted(_known(key, known, value, origin), value, origin), origin)
    _check(mistakes)  # what they mean together is looked at once each is what it should be
    for key in ("token_file", "upstream.ca_file"):
        given[key] = replace(given[key], value=os.path.expanduser(str(given[key].value)))  # noqa: PTH111 - raises nothing
    _settle_pool(given)
    given[_TOKEN_FIELD] = _token(environ, given["token_file"])
    settings = _build(Settings, "", given, mistakes)
    _check(mistakes)
    return Loaded(settings, MappingProxyType({key: given[key].origin for key in known}), file)


@contextlib.contextmanager
def _noted(mistakes: list[str]) -> Iterator[None]:
    """Note the mistake that is raised within, and go on: all of them are told at once."""
    try:
        yield
    except ConfigError as error:
        mistakes.append(str(error))


def _check(mistakes: list[str]) -> None:
    if mistakes:
        raise ConfigError(mistakes[0], mistakes[1:])


def _find_file(environ: Mapping[str, str], config: Path | None) -> Path | None:
    """The file to read: one that was asked for must exist, the one in the usual place may."""
    if config is not None:
        return config
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    usual = platformdirs.user_config_path("openline") / "config.toml"
    return usual if usual.exists() else None


def _from_file(file: Path, known: Mapping[str, Leaf]) -> Iterator[tuple[str, object, Origin]]:
    """Key, value as it stands there, and where that is."""
    tables = {key.rpartition(".")[0] for key in known}
    for key, value in _flat(_document(file), tables):
        yield key, value, Origin("file", str(file))


def _document(file: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such settings file (given by --config or {CONFIG_VARIABLE})") from None
    except OSError as error:
        raise ConfigError(f"{file}: the settings file cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: the settings file is not UTF-8 (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: the settings file is not valid TOML: {error}") from None


def _flat(table: Mapping[str, object], tables: set[str], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The file's values by dotted key; tables end where the schema has no table of that name."""
    for name, value in table.items():
        if prefix + name in tables and isinstance(value, dict):
            yield from _flat(value, tables, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _from_environment(environ: Mapping[str, str], known: Mapping[str, Leaf]) -> Iterator[tuple[str, object, Origin]]:
    """The same of the variables; one that is none of a setting stands for the key."""
    by_variable = {leaf.variable: leaf for leaf in known.values()}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in {CONFIG_VARIABLE, TOKEN_VARIABLE}:
            continue
        leaf = by_variable.get(variable)
        value: object = environ[variable]
        if leaf and isinstance(leaf.default, tuple):
            value = [part.strip() for part in environ[variable].split(",") if part.strip()]
        yield leaf.key if leaf else variable, value, Origin("environment", variable)


def _known(key: str, known: Mapping[str, Leaf], value: object, origin: Origin) -> Leaf:
    if key in known:
        return known[key]
    if any(other.startswith(f"{key}.") for other in known):
        raise ConfigError(f"{key}: expected a table [{key}], got {_kind(value)} ({origin})")
    if origin.kind == "environment":
        near = _near(key, [*(leaf.variable for leaf in known.values()), CONFIG_VARIABLE, TOKEN_VARIABLE])
        raise ConfigError(f"{key}: no setting has this environment variable{near}")
    raise ConfigError(f"{key}: there is no such setting ({origin}){_near(key, list(known))}")


def _near(name: str, names: list[str]) -> str:
    """`: did you mean X?` for a near miss, or for the right name in the wrong table; else nothing."""
    same_end = [other for other in names if other.rpartition(".")[2] == name.rpartition(".")[2]]
    folded = {other.casefold(): other for other in names}
    close = [folded[near] for near in difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.75)]
    best = (same_end or close)[:1]
    return f": did you mean {best[0]}?" if best else ""


def _converted(leaf: Leaf, value: object, origin: Origin) -> object:
    try:
        return msgspec.convert(value, leaf.type, strict=origin.kind != "environment")
    except msgspec.ValidationError:
        raise ConfigError(f"{leaf.key}: expected {leaf.expects}, got {_kind(value)} ({origin})") from None


def _expects(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.IntType(ge=low):
            return f"a whole number of at least {low}"
        case msgspec.inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:.0f}"
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.VarTupleType():
            return "a list of texts"
        case _:
            return "a text"


def _kind(value: object) -> str:
    """What was given instead: numbers, switches and short words as they are, all else by kind."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"a text of {len(value)} characters"
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else "a date or time"


def _settle_pool(given: dict[str, _Given]) -> None:
    """No key may hold more sockets than there are; a default gives way to a smaller explicit total."""
    total, per_key = given["pool.max_connections"], given["pool.max_connections_per_key"]
    if cast("int", per_key.value) <= cast("int", total.value):  # both were converted to their leaf's type
        return
    if per_key.origin.kind != "default":
        raise ConfigError(
            f"pool.max_connections_per_key: {per_key.value} ({per_key.origin}) is more than"
            f" pool.max_connections, {total.value} ({total.origin}): lower the first or raise the second"
        )
    given["pool.max_connections_per_key"] = _Given(total.value, total.origin)


def _token(environ: Mapping[str, str], file: _Given) -> _Given:
    """The token that callers must show, from its file or its variable; None where neither is given."""
    if TOKEN_VARIABLE in environ:
        if file.value:
            raise ConfigError(f"token_file ({file.origin}) and {TOKEN_VARIABLE} both give a token: keep one of them")
        try:
            return _Given(Token(environ[TOKEN_VARIABLE]), Origin("environment", TOKEN_VARIABLE))
        except BadToken as bad:
            raise ConfigError(f"{TOKEN_VARIABLE}: {bad}") from None
    if not file.value:
        return _Given(None, Origin("default"))
    try:
        return _Given(read(Path(str(file.value))), file.origin)
    except BadToken as bad:
        raise ConfigError(f"token_file: {bad} ({file.origin})") from None


def _build(section: type[S], prefix: str, given: Mapping[str, _Given], mistakes: list[str]) -> S:
    """The section; the default one where a mistake is noted."""
    fields: dict[str, object] = {}
    for field in msgspec.structs.fields(section):
        if isinstance(field.default, Section):
            fields[field.name] = _build(type(field.default), f"{prefix}{field.name}.", given, mistakes)
        else:
            fields[field.name] = given[prefix + field.name].value
    with _noted(mistakes):
        try:
            return section(**fields)
        except InvalidSettingError as error:
            key = prefix + error.key
            raise ConfigError(f"{key}: {error.problem} ({given[key].origin})") from None
    return section()
