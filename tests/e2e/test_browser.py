"""A real browser: a page of a listed origin reads its turns, a page of any other reaches nothing."""

from proxy.core.reasons import Route
from tests.e2e.browser import served
from tests.server.wire import rigged

# Two turns with plain `fetch`, the second with all that was said before; what the page could read of each.
_TURNS = """
  const input = [{role: "user", content: "hello"}], turns = [];
  for (const more of ["go on", "go on"]) {
    const answer = await fetch("%s/responses", {
      method: "POST",
      headers: {"Content-Type": "application/json", Authorization: "Bearer page-key"},
      body: JSON.stringify({model: "gpt-5.4", input, store: false, stream: true}),
    });
    const text = await new Response(answer.body).text();
    const data = text.split("\\n").filter((line) => line.startsWith("data: ")).map((line) => JSON.parse(line.slice(6)));
    turns.push({
      status: answer.status,
      route: answer.headers.get("x-openline-route"),
      id: answer.headers.get("x-request-id"),
      last: data.at(-1).type,
    });
    input.push(...data.at(-1).response.output, {role: "user", content: more});
  }
  return {turns};
"""


async def test_a_page_of_a_listed_origin_reads_its_turns() -> None:
    """Its preflight is answered, its streams are read, the second turn went as a delta, and it can read that."""
    async with served() as page, rigged(allowed_origins=(page.origin,)) as rig:
        told = await page.run(_TURNS % rig.url)
        outcomes = [rig.outcomes.get_nowait() for _ in range(3)]
        turns = [
            {"status": 200, "route": outcome.route.value, "id": outcome.id, "last": "response.completed"}
            for outcome in outcomes[1:]
        ]
        assert told == {"turns": turns}
        assert [outcome.method for outcome in outcomes] == ["OPTIONS", "POST", "POST"]
        assert [outcome.route for outcome in outcomes[1:]] == [Route.FULL, Route.DELTA]
        assert [entry.transport for entry in rig.sim.journal] == ["ws", "ws"]
        assert not rig.sim.requests


async def test_a_page_of_another_origin_reaches_nothing() -> None:
    """Its fetch fails, with or without a preflight, it reads nothing at all, and nothing went upstream."""
    script = """
      const body = JSON.stringify({model: "gpt-5.4", input: "hello"}), ways = {
        asked: {method: "POST", headers: {"Content-Type": "application/json", Authorization: "Bearer page-key"}, body},
        simple: {method: "POST", body},
        blind: {method: "POST", mode: "no-cors", body},
        read: {},
      }, told = {};
      for (const [name, way] of Object.entries(ways)) {
        try {
          const answer = await fetch("%s/responses", way);
          told[name] = `${answer.type} ${answer.status} ${await answer.text()}`;
        } catch (error) { told[name] = error.name; }
      }
      return told;
    """
    async with served() as page, rigged(allowed_origins=("http://127.0.0.1:1",)) as rig:
        told = await page.run(script % rig.url)
        # A blind post is sent, its answer is shown to nobody: the 403 is in the outcomes.
        assert told == {"asked": "TypeError", "simple": "TypeError", "blind": "opaque 0 ", "read": "TypeError"}
        assert [rig.outcomes.get_nowait().status for _ in range(4)] == [403] * 4
        assert (list(rig.sim.requests), len(rig.sim.journal), list(rig.sim.handshakes)) == ([], 0, [])
