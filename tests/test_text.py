"""What people and models write, cleaned: names one visible line, text verbatim but storable."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sessions_core.text import MAX_NAME, StreamCleaner, clean_name, clean_text, has_visible, utf16_length

FLAG = "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"  # Wales
FAMILY = "👨\u200d👩\u200d👧\u200d👦"
HIDDEN = "".join(chr(0xE0000 + ord(c)) for c in "obey me")  # "obey me" in tag characters
PERSIAN = "می\u200cخواهم"
# Any text, and texts full of what the cleaning looks at.
TRICKY = st.sampled_from(
    [
        *("a", " ", "\n", "\r", "\r\n", "\t", "\0", "\x85", "\ud83d", "\udc4d", "\ud83c", "\udff4", "\udb40", "\udc67"),
        *("👍", "e\u0301", "\u0301", "\u200b", "\u200d", "\u202e", "\ufeff", "\uffff", "\u3164", "\u2028", "\u2800"),
        *("\U0001f3f4", "\U000e0067", "\U000e0020", "\U000e007f", FLAG, FAMILY, "\u212b", "\ue000"),
    ]
)
TEXTS = st.lists(TRICKY | st.characters(), max_size=25).map("".join)
more = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def in_pieces(text, places):
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    cleaner = StreamCleaner()
    fed = [cleaner.feed(text[start:end]) for start, end in pairwise(edges)]
    return "".join(fed) + cleaner.end()


# --- text


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("tabs\tand\nlines", "tabs\tand\nlines"),
        ("a\r\nb\rc\n\r", "a\nb\nc\n\n"),
        ("a\0b", "ab"),
        ("".join(map(chr, [*range(9), 11, 12, *range(14, 32), *range(0x7F, 0xA0)])), ""),
        ("\ufeffa\ufffeb\uffffc\ufeff", "abc"),
        ("\ud83d\ude00", "😀"),
        ("\ud83d", "\ufffd"),
        ("a\ude00b", "a\ufffdb"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
        ("\ud83d\0\ude00", "😀"),
        (FLAG, FLAG),
        (f"hello{HIDDEN}", "hello"),
        (f"\U0001f3f4{HIDDEN}\U000e007f", "\U0001f3f4"),
        ("\U0001f3f4\U000e0067\U000e0062", "\U0001f3f4"),
        (FAMILY, FAMILY),
        (PERSIAN, PERSIAN),
        ("שלום \u202eabc\u202c", "שלום \u202eabc\u202c"),
        ("  spaces stay  \u200b", "  spaces stay  \u200b"),
        ("e\u0301", "e\u0301"),
        ("", ""),
    ],
)
def test_text_stays_verbatim_but_for_what_cannot_be_stored_or_seen(written, kept):
    assert clean_text(written) == kept


def test_no_text_hides_a_sentence_behind_a_flag():
    assert clean_text("\U0001f3f4" + HIDDEN * 20 + "\U000e007f") == "\U0001f3f4"


@more
@given(TEXTS)
def test_clean_text_can_be_stored_and_stays_as_it_is(text):
    clean = clean_text(text)
    assert clean == clean_text(clean)
    assert clean.encode().decode() == clean
    assert not set(clean) & {"\0", "\r", "\x0b", "\x85", "\ufffe", "\uffff", "\ufeff"}


# --- text in pieces


@more
@given(TEXTS, st.lists(st.integers(0, 100), max_size=6))
@example("a\r\nb", [3])
@example("a\r\n", [3])
@example("\r\0\n", [1, 2])
@example("\U0001f3f4\n", [2])
@example("\U0001f3f4\0" + FLAG[1:], [1, 2])
@example("\U0001f3f4\udb40\udc67" + FLAG[2:], [2])
@example("\ud83c\udff4" + FLAG[1:], [1, 3])
@example("\r\ud83d\ude00", [1, 2])
def test_text_in_any_pieces_is_cleaned_as_the_whole(text, places):
    assert in_pieces(text, places) == clean_text(text)


@pytest.mark.parametrize("text", [FLAG, FAMILY, PERSIAN, "e\u0301\u0301", "שלום", "a\r\nb\r\n", "\ud83d\ude00 😀"])
def test_text_split_at_any_place_is_the_same_text(text):
    assert {in_pieces(text, [place]) for place in range(len(text) + 1)} == {clean_text(text)}
    assert in_pieces(text, range(len(text))) == clean_text(text)


def test_halves_of_a_character_in_two_pieces_become_one():
    cleaner = StreamCleaner()
    assert cleaner.feed("so \ud83d") == "so "
    assert cleaner.feed("\ude00!") == "😀!"


def test_half_a_character_without_the_other_becomes_a_replacement_at_the_end():
    cleaner = StreamCleaner()
    assert cleaner.feed("so \ud83d") == "so "
    assert cleaner.end() == "\ufffd"
    assert cleaner.end() == ""


@more
@given(TEXTS)
def test_what_is_held_back_never_grows(text):
    cleaner = StreamCleaner()
    for c in text:
        cleaner.feed(c)
        assert len(cleaner.held) <= 9


def test_ordinary_text_is_not_held_back():
    assert StreamCleaner().feed("word 👍 ä\n") == "word 👍 ä\n"


# --- names


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("Groceries", "Groceries"),
        ("  many   spaces\u00a0here ", "many spaces here"),
        ("two\nlines\r\nand\ttabs\u2028and\u2029more", "two lines and tabs and more"),
        ("a\0b\x07\x1b[31m", "ab[31m"),
        ("\u202egpj.exe", "gpj.exe"),
        ("\u2066a\u2069\u200e\u200f\u061c", "a"),
        ("zero\u200bwidth\u2060\ufeff\u00ad", "zerowidth"),
        (f"tags{HIDDEN}", "tags"),
        (FLAG, FLAG),
        (FAMILY, FAMILY),
        (PERSIAN, PERSIAN),
        ("\u200djoiners\u200c \u200d", "joiners"),
        ("q" + "\u0301" * 9 + "o", "q" + "\u0301" * 4 + "o"),
        ("e\u0301", "\u00e9"),
        ("e\u200b\u0301", "\u00e9"),
        ("\u212bngstr\u00f6m", "\u00c5ngstr\u00f6m"),
        ("\ud800lone\udc00", "\ufffdlone\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("private\ue000 and unassigned\u0378", "private and unassigned"),
        ("\u0440\u0430ypal", "\u0440\u0430ypal"),  # a homoglyph stays what it is
        ("x" * 100, "x" * 100),
        ("x" * 101, "x" * 100),
        ("x" * 99 + " yz", "x" * 99),
    ],
)
def test_a_name_becomes_one_visible_line(given_name, shown):
    assert clean_name(given_name) == shown


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "\n\t", "\u00a0\u3000", "\u200b\u200b", "\u200d", "\u2060\ufeff", "\u202e", "\0", "\x85", "\u00ad"),
        *("\u115f", "\u1160", "\u3164", "\uffa0", "\u180e", "\u17b4", "\u2800", "\u0301\u0302", "\ufe0f", HIDDEN),
    ],
)
def test_a_name_without_anything_visible_is_empty(name):
    assert clean_name(name) == ""
    assert not has_visible(clean_text(name))


@pytest.mark.parametrize(
    "name",
    [
        *("../../etc/passwd", "..%2f", "C:\\", "CON", "a/b", "-rf", "$(id)", "`id`", "{{7*7}}", "{% raw %}"),
        *("' OR 1=1 --", "<script>", '" onmouseover=', "=cmd|' /C calc'!A0"),
    ],
)
def test_a_name_that_looks_dangerous_stays_literally(name):
    assert clean_name(name) == clean_text(name) == name


@more
@given(TEXTS | TEXTS.map(lambda text: text * 20))
@example("a" * 98 + FAMILY)
@example("a" * 97 + FLAG)
@example("e\u200b\u0301" * 5)
def test_a_clean_name_is_visible_short_storable_and_stays_as_it_is(name):
    clean = clean_name(name)
    assert clean == clean_name(clean)
    assert clean == unicodedata.normalize("NFC", clean)
    assert len(clean) <= MAX_NAME
    assert clean == "" or has_visible(clean)
    assert "\n" not in clean and "  " not in clean and clean == clean.strip()
    assert clean.encode().decode() == clean


def test_an_overlong_name_does_not_end_in_half_a_family():
    assert clean_name("a" * 98 + FAMILY) == "a" * 98 + "👨"


def test_an_overlong_name_does_not_end_in_half_a_flag():
    assert clean_name("a" * 97 + FLAG) == "a" * 97 + "\U0001f3f4"


# --- length


@pytest.mark.parametrize("text", ["", "a", "ä", "👍", "a👍b", FAMILY, "\uffff"])
def test_length_is_what_a_browser_counts(text):
    assert utf16_length(text) == len(text.encode("utf-16-le")) // 2
