"""Server-sent events out of bytes, as the HTML standard's "event stream interpretation" says, with a bound."""

from collections.abc import Iterator

MAX_LINE = 1_000_000  # bytes


class LineTooLong(ValueError):
    """A line longer than MAX_LINE: no event the gateway sends needs it."""


class EventDecoder:
    """Feed it bytes as they come, cut anywhere; it yields the data of each complete event."""

    def __init__(self) -> None:
        self.rest = b""
        self.started = False
        self.data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[str]:
        *lines, self.rest = self._split(self.rest + piece)
        if len(self.rest) > MAX_LINE:
            raise LineTooLong
        for line in lines:
            if len(line) > MAX_LINE:
                raise LineTooLong
            if line:
                self._field(line)
            elif self.data:
                yield "\n".join(self.data)
                self.data = []

    def _split(self, data: bytes) -> list[bytes]:
        """Lines end in \\r\\n, \\n or \\r; a \\r at the very end may be half of a \\r\\n and waits."""
        if not self.started and len(data) >= 3:
            self.started = True
            data = data.removeprefix(b"\xef\xbb\xbf")
        if b"\r" not in data:
            return data.split(b"\n")
        waiting = data.endswith(b"\r")
        lines = data[: len(data) - waiting].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        lines[-1] += b"\r" * waiting
        return lines

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self.data.append(value.removeprefix(b" ").decode(errors="replace"))
