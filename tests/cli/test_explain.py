"""`openline explain`: why turns were no deltas, of a real proxy's turns."""

from pathlib import Path

import msgspec

from tests.cli.process import ran
from tests.cli.stage import KEY, said, stage
from tests.server.wire import ask

HELLO = {"role": "user", "content": "marker-hello"}
AGAIN = {"role": "user", "content": "marker-again"}
FIRST = "The conversation starts: the input holds nothing that a model said."
UNKNOWN = "The last answer in this history is not known: it is new, came back changed, or a setting did."


async def test_no_turns_yet(tmp_path: Path) -> None:
    """What passes through is no turn; that there was none is said, and nothing is found by `last`."""
    async with stage(tmp_path) as on:
        await ask(on.base, "GET", "/v1/models", [KEY])
        assert await on.openline("explain") == (0, "no turns yet\n", "")
        assert await on.json("explain", "--json") == {"turns": []}
        status, out, err = await on.openline("explain", "last")
        assert (status, out) == (1, "")
        assert err == "openline: no such turn is among the 1 that it remembers\n"
    status, _, err = await ran("explain", environ={"XDG_STATE_HOME": str(tmp_path)})
    assert (status, "`openline start` starts one" in err) == (3, True)


async def test_turns_that_were_no_deltas(tmp_path: Path) -> None:
    """A block for each: when, id, route, reason, what that means and what differed; deltas are counted alone."""
    async with stage(tmp_path) as on:
        first = await on.create([HELLO])
        second = await on.create([HELLO, *said(first), AGAIN], run="r1")
        changed = await on.create([{**HELLO, "content": "marker-other"}, *said(first), AGAIN, *said(second), AGAIN])
        ids = [response.header("x-request-id") or "" for response in (first, second, changed)]
        status, out, err = await on.openline("explain")
        assert (status, err) == (0, "")
        blocks = [block.splitlines() for block in out.split("\n\n")]
        assert [block[0].split()[1:] for block in blocks[:2]] == [
            [f"…{ids[0][-8:]}", "full", "first"],
            [f"…{ids[2][-8:]}", "full", "no_match"],
        ]
        assert blocks[0][1:] == [f"    {FIRST}"]
        assert blocks[1][1] == f"    {UNKNOWN}"
        assert "index 0 differs from what was sent before in content" in blocks[1][2]
        assert blocks[2] == ["deltas: 1 of 3 turns that it remembers; more of one: openline explain ID"]
        assert "marker" not in out
        _, out, _ = await on.openline("explain", "-n", "1")
        assert FIRST not in out
        _, out, _ = await on.openline("explain", "--run", "r1")
        assert out == "every turn went as a delta: 1 of 1 that it remembers\n"
        told = msgspec.convert((await on.json("explain", "--json"))["turns"], list[dict[str, object]])
        assert [(turn["id"], turn["reason"], turn["meaning"]) for turn in told] == [
            (ids[0], "first", FIRST),
            (ids[2], "no_match", UNKNOWN),
        ]


async def test_all_of_one_turn(tmp_path: Path) -> None:
    """By its id, the end of it as it is shown, or `last`: sizes, times, tokens and the rest; as JSON too."""
    async with stage(tmp_path) as on:
        first = await on.create([HELLO])
        name = (await on.create([HELLO, *said(first), AGAIN], run="r1")).header("x-request-id") or ""
        await on.create([HELLO], prompt={"id": "marker"})
        status, out, err = await on.openline("explain", name)
        assert (status, err) == (0, "")
        rows = dict(line.split("  ", 1) for line in out.splitlines())
        rows = {name: text.strip() for name, text in rows.items()}
        assert (rows["id"], rows["route"], rows["run"]) == (name, "delta", "r1")
        assert (rows["request"], rows["answer"]) == ("POST /v1/responses", "200, completed")
        assert {"ended", "sent", "first event", "total", "tokens in", "tokens out"} <= set(rows)
        assert {"reason", "fault", "replays"}.isdisjoint(rows)
        assert await on.openline("explain", f"…{name[-8:]}") == (0, out, "")
        _, out, _ = await on.openline("explain", "last")
        assert "own_state" in out
        assert "The caller uses `previous_response_id`, `conversation` or `prompt`" in out
        assert (await on.json("explain", name, "--json"))["route"] == "delta"
        status, _, err = await on.openline("explain", "…")
        assert (status, err) == (1, "openline: 3 turns have an id that ends so: give more of it\n")
