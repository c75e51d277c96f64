"""Reasoning that a model prints into its answer: a block <think>…</think> before the first word."""

OPEN, CLOSE = "<think>", "</think>"


class Thoughts:
    """Takes that block out of a reply that comes in pieces; one that never closes is all there is."""

    def __init__(self) -> None:
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
        _, closed, rest = begun.partition(CLOSE)
        if not closed:
            self.held = OPEN + begun[len(OPEN) :][-len(CLOSE) :]  # it may close in two pieces
            return ""
        self.held = OPEN + CLOSE
        self.passed = bool(rest.strip())
        return rest.lstrip()

    def end(self) -> str:
        """What was held back and is no reasoning."""
        return "" if self.held.lstrip().startswith(OPEN) else self._let_go()

    def _let_go(self) -> str:
        held, self.held = self.held, ""
        return held
