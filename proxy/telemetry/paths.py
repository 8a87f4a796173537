"""Paths: those that the API documents. What else stands in one may be somebody's id, or a secret of a gateway's."""

UNKNOWN = "…"
"""In place of what is not the API's own."""
# An ellipsis stands for an id.
_DOCUMENTED = (
    "/v1/responses",
    "/v1/responses/compact",
    "/v1/responses/input_tokens",
    "/v1/responses/…/cancel",
    "/v1/responses/…/input_items",
    "/v1/conversations",
    "/v1/conversations/…/items",
    "/v1/models",
    "/v1/chat/completions",
    "/v1/chat/completions/…/messages",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/files",
    "/v1/files/…/content",
    "/v1/uploads",
    "/v1/uploads/…/parts",
    "/v1/uploads/…/complete",
    "/v1/uploads/…/cancel",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/batches",
    "/v1/batches/…/cancel",
    "/v1/vector_stores",
    "/v1/vector_stores/…/files",
    "/v1/vector_stores/…/search",
    "/v1/realtime",
    "/v1/realtime/sessions",
    "/v1/fine_tuning/jobs",
    "/v1/fine_tuning/jobs/…/cancel",
    "/v1/assistants",
    "/v1/threads",
    "/v1/threads/runs",
    "/v1/threads/…/messages",
    "/v1/threads/…/runs",
    "/v1/containers",
    "/v1/containers/…/files",
    "/v1/videos",
    "/v1/videos/…/content",
)
_PREFIXES = sorted((tuple(path.split("/")) for path in _DOCUMENTED), key=len, reverse=True)
_SEGMENTS = frozenset(segment for prefix in _PREFIXES for segment in prefix if segment != UNKNOWN)
# Segments are looked at one by one; a documented path has fewer.
_LONGEST = 32


def documented(path: str) -> str | None:
    """The longest documented path that `path` is, or begins with, with an ellipsis for an id; None: there is none."""
    segments = path.partition("?")[0].split("/", _LONGEST)
    for prefix in _PREFIXES:
        if len(prefix) <= len(segments) and all(map(_fits, segments, prefix)):
            return "/".join(prefix)
    return None


def known(segment: str) -> bool:
    """Whether a part of a path is the API's own."""
    return segment in _SEGMENTS


def _fits(segment: str, wanted: str) -> bool:
    return segment == wanted or (wanted == UNKNOWN and segment != "")
