"""The target of a request: what it asks for, once the token that may stand ahead of the path is taken off."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from aiohttp import web

from proxy.token import Token

HEADER = "x-openline-token"
# Callers that can set a base URL and nothing else show the token in its path: http://HOST:PORT/t/TOKEN/v1
# More than once where a whole base URL was put ahead of what had it already. `openline exec` names its run there.
_AHEAD = re.compile(r"(?:/(?:t|openline-run)/[^/?#]*)+")
_TOKENS = re.compile(r"/t/([^/?#]*)")
# Beside the run, what terms.way said then: who goes another way by now must not get its key.
_RUN = re.compile(r"/openline-run/([A-Za-z0-9_-]{1,64})(?:\.[^/]*)?(?=/|$)")
_WAY = re.compile(r"/openline-run/[^/.]*\.([^/]*)")


@dataclass(frozen=True, slots=True)
class Target:
    """`text` is path and query as they came, without what stood ahead; `trusted` whether the token was shown."""

    text: str = field(repr=False)
    trusted: bool
    run: str | None = None
    """Which `openline exec` it belongs to."""
    ways: frozenset[str] = frozenset()
    """The ways to the upstream that are right for it: more than one never are."""

    @property
    def path(self) -> str:
        """For the record: no query, and nothing where no token was shown, as a mistyped one may stand there."""
        return self.text.partition("?")[0] if self.trusted else "-"


def target(request: web.BaseRequest, token: Token | None) -> Target:
    """What `request` asks for. A token in its path is taken off also where none is wanted: it must not go upstream."""
    text = request.raw_path
    shown = [value.encode("utf-8", "surrogateescape") for value in request.headers.getall(HEADER, ())]
    run, ways = None, frozenset[str]()
    if ahead := _AHEAD.match(text):
        shown += (unquote_to_bytes(one.encode("utf-8", "surrogateescape")) for one in _TOKENS.findall(ahead[0]))
        run = (_RUN.findall(ahead[0]) or [None])[0]
        ways = frozenset(_WAY.findall(ahead[0]))
        rest = text[ahead.end() :]
        text = rest if rest.startswith("/") else f"/{rest}"
    if token is None:
        return Target(text, trusted=True, run=run, ways=ways)
    # In another spelling (//t/TOKEN) it would be logged, and sent to the upstream.
    left_in = token.is_in(unquote_to_bytes(text.encode("utf-8", "surrogateescape")))
    return Target(text, not left_in and any(token.matches(one) for one in shown), run, ways)
