"""The sources of the token: a file that a setting names, or a variable; and the one line for each mistake with them."""

from pathlib import Path

import pytest

from proxy.settings_sources import ConfigError, leaves, load
from tests.test_settings_sources import refusal, written


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty home: the developer's own settings must not reach a test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))


SECRET = "marker-0123456789abcdef"


def token_file(folder: Path, text: str = f"{SECRET}\n", mode: int = 0o600) -> Path:
    """A file with a token, of this mode."""
    file = written(folder / "token", text)
    file.chmod(mode)
    return file


def test_a_token_comes_from_its_file_or_its_variable(tmp_path: Path) -> None:
    """Both ways give the same token; it is no setting, so that no list of settings has it."""
    file = token_file(tmp_path)
    by_flag = load({"token_file": str(file), "listen": "0.0.0.0:1"}, {}, config=None)
    by_file = load({}, {}, config=written(tmp_path / "my.toml", f'token_file = "{file}"\n'))
    by_variable = load({}, {"OPENLINE_TOKEN": SECRET}, config=None)
    assert by_flag.settings.token == by_file.settings.token == by_variable.settings.token
    assert by_flag.settings.token is not None
    assert by_flag.settings.token.matches(SECRET.encode())
    assert "token" not in {*by_variable.origins, *(leaf.key for leaf in leaves())}
    assert load({}, {}, config=None).settings.token is None


def test_a_home_folder_is_found(tmp_path: Path) -> None:
    """`~` in the file means the user's home, as in a shell."""
    token_file(tmp_path)
    assert load({}, {"OPENLINE_TOKEN_FILE": "~/token"}, config=None).settings.token is not None


@pytest.mark.parametrize(
    ("environ", "text", "line"),
    [
        (
            {"OPENLINE_TOKEN": SECRET},
            'token_file = "TOKEN"',
            "token_file (file FILE) and OPENLINE_TOKEN both give a token: keep one of them",
        ),
        (
            {"OPENLINE_TOKEN": ""},
            "",
            "OPENLINE_TOKEN: a token has from 16 to 1,024 characters, not 0; make one with: openssl rand -hex 32",
        ),
        (
            {"OPENLINE_TOKEN": f"{SECRET} "},
            "",
            (
                "OPENLINE_TOKEN: a token holds visible ASCII characters only, no white space;"
                " make one with: openssl rand -hex 32"
            ),
        ),
        (
            {"OPENLINE_TOKEN_FILE": SECRET},
            "",
            (
                "token_file: there is no such file: it must name a file whose first line is the token"
                " (environment variable OPENLINE_TOKEN_FILE)"
            ),
        ),
        ({"OPENLINE_TOKN": SECRET}, "", "OPENLINE_TOKN: no setting has this environment variable: did you mean"),
        ({}, f'token = "{SECRET}"', "token: there is no such setting (file FILE)"),
        ({}, "token_file = 7", "token_file: expected a text, got 7 (file FILE)"),
        ({}, 'listen = "0.0.0.0:1"', "listen: '0.0.0.0' is not a loopback address, and whoever reaches it"),
    ],
)
def test_a_mistake_with_the_token_is_one_line(tmp_path: Path, environ: dict[str, str], text: str, line: str) -> None:
    """Each mistake names setting or variable, and never the token itself."""
    said = refusal(text=text.replace("TOKEN", str(token_file(tmp_path))), environ=environ, at=tmp_path)
    assert said.startswith(line)
    assert SECRET not in said


def test_a_token_file_for_all_eyes_stops_the_start(tmp_path: Path) -> None:
    """The line says what to type."""
    file = token_file(tmp_path, mode=0o644)
    with pytest.raises(ConfigError) as refused:
        load({"token_file": str(file)}, {}, config=None)
    assert str(refused.value) == (
        f"token_file: others can read or change {file} (mode 0644): chmod 600 {file} (flag --token-file)"
    )
