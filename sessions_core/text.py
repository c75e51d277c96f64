"""Cleaning of what people and models write, before it is stored: names one visible line, text verbatim but storable."""

import re
import unicodedata

MAX_NAME = 100  # characters

# NUL, C0 except tab and newline, DEL, C1, and the two non-characters: PostgreSQL refuses or browsers drop them.
UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ufeff]")
# Tag characters spell invisible text; only a flag emoji (black flag, a region in tags, cancel tag) may use them.
TAGS = re.compile("(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f)|[\U000e0000-\U000e007f]")
INVISIBLE = re.compile(
    "[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u3164\uffa0]"
)
MARKS = re.compile(
    "([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
UNNAMABLE = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}


def join_surrogates(text: str) -> str:
    """Two halves of a character that arrived apart become one; a lone half becomes U+FFFD."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_text(text: str) -> str:
    """Text as a person or a model wrote it, with line ends as \\n and without what cannot be stored or seen."""
    text = join_surrogates(UNSTORABLE.sub("", text))
    return TAGS.sub(r"\1", text.replace("\r\n", "\n").replace("\r", "\n"))


def clean_name(name: str) -> str:
    """A name as one visible line of at most 100 characters; empty when nothing visible is left."""
    name = "".join(" " if c in "\n\r\t\u2028\u2029" else c for c in join_surrogates(name))
    name = "".join(c for c in name if unicodedata.category(c) not in UNNAMABLE)
    name = unicodedata.normalize("NFC", INVISIBLE.sub("", TAGS.sub(r"\1", name)))
    name = " ".join(MARKS.sub(r"\1", name).split())
    name = TAGS.sub(r"\1", name[:MAX_NAME]).strip("\u200c\u200d ")  # the cut may have gone through a sequence
    return name if has_visible(name) else ""


def has_visible(text: str) -> bool:
    """Whether a reader sees anything: not only spaces, marks and format characters."""
    return any(unicodedata.category(c)[0] not in "ZCM" for c in INVISIBLE.sub("", text).replace("\u2800", ""))


def utf16_length(text: str) -> int:
    """Length as a browser counts it."""
    return len(text) + sum(c > "\uffff" for c in text)


class StreamCleaner:
    """`clean_text` for text in pieces: holds back what only the next piece decides, such as half a character."""

    PLAIN = re.compile(r"[\n\t -~]*")  # which is most of what comes, and as it should be
    HELD = re.compile("(?:\r|\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{0,6})\\Z")

    def __init__(self) -> None:
        self.held = ""

    def feed(self, piece: str) -> str:
        if not self.held and self.PLAIN.fullmatch(piece):
            return piece
        text = self.held + UNSTORABLE.sub("", piece)
        half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = join_surrogates(text.removesuffix(half))
        match = self.HELD.search(text)
        self.held = (match.group() if match else "") + half
        return clean_text(text[: match.start()] if match else text)

    def end(self) -> str:
        text, self.held = clean_text(self.held), ""
        return text
