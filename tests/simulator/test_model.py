"""Models that can be plugged in."""

from collections.abc import Mapping, Sequence

from proxy.simulator import Answer, Recorded
from tests.simulator.conftest import Start


async def test_recorded_items_are_replayed_word_for_word(start: Start) -> None:
    """The n-th call gets the n-th items, by whichever transport; when they run out, the answer is a failure."""
    item = {"id": "cmp_1", "type": "compaction", "encrypted_content": "x", "odd": [None, 1.0]}
    running = await start(model=Recorded([[item], []]))
    assert (await running.create(input="x"))[1]["output"] == [item]
    socket = await running.socket()
    await socket.turn(input="warm", generate=False)
    assert (await socket.turn(input="x"))["response"]["output"] == []
    last = await socket.turn(input="x")
    assert last["type"] == "response.failed"
    assert "no recorded answer" in last["response"]["error"]["message"]


async def test_any_model_can_answer(start: Start) -> None:
    """A model sees prompt, settings and context, and may fail or stop early."""

    class Failing:
        def answer(self, prompt: str, settings: Mapping[str, object], items: Sequence[Mapping[str, object]]) -> Answer:
            assert str(settings["model"]) in prompt
            return Answer((), "incomplete" if len(items) == 1 else "failed", reason="content_filter")

    running = await start(model=Failing())
    events = await running.stream(input="x")
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}
    events = await running.stream(input=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["code"] == "server_error"
