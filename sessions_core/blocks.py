"""Finds where a growing Markdown text has complete top-level blocks, so that each is rendered once."""

import re

FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
ITEM = re.compile(r" {0,3}([-*+]|[0-9]{1,9}[.)])([ \t]|$)")
HEADING = re.compile(r" {0,3}#{1,6}([ \t]|$)")


class BlockSplitter:
    """Feed it text as it comes; it gives back the blocks that nothing to come can change.

    A block is closed by a blank line, by the closing fence of a code block, or by the end of a heading's line. Lists
    and indented code go on over blank lines; what comes after one decides whether they do.
    """

    def __init__(self) -> None:
        self.open = ""  # text not given back yet
        self.scanned = 0  # how far into it lines were looked at
        self.fence = ""
        self.in_list = False
        self.in_code = False  # the indented kind
        self.blank = False  # the line before was blank

    def feed(self, text: str) -> str:
        self.open += text
        cut = 0
        while (end := self.open.find("\n", self.scanned)) >= 0:
            cut = self._line(self.open[self.scanned : end], self.scanned, end + 1, cut)
            self.scanned = end + 1
        closed, self.open = self.open[:cut], self.open[cut:]
        self.scanned -= cut
        return closed

    def _line(self, line: str, start: int, end: int, cut: int) -> int:
        """Look at one complete line; gives the place up to which everything is closed."""
        if self.fence:
            if self._closes_fence(line):
                self.fence = ""
                return cut if self.in_list else end
            return cut
        if not line.strip(" \t"):
            closes = not (self.blank or self.in_list or self.in_code or start == cut)
            self.blank = True
            return end if closes else cut
        starts_block = self.blank and not self._continues(line)
        self.blank = False
        if starts_block:
            self.in_list, cut = False, start
        self.in_code = not self.in_list and is_code(line) and (self.in_code or start == cut)
        if ITEM.match(line):
            self.in_list = True
        elif fence := FENCE.match(line.lstrip() if self.in_list else line):
            self.fence = fence.group(1)
        elif HEADING.match(line) and not self.in_list and start == cut:
            return end
        return cut

    def _continues(self, line: str) -> bool:
        """Whether a line after a blank one may still belong to the block before."""
        return (self.in_code and is_code(line)) or (self.in_list and (line[0] in " \t" or bool(ITEM.match(line))))

    def _closes_fence(self, line: str) -> bool:
        bare = line.strip(" \t")
        inside = not self.in_list and is_code(line)
        return not inside and len(bare) >= len(self.fence) and not bare.strip(self.fence[0])


def is_code(line: str) -> bool:
    """Whether it is indented so far that it is code, where it does not belong to a paragraph or a list."""
    return line.startswith(("    ", "\t"))
