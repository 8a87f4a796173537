"""`openline explain`: why turns were no deltas, of a real proxy's turns."""

from datetime import datetime
from pathlib import Path

import msgspec

from proxy.instance import instances
from tests.cli.process import ran
from tests.cli.stage import KEY, said, stage
from tests.server.wire import ask

HELLO = {"role": "user", "content": "marker-hello"}
AGAIN = {"role": "user", "content": "marker-again"}
UNKNOWN = "The last answer in this history is not known: it is new, came back changed, or a setting did."


async def test_no_turns_yet(tmp_path: Path) -> None:
    """What passes through is no turn; that there was none is said, and nothing is found by `last`."""
    async with stage(tmp_path) as on:
        await ask(on.base, "GET", "/v1/models", [KEY])
        (instance,) = instances(Path(on.environ["XDG_STATE_HOME"]) / "openline" / "running")
        since = datetime.fromtimestamp(instance.started_at).astimezone().strftime("%H:%M:%S")
        assert await on.openline("explain") == (0, f"no turns yet since its start at {since}\n", "")
        none = {"remembered": 0, "deltas": 0, "openings": 0, "cut": 0, "errors": 0, "turns": []}
        assert await on.json("explain", "--json") == none
        status, out, err = await on.openline("explain", "last")
        assert (status, out) == (1, "")
        assert err == "openline: no such turn is among the 1 that it remembers\n"
    status, _, err = await ran("explain", environ={"XDG_STATE_HOME": str(tmp_path)})
    assert (status, "`openline start` starts one" in err) == (3, True)


async def test_turns_that_were_no_deltas(tmp_path: Path) -> None:
    """A block for each: when, id, route, reason, what differed, what to do; deltas and openings are counted alone."""
    async with stage(tmp_path) as on:
        first = await on.create([HELLO])
        second = await on.create([HELLO, *said(first), AGAIN], run="r1")
        changed = await on.create([{**HELLO, "content": "marker-other"}, *said(first), AGAIN, *said(second), AGAIN])
        ids = [response.header("x-request-id") or "" for response in (first, second, changed)]
        status, out, err = await on.openline("explain")
        assert (status, err) == (0, "")
        blocks = [block.splitlines() for block in out.split("\n\n")]
        assert blocks[0][0].split()[1:] == [f"…{ids[2][-8:]}", "full", "no_match"]
        what = "The message item at index 0 differs from what was sent before in content[0].text"
        assert blocks[0][1:] == [
            f"    {what} (compared with …{ids[1][-8:]}).",
            "    Send it back as it came (docs/clients.md); --match relaxed overlooks some differences.",
        ]
        totals = "deltas: 1 of 3 turns that it remembers; 1 began a conversation (first)"
        assert blocks[1:] == [[f"{totals}; more of one: openline explain ID"]]
        assert "marker" not in out
        await on.create([HELLO, *said(first), AGAIN, *said(second)[:-1], AGAIN])
        _, out, _ = await on.openline("explain", "-n", "1")
        assert ids[2][-8:] not in out.split("\n\n")[0].splitlines()[0]
        _, out, _ = await on.openline("explain", "--run", "r1")
        assert out == "every turn went as a delta: 1 of 1 that it remembers\n"
        status, out, err = await on.openline("explain", "--run", "zzz")
        assert (status, out) == (1, "")
        assert err == "openline: no turn of run zzz is among the 4 that it remembers\n"
        told = await on.json("explain", "--json")
        assert [told[name] for name in ("remembered", "deltas", "openings", "cut", "errors")] == [4, 1, 1, 0, 0]
        turn, _ = msgspec.convert(told["turns"], list[dict[str, object]])
        assert (turn["id"], turn["reason"], turn["meaning"]) == (ids[2], "no_match", UNKNOWN)
        assert str(turn["advice"]).startswith("Send it back as it came")


async def test_turns_that_went_wrong(tmp_path: Path) -> None:
    """A turn that nobody answered is there with what happened and what its caller got; in the totals, too."""
    async with stage(tmp_path, "--upstream", "http://127.0.0.1:9/v1") as on:
        assert (await on.create([HELLO])).status == 502
        status, out, err = await on.openline("explain")
        assert (status, err) == (0, "")
        block, totals = out.split("\n\n")
        assert block.splitlines()[0].endswith("  http  dial_failed  error")
        assert "    What happened: " in block
        assert "Connection refused" in block
        assert "    The caller got 502 for an answer." in block.splitlines()
        assert block.splitlines()[-1] == "    See what is in the way: openline doctor."
        assert totals.startswith("deltas: 0 of 1 turns that it remembers; 1 ended with an error; ")
        assert "Error" not in out


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
