"""An SSE stream: cut into the data of its events, as it comes."""

import re

_END = re.compile(rb"\r\n|\n|\r")


def lines(text: bytes) -> int:
    """How many lines end in `text`."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


class Cutter:
    """One stream. Fields other than `data` do not count: of the API's events it says all."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False

    def feed(self, text: bytes) -> list[bytes]:
        """The data of each event that ends in this piece. One that the stream does not end is none."""
        if self._after_cr and text.startswith(b"\n"):  # the second half of a line's end
            text = text[1:]
            self._after_cr = False
        if text:
            self._after_cr = text.endswith(b"\r")
        first, *others = _END.split(text)
        self._line.append(first)
        found: list[bytes] = []
        for line in others:
            found += self._took(b"".join(self._line))
            self._line = [line]
        return found

    def _took(self, line: bytes) -> list[bytes]:
        """A line is whole: the event that it ends, if it ends one."""
        if line:
            name, _, value = line.partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            return []
        data, self._data = self._data, []
        return [b"\n".join(data)] if data else []
