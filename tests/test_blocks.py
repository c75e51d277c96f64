"""Where a growing Markdown text has blocks that nothing to come can change."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatapp.markdown import render
from sessions_core.blocks import BlockSplitter

pytestmark = pytest.mark.thorough

ORDINARY = [
    "A paragraph with **bold** and `code`.",
    "Two lines\nof a paragraph.",
    "# Heading",
    "## Heading right before\nits text.",
    "- a\n- b\n- c",
    "- loose\n\n- items\n\n- here",
    "1. one\n2. two\n   more of two\n3. three",
    "1. one\n\n   paragraph in one\n\n2. two",
    "- a\n  - b\n    - c\n- d",
    "- item\n\n  ```py\n  x = 1\n\n  y = 2\n  ```\n\n- next",
    "```py\na = 1\n\n# no heading\n\n- no list\n```",
    "~~~\ntildes\n\n```\nnot closed by these\n~~~",
    "````md\n```\ninner\n\n```\n````",
    "```\n    ```\n\nan indented fence is no end\n```",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "> quote\n> more",
    "> quote\n>\n> second\n\n> another quote",
    "---",
    "* * *",
    "    indented code\n\n    goes on",
    "Title\n=====",
    "Title\n-----\nText",
    "```fences in a line``` are code, not a block",
    "Text\n```\ncode right after\n```\ntext right after",
    "- item\n```\ncode after item\n```",
    "[link](https://x.example/) and https://y.example/",
    "![image](https://x.example/i.png)",
    "A line with two blanks  \nand a break",
    "Text\n- a list right after\n- two\nand a lazy line",
    "<div>HTML</div>",
    "Before\n\u00a0\nand after a line with a no-break space",
    "#\u00a0no heading\nbut a paragraph",
    "- a\n\n      code in item\n\n- b",
]
DOCUMENTS = st.lists(st.sampled_from(ORDINARY), min_size=1, max_size=5).map(lambda parts: "\n\n".join(parts) + "\n")
LINES = st.sampled_from(
    ["", " ", "a", "# a", "- a", "  a", "```", "~~~py", "    a", "| a |", "> a", "1. a", "\u00a0", "```x```"]
)
ANYTHING = st.lists(LINES | st.text("ab`~#-+1.>| \t\u00a0", max_size=5), max_size=20).map("\n".join)
more = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pieces_of(text, places):
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def closed_blocks(pieces):
    splitter = BlockSplitter()
    return [closed for piece in pieces if (closed := splitter.feed(piece))]


def html(text):
    return str(render(text)[0]).replace("\n\n", "\n").strip()


@pytest.mark.parametrize(
    ("text", "closed", "still_open"),
    [
        ("one\n\ntwo", "one\n\n", "two"),
        ("one\n\ntwo\n", "one\n\n", "two\n"),
        ("one\ntwo\n", "", "one\ntwo\n"),
        ("# one\ntwo", "# one\n", "two"),
        ("one\n# two\n", "", "one\n# two\n"),
        ("- a\n\n- b\n", "", "- a\n\n- b\n"),
        ("- a\n\n  b\n", "", "- a\n\n  b\n"),
        ("- a\n\nb\n", "- a\n\n", "b\n"),
        ("1. a\n\n2) b\n", "", "1. a\n\n2) b\n"),
        ("```\na\n\nb\n", "", "```\na\n\nb\n"),
        ("```\na\n\nb\n```\n", "```\na\n\nb\n```\n", ""),
        ("```\na\n~~~\n````\n", "```\na\n~~~\n````\n", ""),
        ("````\na\n```\n", "", "````\na\n```\n"),
        ("```py\na\n```py\n", "", "```py\na\n```py\n"),
        ("```a``` b\n\nc\n", "```a``` b\n\n", "c\n"),
        ("- a\n\n  ```\n  b\n  ```\n", "", "- a\n\n  ```\n  b\n  ```\n"),
        ("|a|\n|-|\n|b|\n\nc\n", "|a|\n|-|\n|b|\n\n", "c\n"),
        ("    a\n\n    b\n", "", "    a\n\n    b\n"),
        ("a\n\u00a0\nb\n", "", "a\n\u00a0\nb\n"),
        ("#\u00a0a\n", "", "#\u00a0a\n"),
        ("a\n\n\n\n", "a\n\n", "\n\n"),
        ("", "", ""),
    ],
)
def test_a_block_is_closed_when_nothing_to_come_can_change_it(text, closed, still_open):
    splitter = BlockSplitter()
    assert (splitter.feed(text), splitter.open) == (closed, still_open)


@more
@given(ANYTHING, st.lists(st.integers(0, 100), max_size=8))
def test_the_cuts_are_the_same_however_the_text_comes(text, places):
    at_once, by_character, splitter, given_back = BlockSplitter(), BlockSplitter(), BlockSplitter(), ""
    for piece in pieces_of(text, places):
        given_back += splitter.feed(piece)
        assert text.startswith(given_back + splitter.open)
    assert given_back == at_once.feed(text) == "".join(map(by_character.feed, text))
    assert given_back + splitter.open == text


@pytest.mark.parametrize("document", ["\n\n".join(ORDINARY[start::4]) + "\n" for start in range(4)])
def test_a_document_is_cut_at_the_same_places_line_by_line_and_at_once(document):
    lines = closed_blocks(document.splitlines(keepends=True))
    assert len(lines) > 5
    assert closed_blocks([document]) == ["".join(lines)]


@more
@given(DOCUMENTS)
def test_closed_blocks_rendered_alone_look_as_in_the_whole(document):
    closed = closed_blocks(document.splitlines(keepends=True))
    rest = document.removeprefix("".join(closed))
    assert "\n".join(filter(None, map(html, [*closed, rest]))) == html(document)


def test_most_blocks_are_closed_before_the_text_ends():
    document = "\n\n".join(ORDINARY) + "\n"
    assert len("".join(closed_blocks([document]))) > 0.9 * len(document)
    assert len(closed_blocks(document)) > 0.6 * len(ORDINARY)
