"""A reservation: which turns are kept for plain HTTP, as a shared socket would not carry all that they mean."""

from collections.abc import Mapping

from proxy.config import OWN_HEADERS, Upstream
from proxy.core.images import left_to_host
from proxy.core.request import CreateRequest
from proxy.upstream.address import SEMANTIC, unlisted_credential


def by_header(headers: Mapping[str, str], upstream: Upstream) -> bool:
    """Whether a header means something that a shared socket cannot carry. `headers` are found in any case."""
    listed = {name.lower() for name in upstream.identity_headers}
    semantic = {*SEMANTIC, *(name.lower() for name in upstream.semantic_headers)} - listed
    passing = [name for name in headers if not name.lower().startswith(OWN_HEADERS)]
    return any(name in headers for name in semantic) or unlisted_credential(passing, listed)


def by_image(create: CreateRequest, upstream: Upstream) -> bool:
    """Whether it holds images that are to be prepared as over plain HTTP."""
    return upstream.images == "http" and left_to_host(create)
