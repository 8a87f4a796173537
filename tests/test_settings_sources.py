"""The sources: what beats what, where each value came from, and the one line for each mistake."""

import itertools
import re
import tomllib
from pathlib import Path

import msgspec
import msgspec.inspect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import Settings
from proxy.settings_sources import FLAGS, ConfigError, Leaf, Origin, leaves, load

ROOT = Path(__file__).parent.parent
LEAVES = list(leaves())


@pytest.fixture(autouse=True)
def usual_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration folder, empty: the developer's own settings must not reach a test."""
    folder = tmp_path / "xdg"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


def written(path: Path, text: str) -> Path:
    """A settings file with this text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def value_of(settings: Settings, key: str) -> object:
    """The value of a setting by its dotted key."""
    value: object = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def refusal(
    *, text: str = "", environ: dict[str, str] | None = None, flags: dict[str, object] | None = None, at: Path
) -> str:
    """The line that these sources are refused with, the file's path written as FILE."""
    file = written(at / "my.toml", text)
    with pytest.raises(ConfigError) as refused:
        load(flags or {}, environ or {}, config=file)
    line = str(refused.value)
    assert "\n" not in line
    return line.replace(str(file), "FILE")


def test_without_sources_all_is_default() -> None:
    """Nothing given means the schema's defaults, each with that origin, and no file."""
    loaded = load({}, {"PATH": "/bin"}, config=None)
    assert loaded.settings == Settings()
    assert loaded.file is None
    assert loaded.origins == {leaf.key: Origin("default") for leaf in LEAVES}


def test_each_source_beats_the_one_before(tmp_path: Path) -> None:
    """Defaults < file < environment < flags, and the origin of each value says which one won."""
    text = 'mode = "off"\nmatch = "strict"\ndrain_seconds = 3\n[pool]\nwait_seconds = 0.5\n'
    file = written(tmp_path / "my.toml", text)
    environ = {"OPENLINE_MODE": "observe", "OPENLINE_MATCH": "relaxed"}
    loaded = load({"mode": "on"}, environ, config=file)
    settings = loaded.settings
    assert (settings.mode, settings.match, settings.drain_seconds) == ("on", "relaxed", 3.0)
    assert (settings.pool.wait_seconds, settings.pool.pong_seconds) == (0.5, 3.0)
    assert [str(loaded.origins[key]) for key in ("mode", "match", "drain_seconds", "pool.pong_seconds")] == [
        "flag --mode",
        "environment variable OPENLINE_MATCH",
        f"file {file}",
        "default",
    ]


def test_the_file_is_the_one_asked_for(tmp_path: Path, usual_folder: Path) -> None:
    """`--config` beats OPENLINE_CONFIG, which beats the file in the configuration folder; they do not add up."""
    usual = written(usual_folder / "openline" / "config.toml", "drain_seconds = 1.0\nverbose = true\n")
    named = written(tmp_path / "named.toml", "drain_seconds = 2.0\n")
    flagged = written(tmp_path / "flagged.toml", "drain_seconds = 3.0\n")
    environ = {"OPENLINE_CONFIG": str(named)}
    first, second, third = (
        load({}, {}, config=None),
        load({}, environ, config=None),
        load({}, environ, config=flagged),
    )
    assert [one.settings.drain_seconds for one in (first, second, third)] == [1.0, 2.0, 3.0]
    assert [one.settings.verbose for one in (first, second, third)] == [True, False, False]
    assert [one.file for one in (first, second, third)] == [usual, named, flagged]


def test_an_empty_config_variable_is_no_file() -> None:
    """OPENLINE_CONFIG set to nothing is as if it were not set."""
    assert load({}, {"OPENLINE_CONFIG": ""}, config=None).file is None


@pytest.mark.parametrize("by_flag", [True, False])
def test_a_file_that_was_asked_for_must_exist(tmp_path: Path, *, by_flag: bool) -> None:
    """A missing file is an error where it was named, by flag or by variable."""
    missing = tmp_path / "none.toml"
    environ = {} if by_flag else {"OPENLINE_CONFIG": str(missing)}
    with pytest.raises(ConfigError, match=re.escape(f"{missing}: no such settings file")):
        load({}, environ, config=missing if by_flag else None)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder, bytes that are no text and text that is no TOML are each refused in one line with the path."""
    (tmp_path / "bytes.toml").write_bytes(b"mode = '\xff'")
    written(tmp_path / "text.toml", "mode = on")
    for name, problem in (
        ("", "cannot be read: Is a directory"),
        ("bytes.toml", "is not UTF-8 (byte 8)"),
        ("text.toml", "is not valid TOML: Invalid value (at line 1, column 8)"),
    ):
        with pytest.raises(ConfigError) as refused:
            load({}, {}, config=tmp_path / name)
        assert str(refused.value) == f"{tmp_path / name}: the settings file {problem}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mod = 'on'", "mod: there is no such setting (file FILE): did you mean mode?"),
        ("zzz = 1", "zzz: there is no such setting (file FILE)"),
        ("zzz = {a = 1}", "zzz: there is no such setting (file FILE)"),
        (
            "[pool]\nmax_conections = 1",
            "pool.max_conections: there is no such setting (file FILE): did you mean pool.max_connections?",
        ),
        (
            "dial_seconds = 1",
            "dial_seconds: there is no such setting (file FILE): did you mean timeouts.dial_seconds?",
        ),
        ("pool = 3", "pool: expected a table [pool], got 3 (file FILE)"),
        ("mode = 'fast'", """mode: expected "on" or "observe" or "off", got 'fast' (file FILE)"""),
        (
            "[upstream]\nimages = 'auto'",
            """upstream.images: expected "socket" or "http", got 'auto' (file FILE)""",
        ),
        ("[mode]\na = 1", 'mode: expected "on" or "observe" or "off", got a table (file FILE)'),
        ("verbose = 'yes'", "verbose: expected true or false, got 'yes' (file FILE)"),
        ("verbose = 2001-01-01", "verbose: expected true or false, got a date or time (file FILE)"),
        ("listen = 6736", "listen: expected a text, got 6736 (file FILE)"),
        (f"mode = '{'x' * 41}'", 'mode: expected "on" or "observe" or "off", got a text of 41 characters (file FILE)'),
        ("allowed_hosts = 'a'", "allowed_hosts: expected a list of texts, got 'a' (file FILE)"),
        ("allowed_hosts = [1]", "allowed_hosts: expected a list of texts, got a list (file FILE)"),
        ("drain_seconds = -1", "drain_seconds: expected a number from 0 to 31536000, got -1 (file FILE)"),
        ("drain_seconds = inf", "drain_seconds: expected a number from 0 to 31536000, got inf (file FILE)"),
        ("drain_seconds = nan", "drain_seconds: expected a number from 0 to 31536000, got nan (file FILE)"),
        ("drain_seconds = true", "drain_seconds: expected a number from 0 to 31536000, got true (file FILE)"),
        (
            "[timeouts]\ndial_seconds = 0",
            "timeouts.dial_seconds: expected a number from 0.001 to 31536000, got 0 (file FILE)",
        ),
        (
            "[heads]\nmax_count = 0",
            "heads.max_count: expected a whole number of at least 1, got 0 (file FILE)",
        ),
        (
            "[limits]\nitems = 1.5",
            "limits.items: expected a whole number of at least 1, got 1.5 (file FILE)",
        ),
        ("[upstream]\nurl = 'ftp://a'", "upstream.url: must begin with http:// or https:// (file FILE)"),
        (
            "listen = '127.0.0.1'",
            "listen: '127.0.0.1' has no port: write it as 127.0.0.1:6736 (file FILE)",
        ),
        (
            "[upstream]\nidentity_headers = ['a b']",
            "upstream.identity_headers: 'a b' is not a header name (file FILE)",
        ),
        (
            "[pool]\nmax_connections = 4\nmax_connections_per_key = 5",
            (
                "pool.max_connections_per_key: 5 (file FILE) is more than pool.max_connections, 4 (file FILE):"
                " lower the first or raise the second"
            ),
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    """Each mistake is named by its key and the file, with the near name or what is expected."""
    assert refusal(text=text, at=tmp_path) == line


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        (
            "OPENLINE_POOL_MAX_CONNECTIONS",
            "4",
            (
                "OPENLINE_POOL_MAX_CONNECTIONS: no setting has this environment variable:"
                " did you mean OPENLINE_POOL__MAX_CONNECTIONS?"
            ),
        ),
        (
            "OPENLINE_mode",
            "on",
            "OPENLINE_mode: no setting has this environment variable: did you mean OPENLINE_MODE?",
        ),
        ("OPENLINE_XYZ", "1", "OPENLINE_XYZ: no setting has this environment variable"),
        (
            "OPENLINE_POOL__MAX_CONNECTIONS",
            "many",
            (
                "pool.max_connections: expected a whole number of at least 1, got 'many'"
                " (environment variable OPENLINE_POOL__MAX_CONNECTIONS)"
            ),
        ),
        (
            "OPENLINE_VERBOSE",
            "",
            "verbose: expected true or false, got '' (environment variable OPENLINE_VERBOSE)",
        ),
        (
            "OPENLINE_UPSTREAM__URL",
            "https://u:secret@host",
            (
                "upstream.url: must not hold a user or password: credentials come with each call"
                " (environment variable OPENLINE_UPSTREAM__URL)"
            ),
        ),
    ],
)
def test_a_mistake_in_the_environment_is_one_line(tmp_path: Path, variable: str, text: str, line: str) -> None:
    """Each mistake is named by the variable, with the near name or what is expected."""
    assert refusal(environ={variable: text}, at=tmp_path) == line


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("listen", "0.0.0.0:1", "listen: '0.0.0.0' is not a loopback address"),
        ("upstream.url", "http://a?b", "upstream.url: must not have a query (?…) (flag --upstream)"),
        ("mod", "on", "mod: there is no such setting (flag mod): did you mean mode?"),
        ("match", "x", 'match: expected "strict" or "faithful" or "relaxed", got \'x\' (flag --match)'),
    ],
)
def test_a_mistake_in_a_flag_is_one_line(tmp_path: Path, key: str, value: str, line: str) -> None:
    """Each mistake is named by its key and the flag as it is typed."""
    assert refusal(flags={key: value}, at=tmp_path).startswith(line)


def test_the_source_named_is_the_one_that_won(tmp_path: Path) -> None:
    """A value that two sources give is blamed on the one that counts."""
    line = refusal(text="listen = '127.0.0.1:1'", environ={"OPENLINE_LISTEN": "nowhere"}, at=tmp_path)
    assert line.endswith("(environment variable OPENLINE_LISTEN)")


def test_a_small_pool_needs_one_setting() -> None:
    """The default per key follows a smaller total down, and its origin says so."""
    loaded = load({}, {"OPENLINE_POOL__MAX_CONNECTIONS": "4"}, config=None)
    assert (loaded.settings.pool.max_connections, loaded.settings.pool.max_connections_per_key) == (4, 4)
    assert loaded.origins["pool.max_connections_per_key"].name == "OPENLINE_POOL__MAX_CONNECTIONS"


def test_lists_in_the_environment_are_comma_separated() -> None:
    """White space and empty parts do not count; an empty variable is an empty list."""
    variable = "OPENLINE_UPSTREAM__IDENTITY_HEADERS"
    for text, names in ((" x-team, x-user,", ("x-team", "x-user")), ("", ())):
        assert load({}, {variable: text}, config=None).settings.upstream.identity_headers == names


HEADER_NAMES = st.text("abcXYZ019-_.", min_size=1, max_size=12)
TEXTS = {
    "listen": st.integers(0, 65_535).map(lambda port: f"127.0.0.1:{port}"),
    "upstream.url": st.sampled_from(["http://127.0.0.1:6737/v1", "https://host", "https://host/a/b%20c"]),
    "upstream.beta_header": st.text("abc=-019", max_size=20),
    "upstream.ca_file": st.sampled_from(["", "/etc/ssl/own.pem"]),
    "token_file": st.just(""),
    "admin_listen": st.sampled_from(["auto", "off", "[::1]:0", "127.0.0.1:65535", "unix:/tmp/a socket"]),
}


def values(leaf: Leaf) -> st.SearchStrategy[object]:
    """Every kind of value that this setting takes."""
    match msgspec.inspect.type_info(leaf.type):
        case msgspec.inspect.IntType(ge=low) if isinstance(low, int):
            # 128: the default of pool.max_connections, which no key may exceed
            return st.integers(low, 128 if leaf.key == "pool.max_connections_per_key" else 2**40)
        case msgspec.inspect.FloatType(ge=low, le=high):
            return st.floats(low, high)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.LiteralType(values=words):
            return st.sampled_from(words)
        case msgspec.inspect.VarTupleType():
            names = HEADER_NAMES.map("http://{}".format) if leaf.key == "allowed_origins" else HEADER_NAMES
            return st.lists(names, max_size=3).map(tuple)
        case _:
            return TEXTS[leaf.key]


@given(chosen=st.sampled_from(LEAVES).flatmap(lambda leaf: st.tuples(st.just(leaf), values(leaf))))
def test_the_environment_says_what_the_file_says(
    chosen: tuple[Leaf, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any value of any setting means the same in a file, in the environment and as a flag."""
    leaf, value = chosen
    table, _, name = leaf.key.rpartition(".")
    text = f"{name} = {msgspec.json.encode(value).decode()}\n"
    file = written(tmp_path_factory.getbasetemp() / "any.toml", f"[{table}]\n{text}" if table else text)
    spelt = ",".join(value) if isinstance(value, tuple) else str(value)
    flags = {leaf.key: list(value) if isinstance(value, tuple) else value}
    by_file, by_environment, by_flag = (
        load({}, {}, config=file),
        load({}, {leaf.variable: spelt}, config=None),
        load(flags, {}, config=None),
    )
    assert value_of(by_file.settings, leaf.key) == value
    assert by_file.settings == by_environment.settings == by_flag.settings


def test_the_example_has_every_setting_at_its_default() -> None:
    """config.example.toml gives each setting, uncommented, and together they are the defaults."""
    example = ROOT / "config.example.toml"
    document = tomllib.loads(example.read_text())
    given_keys = [
        f"{name}.{inner}" if isinstance(value, dict) else name
        for name, value in document.items()
        for inner in (value if isinstance(value, dict) else [name])
    ]
    assert given_keys == [leaf.key for leaf in LEAVES]
    loaded = load({}, {}, config=example)
    assert loaded.settings == Settings()
    assert {origin.kind for origin in loaded.origins.values()} == {"file"}


def test_the_example_explains_every_setting() -> None:
    """Above each setting of config.example.toml stands its own comment."""
    lines = (ROOT / "config.example.toml").read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if line and line[0] not in "#[":
            assert before.startswith("# "), line


def test_the_table_of_settings_is_not_stale() -> None:
    """docs/settings.md has one row per setting, in order, with its variable, flag and default."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "settings.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    for leaf, row in zip(LEAVES, rows, strict=True):
        flag = f"`{FLAGS[leaf.key]}`" if leaf.key in FLAGS else ""
        default = str(leaf.default) if isinstance(leaf.default, float) else msgspec.json.encode(leaf.default).decode()
        assert row[:4] == [f"`{leaf.key}`", f"`{leaf.variable}`", flag, f"`{default}`"]
        assert row[4]


def test_the_documented_lines_are_the_real_ones(tmp_path: Path) -> None:
    """The two example errors in docs/settings.md are what the loader says."""
    text = (ROOT / "docs" / "settings.md").read_text()
    wrong = refusal(environ={"OPENLINE_POOL__MAX_CONNECTIONS": "many"}, at=tmp_path)
    unknown = refusal(text="[pool]\nmax_conections = 4", at=tmp_path).replace("FILE", "my.toml")
    assert f"openline: {wrong}\n" in text
    assert f"openline: {unknown}\n" in text


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """In the order of the sources; what values mean together is looked at once each is of the right kind."""
    file = written(tmp_path / "my.toml", "mood = 1\nheads = 2\n[pool]\nwait_seconds = true\n")
    environ = {"OPENLINE_LISTEN": "nowhere", "OPENLINE_VERBOSE": "x", "OPENLINE_ODD": ""}
    with pytest.raises(ConfigError) as refused:
        load({"match": "none"}, environ, config=file)
    lines = [str(refused.value), *refused.value.others]
    assert [line.partition(":")[0] for line in lines] == [
        *("mood", "heads", "pool.wait_seconds", "OPENLINE_ODD", "verbose", "match")
    ]


def test_mistakes_of_two_tables_are_told_at_once(tmp_path: Path) -> None:
    """Impossible values: one of each table; after one in the token or the pool nothing more is looked at."""
    text = 'listen = "nowhere"\n[upstream]\nurl = "nothing"\nbeta_header = "é"\n'
    with pytest.raises(ConfigError) as refused:
        load({}, {}, config=written(tmp_path / "my.toml", text))
    assert str(refused.value).startswith("upstream.url: ")
    assert [line.partition(":")[0] for line in refused.value.others] == ["listen"]
    with pytest.raises(ConfigError) as refused:
        load({}, {"OPENLINE_TOKEN": "short"}, config=tmp_path / "my.toml")
    assert refused.value.others == ()


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Origin("default"), "default"),
        (Origin("file", "/x"), "file /x"),
        (Origin("environment", "X"), "environment variable X"),
        (Origin("flag", "--x"), "flag --x"),
        (Origin("command", "openline x"), "command openline x"),
    ],
)
def test_an_origin_in_words(origin: Origin, words: str) -> None:
    """The kind of source, and its name."""
    assert str(origin) == words
