"""Server-sent events out of bytes, as the HTML standard's "event stream interpretation" says, with a bound."""

from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"


class LineTooLong(ValueError):
    """A line, or all lines of an event, over the bound: no event the gateway sends needs it."""


class EventDecoder:
    """Feed it bytes as they come, cut anywhere; it yields the data of each complete event.

    `most`: bytes of a line, and of an event's lines together.
    """

    def __init__(self, most: int = 1_000_000) -> None:
        self.most = most
        self.rest = b""
        self.started = False
        self.after_cr = False  # a \n now belongs to the \r before it
        self.data: list[str] = []
        self.size = 0

    def feed(self, piece: bytes) -> Iterator[str]:
        *lines, self.rest = self._split(piece)
        if len(self.rest) > self.most:
            raise LineTooLong
        for line in lines:
            if len(line) > self.most:
                raise LineTooLong
            if line:
                self._field(line)
            elif self.data:
                yield "\n".join(self.data)
                self.data, self.size = [], 0

    def _split(self, piece: bytes) -> list[bytes]:
        """Lines end in \\r\\n, \\n or \\r; a \\r ends its line at once, whether a \\n follows or not."""
        if self.after_cr and piece:
            self.after_cr, piece = False, piece.removeprefix(b"\n")
        self.after_cr = self.after_cr or piece.endswith(b"\r")
        data = self.rest + piece
        if not self.started and not BOM.startswith(data):
            self.started = True
            data = data.removeprefix(BOM)
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            self.data.append(value.removeprefix(b" ").decode(errors="replace"))
            self.size += len(line)
            if self.size > self.most:
                raise LineTooLong
