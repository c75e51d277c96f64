"""What a model says to itself: beside its answer, or printed before its first word as a block <think>…</think>."""

from collections.abc import Callable

from ..text import StreamCleaner

OPEN, CLOSE = "<think>", "</think>"
MOST_KEPT = 100_000  # characters of one reply's reasoning


class Thinking:
    """A reply's reasoning, from its beginning and as much of it as is kept."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.room = MOST_KEPT
        self.cleaner = StreamCleaner()
        self.when_begun: Callable[[], None] = lambda: None

    def add(self, text: str) -> None:
        if self.room and (kept := self.cleaner.feed(text)[: self.room]):
            if not self.pieces:
                self.when_begun()
            self.pieces.append(kept)
            self.room -= len(kept)

    def __str__(self) -> str:
        return "".join(self.pieces).strip()


class Thoughts:
    """Takes that block out of a reply that comes in pieces; one that never closes is all there is."""

    def __init__(self, think: Callable[[str], None] = lambda thought: None) -> None:
        self.think = think
        self.held = ""  # the beginning, until it is clear what it is; then the end of what is thought
        self.passed = False

    def feed(self, text: str) -> str:
        if self.passed:
            return text
        self.held += text
        begun = self.held.lstrip()
        if begun.startswith(OPEN):
            return self._after_close(begun)
        self.passed = not OPEN.startswith(begun)
        return self._let_go() if self.passed else ""

    def _after_close(self, begun: str) -> str:
        """What follows the block, without the empty lines that set it apart."""
        thought, closed, rest = begun[len(OPEN) :].partition(CLOSE)
        if not closed:
            open_end = max(0, len(thought) - len(CLOSE) + 1)  # it may close in two pieces
            self.think(thought[:open_end])
            self.held = OPEN + thought[open_end:]
            return ""
        self.think(thought)
        self.held = OPEN + CLOSE
        self.passed = bool(rest.strip())
        return rest.lstrip()

    def end(self) -> str:
        """What was held back and is no reasoning."""
        begun = self.held.lstrip()
        if not begun.startswith(OPEN):
            return self._let_go()
        self.think(begun.removeprefix(OPEN).removesuffix(CLOSE))
        return ""

    def _let_go(self) -> str:
        held, self.held = self.held, ""
        return held
