"""A socket: one upstream WebSocket of the library's, whose messages are handed over by the read that brought them."""

import zlib
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Event, State

from proxy.upstream.frames import COMPRESSED, LARGEST, TEXT, cut, extent

LARGEST_EVENT = 256 * 1_048_576
_HEAD_END = b"\r\n\r\n"
# What a sender leaves out behind each message that it compressed (RFC 7692, 7.2.1).
_LEFT_OUT = b"\x00\x00\xff\xff"
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
# A binary message: of no upstream's events, whatever is in it.
_NO_TEXT = b""


class Receiver(Protocol):
    """Who takes what comes. Nothing of it waits for a task: a call of each read's costs less than a wake-up."""

    def arrived(self, messages: list[bytes]) -> None:
        """All messages that one read brought to their ends."""

    def lost(self, error: ConnectionClosed) -> None:
        """The socket is closed; nothing more comes."""


class Socket(ClientConnection):
    """Lost at once where its host broke the protocol; knows whether all was sent.

    Whole text messages are cut from a read at the least cost. All else (the handshake, control frames, fragments, large
    messages) is the library's, and gets to it in its place: it is never in the middle of a frame when a cut begins.
    """

    _cut_short = False
    _receiver: Receiver | None = None
    _inflater: "zlib._Decompress | None" = None
    _first = TEXT
    _behind = b""
    """The beginning of a frame whose rest is to come."""
    _steady = False
    """Whether what comes are frames, uncompressed."""
    _theirs = 0
    """Bytes to come of a frame that the library has the beginning of."""
    _binary = False
    _early: tuple[bytes, ...] = ()
    """What came before anybody listened."""
    _fragments: tuple[bytes, ...] = ()
    _head = b""
    """The end of what the handshake has brought so far."""

    def listen(self, receiver: Receiver) -> None:
        """From now on `receiver` gets what comes, and what has come since the handshake."""
        early, self._early = self._early, ()
        if early:
            receiver.arrived(list(early))
        if self.protocol.state is State.CLOSED:
            receiver.lost(self.protocol.close_exc)
        else:
            self._receiver = receiver

    @property
    def unsent(self) -> bool:
        """Whether there are bytes that the kernel has not taken, or never took before the end."""
        return self.paused or self._cut_short

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep whether anything was left to be sent: the library forgets it here."""
        self._cut_short = self.paused
        super().connection_lost(exc)
        receiver, self._receiver = self._receiver, None
        if receiver:
            error = self.protocol.close_exc
            error.__cause__ = exc or error.__cause__
            receiver.lost(error)

    def data_received(self, data: bytes) -> None:
        """One read's. A host that broke the protocol is given up: the library would wait for it to hang up."""
        if self._steady and not self._behind and not self._theirs:
            messages, end = cut(data)
            if end == len(data):
                self._deliver(messages)
                return
        elif self.protocol.state is State.CONNECTING:
            data = self._shake(data)
        self._behind = self._take(self._behind + data)
        if self.protocol.parser_exc and self.protocol.state is not State.CONNECTING:
            self.transport.abort()

    def process_event(self, event: Event) -> None:
        """What the library took in: messages are put together here, in their place among those that were cut."""
        if not isinstance(event, Frame) or event.opcode not in _DATA:
            super().process_event(event)
            return
        self._binary |= event.opcode is Opcode.BINARY
        self._fragments += (bytes(event.data),)
        if event.fin:
            message = _NO_TEXT if self._binary else b"".join(self._fragments)
            self._fragments, self._binary = (), False
            self._deliver([message])

    def _shake(self, data: bytes) -> bytes:
        """Give the library its handshake. Returns what came behind that: a host may greet at once."""
        end = (self._head + data).find(_HEAD_END)
        size = len(data) if end < 0 else end + len(_HEAD_END) - len(self._head)
        self._head = (self._head + data)[-len(_HEAD_END) + 1 :]
        super().data_received(data[:size])
        if self.protocol.state is State.CONNECTING:  # not yet, or refused: what follows is the refusal's body
            if size < len(data):
                super().data_received(data[size:])
            return b""
        self._agree()
        return data[size:]

    def _agree(self) -> None:
        """Whether messages come compressed, and can be cut all the same: by the library's own inflater."""
        self._steady = True
        for extension in self.protocol.extensions:
            if isinstance(extension, PerMessageDeflate):
                if not extension.remote_no_context_takeover:
                    self._inflater = extension.decoder
                self._first, self._steady = COMPRESSED, False

    def _take(self, data: bytes) -> bytes:
        """Hand over what is whole. Returns the beginning of what is not, unless the library has it."""
        while data and not self.transport.is_closing() and not self.protocol.parser_exc:
            if self._theirs:
                part, data = data[: self._theirs], data[self._theirs :]
                self._theirs -= len(part)
                super().data_received(part)
                continue
            if self._first is TEXT or self._inflater:
                messages, end = cut(data, self._first)
                if messages:
                    self._deliver(self._inflated(messages))
                    data = data[end:]
            size = extent(data)
            if size is None or (size <= LARGEST and data[0] == self._first and size > len(data)):
                return data
            self._theirs = size
        return b""

    def _deliver(self, messages: list[bytes]) -> None:
        if not all(map(bytes.isascii, messages)):  # ten times as fast as to decode it, and mostly so
            messages = self._texts(messages)
        if messages and self._receiver:
            self._receiver.arrived(messages)
        else:
            self._early += tuple(messages)

    def _texts(self, messages: list[bytes]) -> list[bytes]:
        """Those before the first that is no UTF-8, which breaks the protocol (RFC 6455, 8.1)."""
        for number, message in enumerate(messages):
            try:
                message.decode()
            except UnicodeDecodeError:
                self.protocol.fail(CloseCode.INVALID_DATA)
                self.send_data()
                self.transport.abort()
                return messages[:number]
        return messages

    def _inflated(self, messages: list[bytes]) -> list[bytes]:
        if self._inflater is None:
            return messages
        inflate = self._inflater.decompress
        try:
            return [inflate(message + _LEFT_OUT, LARGEST_EVENT) for message in messages]
        except zlib.error:
            self.transport.abort()
            return []
