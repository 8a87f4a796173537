"""`openline mode` and `openline reload`: what they change, and what they say of it."""

import asyncio
from pathlib import Path

from tests.cli.process import ran
from tests.cli.stage import stage

HELLO: list[object] = [{"role": "user", "content": "hello"}]


async def test_the_mode_is_shown_and_changed(tmp_path: Path) -> None:
    """Alone it shows the mode; with a word the next turn goes by that; as JSON too."""
    async with stage(tmp_path) as on:
        assert await on.openline("mode") == (0, "on: turns go as deltas where that is possible\n", "")
        status, out, _ = await on.openline("mode", "off")
        assert (status, out.partition(":")[0]) == (0, "off")
        assert "until it is started anew or reads its settings anew" in out
        assert (await on.create(HELLO)).header("x-openline-reason") == "mode_off"
        assert await on.json("mode", "--json") == {"mode": "off"}
        assert await on.json("mode", "observe", "--json") == {"mode": "observe"}
        assert (await on.create(HELLO)).header("x-openline-reason") == "observed"
        status, _, err = await on.openline("mode", "fast")
        assert (status, "'fast' is not one of" in err) == (2, True)


async def test_a_reload_says_what_changed(tmp_path: Path) -> None:
    """What counts now, what waits for a start; and of a mistake the loader's line, with exit status 2."""
    file = tmp_path / "my.toml"
    await asyncio.to_thread(file.write_text, 'match = "strict"\n')
    async with stage(tmp_path, "--config", str(file)) as on:
        assert await on.openline("reload") == (0, "the settings are as they were\n", "")
        await asyncio.to_thread(
            file.write_text, 'match = "relaxed"\nadmin_scope = "probes"\n[pool]\nwait_seconds = 2\n'
        )
        changed = "changed: match (strict → relaxed), pool.wait_seconds (1.0 → 2.0)"
        later = "from the next start or restart on: admin_scope"
        assert await on.openline("reload") == (0, f"{changed}\n{later}\n", "")
        await asyncio.to_thread(file.write_text, 'match = "none"\n')
        status, out, err = await on.openline("reload")
        assert (status, out) == (2, "")
        assert err == (
            'openline: match: expected "strict" or "faithful" or "relaxed", got \'none\''
            f" (file {file}); the old settings stay\n"
        )
        await asyncio.to_thread(file.write_text, 'match = "none"\nmood = 1\n')
        _, _, err = await on.openline("reload")
        assert err.endswith(f"; the old settings stay (all of them: openline config check {file})\n")
        await asyncio.to_thread(file.write_text, 'match = "strict"\n')
        assert await on.json("reload", "--json") == {"changed": ["match", "pool.wait_seconds"], "waiting": []}


async def test_nothing_runs(tmp_path: Path) -> None:
    """There is nothing to change: exit status 3."""
    for command in ("mode", "reload"):
        status, out, err = await ran(command, environ={"XDG_STATE_HOME": str(tmp_path)})
        assert (status, out) == (3, "")
        assert err.startswith("openline: no Openline of yours is running")


async def test_the_one_that_is_meant(tmp_path: Path) -> None:
    """`--port` chooses by the port that callers use."""
    async with stage(tmp_path) as one, stage(tmp_path) as other:
        status, _, err = await one.openline("mode", "off")
        assert (status, "choose one with --port" in err) == (2, True)
        port = one.base.removesuffix("/v1").rpartition(":")[2]
        assert await one.json("mode", "off", "--port", port, "--json") == {"mode": "off"}
        port = other.base.removesuffix("/v1").rpartition(":")[2]
        assert await one.json("mode", "--port", port, "--json") == {"mode": "on"}
