"""The target of a request: what it asks for, once the token that may stand ahead of the path is taken off."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from aiohttp import web

from proxy.token import Token

HEADER = "x-openline-token"
# Callers that can set a base URL and nothing else show the token in its path: http://HOST:PORT/t/TOKEN/v1
_AHEAD = re.compile(r"/t/([^/?#]*)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """`text` is path and query as they came, without the token; `trusted` whether it was shown, where it must be."""

    text: str = field(repr=False)
    trusted: bool

    @property
    def path(self) -> str:
        """For the record: no query, and nothing where no token was shown, as a mistyped one may stand there."""
        return self.text.partition("?")[0] if self.trusted else "-"


def target(request: web.BaseRequest, token: Token | None) -> Target:
    """What `request` asks for. A token in its path is taken off also where none is wanted: it must not go upstream."""
    text = request.raw_path
    shown = [value.encode("utf-8", "surrogateescape") for value in request.headers.getall(HEADER, ())]
    while ahead := _AHEAD.fullmatch(text):  # twice where it was put ahead of what had it already
        shown.append(unquote_to_bytes(ahead[1].encode("utf-8", "surrogateescape")))
        text = ahead[2] if ahead[2].startswith("/") else f"/{ahead[2]}"
    return Target(text, token is None or any(token.matches(one) for one in shown))
