"""`openline config`: what counts, where it came from, and what is wrong with a file."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from proxy.settings_sources import leaves, load
from tests.cli.process import ROOT, ran
from tests.cli.stage import stage

SECRET = "marker-0123456789abcdef"


def file(folder: Path, text: str) -> str:
    """A settings file with this text."""
    path = folder / "my.toml"
    path.write_text(text)
    return str(path)


async def test_a_good_file_is_ok(tmp_path: Path) -> None:
    """How many settings there are, and how many of them are not the defaults; the example is such a file."""
    count = len(list(leaves()))
    path = file(tmp_path, 'mode = "off"\nmatch = "faithful"\n[pool]\nwait_seconds = 2\n')
    usual = {"OPENLINE_LOG_FORMAT": "auto"}
    assert await ran("config", "check", path, environ=usual) == (0, f"ok: {count} settings, 2 not default\n", "")
    status, out, _ = await ran("config", "check", environ={**usual, "OPENLINE_MODE": "off"})
    assert (status, out) == (0, f"ok: {count} settings, 1 not default\n")
    assert (await ran("config", "check", str(ROOT / "config.example.toml")))[0] == 0


async def test_all_mistakes_of_a_file_are_told(tmp_path: Path) -> None:
    """A line for each, in the file's order, then the environment's; exit status 2."""
    path = file(tmp_path, 'mood = "off"\nmatch = "none"\npool = 3\n[heads]\nmax_count = 0\n')
    status, out, err = await ran("config", "check", path, environ={"OPENLINE_VERBOSE": "perhaps"})
    assert (status, out) == (2, "")
    assert [line.split(": ")[1] for line in err.splitlines()] == [
        *("mood", "match", "pool", "heads.max_count", "verbose")
    ]
    assert all(line.startswith("openline: ") for line in err.splitlines())


async def test_a_check_for_a_program(tmp_path: Path) -> None:
    """With --json the same is one object on stdout, mistakes or none."""
    usual = {"OPENLINE_LOG_FORMAT": "auto"}
    status, out, err = await ran("config", "check", "--json", file(tmp_path, 'mode = "off"\n'), environ=usual)
    told = {"ok": True, "settings": len(list(leaves())), "not_default": 1, "mistakes": []}
    assert (status, msgspec.json.decode(out), err) == (0, told, "")
    path = file(tmp_path, 'mood = "off"\nmatch = "none"\n')
    status, out, err = await ran("config", "check", "--json", path, environ=usual)
    found = msgspec.json.decode(out, type=dict[str, object])
    assert (status, found["ok"], err) == (2, False, "")
    assert [line.split(": ")[0] for line in msgspec.convert(found["mistakes"], list[str])] == ["mood", "match"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[upstream]\nca_file = "/none/ca.pem"\n', "openline: upstream.ca_file: /none/ca.pem "),
        ("mode = \n", "openline: FILE: the settings file is not valid TOML: "),
        ('token_file = "/none"\n', "openline: token_file: there is no such file: "),
    ],
)
async def test_what_would_stop_the_start_is_told(tmp_path: Path, text: str, line: str) -> None:
    """Also what the file names, and cannot be used: one line, exit status 2."""
    path = file(tmp_path, text)
    status, out, err = await ran("config", "check", path)
    assert (status, out) == (2, "")
    assert err.startswith(line.replace("FILE", path))
    assert err.count("\n") == 1
    status, _, err = await ran("config", "check", str(tmp_path / "none"))
    assert (status, err) == (2, f"openline: {tmp_path}/none: no such settings file\n")


async def test_what_is_shown_is_a_settings_file(tmp_path: Path) -> None:
    """Every setting with its value, in a form that can be read again; with `--origin` also where it came from."""
    environ = {"OPENLINE_ALLOWED_HOSTS": "a.local, b.local", "OPENLINE_DRAIN_SECONDS": "3"}
    status, out, err = await ran("config", "show", "--origin", "--port", "7000", environ=environ)
    assert (status, err) == (0, "")
    environ["OPENLINE_LOG_FORMAT"] = "human"
    again = load({}, {}, config=Path(file(tmp_path, out)))
    empty = Path(file(tmp_path, ""))
    assert again.settings == load({"listen": "127.0.0.1:7000"}, environ, config=empty).settings
    lines = {line.split()[0]: line.partition("# ")[2] for line in out.splitlines()}
    assert lines["listen"] == "flag --listen"
    assert lines["drain_seconds"] == "environment variable OPENLINE_DRAIN_SECONDS"
    assert lines["mode"] == "default"
    assert list(lines) == [leaf.key for leaf in leaves()]
    assert len({line.index("= ") for line in out.splitlines()}) == 1
    _, plain, _ = await ran("config", "show", environ=environ)
    assert "#" not in plain
    assert tomllib.loads(plain)["upstream"]["url"] == "https://api.openai.com/v1"


async def test_no_secret_is_shown(tmp_path: Path) -> None:
    """A token is told of, and not told; a path of the upstream that is none of an API's is left out."""
    environ = {"OPENLINE_TOKEN": SECRET, "OPENLINE_UPSTREAM__URL": f"https://gateway.example/{SECRET}/v1"}
    for arguments in (("--json",), ("--origin",), ()):
        status, out, err = await ran("config", "show", *arguments, environ=environ)
        assert (status, err) == (0, "")
        assert SECRET not in out
        assert '"https://gateway.example/…"' in out
        assert out.endswith("# callers show a token: OPENLINE_TOKEN\n") or arguments == ("--json",)
    token = tmp_path / "token"
    token.write_text(SECRET)
    token.chmod(0o600)
    status, out, _ = await ran("config", "show", "--token-file", str(token), "--json")
    told = msgspec.json.decode(out, type=dict[str, object])
    assert told["token"] == {"file": str(token), "plain_in_urls": True}
    assert SECRET not in out


async def test_settings_that_cannot_be_used_are_not_shown() -> None:
    """The loader's line, exit status 2."""
    status, out, err = await ran("config", "show", "--upstream", "nonsense")
    assert (status, out) == (2, "")
    assert err.startswith("openline: upstream.url: ")


async def test_what_a_running_one_goes_by(tmp_path: Path) -> None:
    """Its own flags and variables, not this shell's; and the mode that it was told."""
    path = file(tmp_path, 'match = "strict"\n')
    async with stage(tmp_path, "--config", path) as on:
        await on.openline("mode", "observe")
        status, out, err = await on.openline("config", "show", "--running", "--origin", OPENLINE_MATCH="relaxed")
        assert (status, err) == (0, "")
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert 'mode = "observe" # command openline mode' in lines
        assert f'match = "strict" # file {path}' in lines
        file(tmp_path, 'replay = "unsent"\n')
        await on.openline("reload")
        port = on.base.removesuffix("/v1").rpartition(":")[2]
        told = await on.json("config", "show", "--running", "--port", port, "--json")
        shown = msgspec.convert(told["settings"], list[dict[str, object]])
        assert {"key": "mode", "value": "on", "origin": {"kind": "default", "name": ""}} in shown
        assert {"key": "replay", "value": "unsent", "origin": {"kind": "file", "name": path}} in shown
        status, _, err = await on.openline("config", "show", "--running", "--mode", "on")
        assert (status, "only --port says which one" in err) == (2, True)
    assert (await ran("config", "show", "--running", environ={"XDG_STATE_HOME": str(tmp_path)}))[0] == 3
