"""Paths: which of the API's a path is or begins with, so that nobody's id is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.paths import documented, known


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/responses", "/v1/responses"),
        ("/v1/responses/resp_1", "/v1/responses"),
        ("/v1/responses/resp_1/input_items", "/v1/responses/…/input_items"),
        ("/v1/responses/input_tokens", "/v1/responses/input_tokens"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/files/file-7", "/v1/files"),
        ("/v1/files/file-7/content?marker", "/v1/files/…/content"),
        ("/v1/files//content", "/v1/files"),
        ("/v1/models/marker/of/some/length", "/v1/models"),
        ("/v1/models_marker", None),
        ("/v1/chat", None),
        ("/v1", None),
        ("/V1/models", None),
        ("//v1/models", None),
        ("/marker/v1/models", None),
        ("-", None),
        ("", None),
    ],
)
def test_the_longest_documented_path_counts(path: str, told: str | None) -> None:
    """Segment by segment, with an ellipsis for an id; what begins otherwise has none."""
    assert documented(path) == told


@given(st.lists(st.sampled_from(["", "v1", "files", "content", "responses", "cancel", "marker"]), max_size=40))
def test_no_more_is_told_than_is_documented(parts: list[str]) -> None:
    """Whatever stands in a path, what is told of it is made of the API's own parts, and is its own path."""
    told = documented("/" + "/".join(parts))
    if told is not None:
        assert all(known(part) or part == "…" for part in told.split("/"))
        assert documented(told) == told


def test_parts_of_the_apis_paths_are_known() -> None:
    """And an id is none, nor the ellipsis that stands for one."""
    assert [known(part) for part in ("v1", "responses", "content", "", "marker", "…")] == [True] * 4 + [False] * 2
