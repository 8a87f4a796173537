"""`openline paths`: where the files are, in this environment."""

from pathlib import Path

import msgspec

from proxy.instance import instances
from tests.cli.process import ran
from tests.cli.stage import stage


def settings(folder: Path, text: str) -> dict[str, str]:
    """An environment whose settings file has this text."""
    file = folder / "config" / "openline" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_STATE_HOME": str(folder / "state")}


async def test_all_places_are_told(tmp_path: Path) -> None:
    """Each with its name, whether it is there, and its path; by the settings that count here."""
    environ = settings(tmp_path, 'listen = "127.0.0.1:7001"\n')
    status, out, err = await ran("paths", environ=environ)
    assert (status, err) == (0, "")
    state = tmp_path / "state" / "openline"
    assert out.splitlines() == [
        f"settings   there  {tmp_path}/config/openline/config.toml",
        f"state      -      {state}/heads-127.0.0.1-7001.msgpack",
        f"instances  -      {state}/running",
        f"log        -      {state}/log/127.0.0.1-7001.log",
    ]


async def test_what_is_not_there_has_no_path(tmp_path: Path) -> None:
    """On a port that is another one each time nothing is kept; a settings file is told where it would be."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "OPENLINE_LISTEN": "127.0.0.1:0"}
    status, out, _ = await ran("paths", "--json", environ=environ)
    told = {place["name"]: place for place in msgspec.json.decode(out, type=list[dict[str, object]])}
    assert status == 0
    assert told["settings"] == {"name": "settings", "path": f"{tmp_path}/openline/config.toml", "exists": False}
    assert (told["state"]["path"], told["log"]["path"]) == (None, None)
    _, out, _ = await ran("paths", environ=environ)
    assert "state      -  none, by the settings" in out


async def test_the_instances_are_where_it_says(tmp_path: Path) -> None:
    """A proxy that runs has left its file there."""
    async with stage(tmp_path) as on:
        _, out, _ = await on.openline("paths")
        (row,) = [line.split() for line in out.splitlines() if line.startswith("instances")]
        assert row[1] == "there"
        assert [one.api for one in instances(Path(row[2]))] == [on.base]


async def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    """The line names the file, and what needs no settings is told all the same; exit status 2."""
    environ = settings(tmp_path, "mood = 1\n")
    status, out, err = await ran("paths", environ=environ)
    assert status == 2
    unknown = "not known: the settings cannot be used"
    assert out.splitlines() == [
        f"settings   there  {tmp_path}/config/openline/config.toml",
        f"state      -      {unknown}",
        f"instances  -      {tmp_path}/state/openline/running",
        f"log        -      {unknown}",
    ]
    assert err.count("\n") == 1
    assert f"file {tmp_path}/config/openline/config.toml" in err
