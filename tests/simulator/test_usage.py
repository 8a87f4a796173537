"""Counting tokens."""

from proxy.simulator.prompt import render
from proxy.simulator.usage import PromptCache, _common_prefix, tokens


def test_four_bytes_are_a_token() -> None:
    """Rounded up."""
    assert [tokens(b"x" * n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_common_prefixes() -> None:
    """The length up to the first difference."""
    for one, other, length in ((b"", b"a", 0), (b"abc", b"abd", 2), (b"abc", b"abc", 3), (b"ab", b"abc", 2)):
        assert _common_prefix(one, other) == length


def test_the_cache_is_per_key() -> None:
    """Only an earlier prompt of the same cache key or conversation makes tokens cheap."""
    cache = PromptCache()
    prompt = "x" * 4_096
    thought = {"type": "reasoning", "summary": []}
    first = cache.usage({"prompt_cache_key": "a"}, prompt, [thought])
    assert (first.input, first.cached) == (1_024, 0)
    assert first.output == first.reasoning > 0
    assert cache.usage({"prompt_cache_key": "b"}, prompt, []).cached == 0
    assert cache.usage({"prompt_cache_key": "a"}, prompt[:2_100] + "y", []).cached == 512
    assert cache.usage({"conversation": {"id": "c"}}, prompt, []).cached == 0


def test_what_the_model_is_not_shown_costs_nothing() -> None:
    """Fields for caching and logging are not counted, and change nothing of what is cached."""
    cache = PromptCache()
    bodies = [{"model": "m", "instructions": "x" * 4_096, "metadata": {"turn": turn}} for turn in ("1", "22")]
    first, second = (cache.usage(body, render(body, []), []) for body in bodies)
    assert first.input == second.input == cache.usage({}, render({**bodies[0], "metadata": None}, []), []).input
    assert second.cached == 1_024


def test_an_answer_is_counted_as_cut_at_its_limit() -> None:
    """No usage is beyond `max_output_tokens`, reasoning included."""
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x" * 400}]}
    for limit, counted in ((8, 8), (None, 117)):
        usage = PromptCache().usage({"max_output_tokens": limit}, "x", [thought])
        assert (usage.output, usage.reasoning) == (counted, counted)
