"""A create request: parsed once, its bytes kept, so that what goes upstream is the caller's own spelling."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from proxy.core.beginning import Beginning, Mark
from proxy.core.forms import thought
from proxy.core.reasons import Passed
from proxy.core.spans import Field, NotJson, Span, array_spans, object_fields

# Fields of the WebSocket protocol: in a POST body they would mean something else on a socket.
_SOCKET_FIELDS = ("type", "stream_id", "generate")
# State that the upstream keeps for the caller: such a request is not stateless.
_STATE_FIELDS = ("previous_response_id", "conversation", "prompt")
# Not part of the frame: the socket always streams, and the rest is set by the turn.
_TRANSPORT_FIELDS = frozenset({"stream", "background", "previous_response_id", "input"})
# Tools that run at the caller's, or only read: a replay repeats no act of theirs.
_HARMLESS_TOOLS = frozenset(
    {
        "apply_patch",
        "computer",
        "computer_use_preview",
        "custom",
        "file_search",
        "function",
        "local_shell",
        "namespace",
        "tool_search",
        "web_search",
        "web_search_preview",
    }
)
_WORDS = {b"true": True, b"false": False, b"null": None}


class NotPlain(Exception):
    """Not a plain stateless create: it passes through untouched."""

    def __init__(self, reason: Passed) -> None:
        super().__init__(reason.value)
        self.reason = reason


class _Typed(msgspec.Struct):
    type: str = ""


class _Tool(msgspec.Struct):
    type: str = ""
    tools: list["_Tool"] | None = None

    @property
    def acts(self) -> bool:
        return self.type not in _HARMLESS_TOOLS or any(tool.acts for tool in self.tools or ())


class _Toolset(msgspec.Struct):
    tools: list[_Tool] | None = None


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A plain stateless create. `items` are the elements of `input`; a string input is one item."""

    body: bytes = field(repr=False)
    fields: Mapping[str, Field]
    items: tuple[Span, ...]
    listed: bool
    stream: bool
    known: Beginning | None = None
    """What was known of its beginning from a turn before."""
    mark: Mark | None = field(default=None, repr=False)

    def value(self, name: str) -> bytes:
        """The field's JSON, empty where it is absent."""
        place = self.fields.get(name)
        return self.body[place.start : place.end] if place else b""

    def raw_items(self, skip: int = 0) -> list[bytes]:
        """The items' JSON, but the first `skip`; a string input as the message that it stands for."""
        if not self.listed:
            return [b'{"role":"user","content":' + self.value("input") + b"}"]
        return [self.body[start:end] for start, end in self.items[skip:]]

    @property
    def stored(self) -> bool:
        """Whether the caller asks for the response to be stored (the API's default)."""
        return self.value("store") != b"false"

    @property
    def truncates(self) -> bool:
        """Whether the upstream may drop items from the context by itself."""
        return self.value("truncation") not in (b"", b"null", b'"disabled"')

    @property
    def acts(self) -> bool:
        """Whether a tool that the upstream itself runs may change something, so that running twice matters.

        Tools may stand in items too (`additional_tools`, `tool_search_output`).
        """
        try:
            tools = msgspec.json.decode(self.value("tools") or b"null", type=list[_Tool] | None)
        except (msgspec.MsgspecError, RecursionError):
            return True
        return any(tool.acts for tool in tools or ()) or self.items_act

    @property
    def items_act(self) -> bool:
        """Whether such a tool stands in an item."""
        new = self.items[self.known.count if self.known else 0 :]
        if self.known and self.known.acts:
            return True
        if not self.listed or not new:
            return False
        try:
            sets = msgspec.json.decode(b"[%b]" % self.body[new[0].start : new[-1].end], type=list[_Toolset])
        except (msgspec.MsgspecError, RecursionError):
            return True
        return any(tool.acts for toolset in sets for tool in toolset.tools or ())

    @property
    def ends_in_compaction(self) -> bool:
        """Whether the last item asks for a compaction: what follows is a new history."""
        if not self.listed or not self.items:
            return False
        start, end = self.items[-1]
        try:
            return msgspec.json.decode(memoryview(self.body)[start:end], type=_Typed).type == "compaction_trigger"
        except (msgspec.MsgspecError, RecursionError):
            return False

    def asks(self, skip: int) -> bool:
        """Whether the items after `skip` may hold something that a user says; a look at the bytes, no more."""
        return self._holds(b'"user"', skip)

    def droppable(self, skip: int) -> int | None:
        """The bytes that the upstream may leave out of the context, given the items after `skip`; None: nobody can say.

        With a user's message the reasoning before it goes out of use, and some is not in the history in its full size.
        With a compaction all goes that is before it, files and reasoning that are only named among it.
        """
        if self._holds(b'"compaction"', skip):
            return None
        if not self.asks(skip):
            return 0
        return self.thoughts

    @property
    def thoughts(self) -> int | None:
        """The bytes of all reasoning in the history; None where some of it is not there in its full size."""
        before, count = (self.known.thoughts, self.known.count) if self.known else (0, 0)
        sizes = [before, *map(thought, self.raw_items(count))]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def _holds(self, word: bytes, skip: int) -> bool:
        """Whether the word is in the items after `skip`."""
        return len(self.items) > skip and self.body.find(word, self.items[skip].start, self.items[-1].end) >= 0

    def frame(self, previous: str | None = None, skip: int = 0, lane: str | None = None) -> bytes:
        """The `response.create` frame: all items, or those after the first `skip` continuing from `previous`."""
        pieces = [b'{"type":"response.create"']
        if lane is not None:
            pieces.append(b',"stream_id":"%b"' % lane.encode())
        for name, (key, _, end) in self.fields.items():
            if name not in _TRANSPORT_FIELDS:
                pieces += (b",", self.body[key:end])
        if self.value("stream_options") not in (b"", b"null"):
            pieces.append(b',"stream":true')
        if previous is None:
            whole = self.fields["input"]
            pieces += (b",", self.body[whole.key : whole.end], b"}")
        else:
            new = self.body[self.items[skip].start : self.items[-1].end]
            pieces += (b',"previous_response_id":', msgspec.json.encode(previous), b',"input":[', new, b"]}")
        return b"".join(pieces)


def parse(body: bytes, *, most_items: int, mark: Mark | None = None) -> CreateRequest:
    """Read the body of a POST to /responses once.

    Raises:
        NotPlain: the request keeps state, wants the background, or is odd in a way that only the upstream can judge.
    """
    try:
        _ = body.isascii() or body.decode()  # a text frame must be valid UTF-8
        return made(body, object_fields(body), lambda whole: array_spans(body, whole, most_items), mark=mark)
    except ValueError as error:
        raise NotPlain(Passed.ODD_BODY) from error


def made(
    body: bytes,
    fields: Mapping[str, Field],
    items: Callable[[Span], tuple[Span, ...]],
    *,
    known: Beginning | None = None,
    mark: Mark | None = None,
) -> CreateRequest:
    """The create that has these fields; `items` finds those of its list. Raises NotPlain, NotJson."""
    _check(body, fields)
    stream = _flag(body, fields, "stream")
    given = fields["input"]
    whole = Span(given.start, given.end)
    listed = body[given.start : given.start + 1] != b'"'
    found = items(whole) if listed else (whole,)
    return CreateRequest(body, fields, found, listed=listed, stream=stream, known=known, mark=mark)


def _check(body: bytes, fields: Mapping[str, Field]) -> None:
    for name in _STATE_FIELDS:
        if _present(body, fields, name):
            raise NotPlain(Passed.OWN_STATE)
    if _flag(body, fields, "background"):
        raise NotPlain(Passed.BACKGROUND)
    if any(name in fields for name in _SOCKET_FIELDS):
        raise NotPlain(Passed.SOCKET_FIELDS)
    if "model" not in fields or "input" not in fields:
        raise NotPlain(Passed.ODD_BODY)
    if _present(body, fields, "stream_options") and not _flag(body, fields, "stream"):
        raise NotPlain(Passed.ODD_BODY)


def _present(body: bytes, fields: Mapping[str, Field], name: str) -> bool:
    place = fields.get(name)
    return place is not None and body[place.start : place.end] != b"null"


def _flag(body: bytes, fields: Mapping[str, Field], name: str) -> bool:
    place = fields.get(name)
    if place is None:
        return False
    word = body[place.start : place.end]
    if word not in _WORDS:
        raise NotJson(f"{name} is no boolean")
    return bool(_WORDS[word])
