"""Frames: the text messages at the beginning of what one read brought, cut out at the least cost (RFC 6455, 5.2)."""

TEXT = 0x81  # FIN, and the opcode of text; a compressed one has RSV1 besides (RFC 7692)
COMPRESSED = 0xC1
_TWO_BYTES = 126
_SHORT_HEAD = 2
# Of larger ones the beginning is not kept until the rest is there: the library gets it as it comes.
LARGEST = 65_535


def cut(data: bytes, first: int = TEXT) -> tuple[list[bytes], int]:
    """Whole messages that are not fragmented, of 64 KiB at most, up to the first that is something else; and their end.

    With `first` one may ask for compressed ones.
    """
    frames: list[bytes] = []
    at, size = 0, len(data)
    try:
        while data[at] == first:
            length = data[at + 1]
            if length < _TWO_BYTES:
                start = at + _SHORT_HEAD
            elif length == _TWO_BYTES:
                length = data[at + 2] << 8 | data[at + 3]
                start = at + 4
            else:
                break
            end = start + length
            if end > size:
                break
            frames.append(data[start:end])
            at = end
    except IndexError:
        pass  # the head of the next one is not there as a whole
    return frames, at


def extent(data: bytes) -> int | None:
    """The size of the frame that `data` begins with, its head included; None where that is not there as a whole."""
    if len(data) < _SHORT_HEAD:
        return None
    length = data[1] & 0x7F
    masked = 4 if data[1] & 0x80 else 0
    if length < _TWO_BYTES:
        return _SHORT_HEAD + masked + length
    head = 4 if length == _TWO_BYTES else 10
    if len(data) < head:
        return None
    return head + masked + int.from_bytes(data[2:head], "big")
