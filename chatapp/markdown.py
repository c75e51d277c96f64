"""Model output to HTML: the only place in the project that marks HTML safe.

Markdown without HTML of its own, then an explicit allowlist, and only then our own marks (code headers, link hosts), so
that nothing a model writes can act, load or pretend.
"""

import html
import re
from collections.abc import Iterator
from itertools import accumulate
from time import thread_time
from typing import Any
from urllib.parse import unquote, urlsplit

import comrak
import idna
import nh3
import pygments
from django.utils.safestring import SafeString, mark_safe
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

VERSION = 3  # raise it when the result changes: what is stored is then rendered anew
# What some texts can make the libraries below spend minutes on is bounded here; beyond that, text is shown plain.
MOST_DRAWN = 200_000  # characters
MOST_NESTED = 100  # elements in each other; the sanitiser needs the square of that
MOST_CELLS, MOST_COLUMNS = 200_000, 1_000  # comrak fills short rows up: a wide head makes millions of cells
MOST_MAILS = 2_000  # comrak recurses for each address in a paragraph: some thousands overflow the stack, and all ends
MOST_COLOURED, LONGEST_LINE = 20_000, 1_000  # characters of one code block and of its lines
COLOURING = 0.5  # seconds of computing for all code blocks of a text: some lexers stumble over a few thousand blanks

TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a", "img"),
}
ATTRIBUTES = {
    "*": set(),  # nh3 would let title and lang through everywhere
    "a": {"href"},
    "code": {"class"},
    "ol": {"start"},
    "th": {"align"},
    "td": {"align"},
    "img": {"src", "alt"},
}
SCHEMES = {"http", "https", "mailto"}
CODE = re.compile(r'<pre><code(?: class="language-([\w+#.-]{1,30})[^"]*")?>(.*?)</code></pre>', re.DOTALL)
IMAGE = re.compile(r"<img([^>]*)>")
LINK = re.compile(r'<a href="([^"]*)">(.*?)</a>', re.DOTALL)
ADDRESS = re.compile(r"https?://[^/\\?#]|mailto:", re.IGNORECASE)  # "https:host" leads elsewhere on each page
LANGUAGE = re.compile(r"language-[\w+#.-]{1,30}")
HOST = re.compile(r"[a-z0-9._:-]{1,253}")
NESTING = re.compile(r"<(/?)(?:blockquote|[uo]l|li|em|strong|del|a)\b")
BLANK = re.compile(r"\n[ \t>]*\n")
DELIMITERS = re.compile(r"^[ \t>*+0-9.):|-]+$", re.MULTILINE)
ATTRIBUTE = re.compile(r'(src|alt)="([^"]*)"')

parsing = comrak.ParseOptions()
rendering = comrak.RenderOptions()
rendering.escape = True  # HTML in the text is shown as text, not dropped
formatter = HtmlFormatter(nowrap=True, classprefix="hl-")


def render(text: str) -> tuple[SafeString, int]:
    """Markdown as HTML that cannot act, and the version of this renderer."""
    if len(text) > MOST_DRAWN:
        return plain(text)
    raw = comrak.render_markdown(
        text, extension_options=extensions(text), parse_options=parsing, render_options=rendering
    )
    if nesting(raw) > MOST_NESTED:
        return plain(text)
    clean = nh3.clean(
        raw,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel=None,
        attribute_filter=checked_attribute,
        clean_content_tags=set(),
    )
    return mark_safe(decorate(clean)), VERSION  # noqa: S308


def plain(text: str) -> tuple[SafeString, int]:
    """Text as it was written, in one block."""
    return mark_safe(code_block("", text, 0)), VERSION  # noqa: S308


def extensions(text: str) -> comrak.ExtensionOptions:
    """What is drawn beyond plain CommonMark; none of it where comrak cannot bear the number."""
    options = comrak.ExtensionOptions()
    options.strikethrough = True
    options.autolink = text.count("@") + text.count("&") <= MOST_MAILS  # an @ may be written as &#64;
    options.table = tables_fit(text)
    return options


def nesting(raw: str) -> int:
    """How many elements are inside each other at most."""
    return max(accumulate(-1 if tag[1] else 1 for tag in NESTING.finditer(raw)), default=0)


def tables_fit(text: str) -> bool:
    """Whether the tables a text may have are of a size to draw; a guess that errs to the larger side."""
    cells = 0
    for block in BLANK.split(text) if "|" in text else []:
        columns = max((row.count("|") + 1 for row in DELIMITERS.findall(block) if "-" in row), default=1)
        cells += columns * (block.count("\n") + 1) if columns > 1 else 0
        if columns > MOST_COLUMNS or cells > MOST_CELLS:
            return False
    return True


def trusted(stored: str) -> SafeString:
    """HTML that `render` made before and the database kept."""
    return mark_safe(stored)  # noqa: S308


def checked_attribute(tag: str, name: str, value: str) -> str | None:
    """Addresses only with a scheme of ours written out: no relative and no protocol-relative ones."""
    if name in ("href", "src"):
        return value if ADDRESS.match(value) else None
    if name == "class":
        language = LANGUAGE.match(value)
        return language[0] if language else None
    return value


def decorate(clean: str) -> str:
    """Our own marks on sanitised HTML: images become links, links show their host, code gets its header."""
    parts, at, until = [], 0, thread_time() + COLOURING
    for block in CODE.finditer(clean):
        parts += [links(clean[at : block.start()]), code_block(block[1] or "", html.unescape(block[2]), until)]
        at = block.end()
    return "".join([*parts, links(clean[at:])])


def links(clean: str) -> str:
    clean = clean.replace("<table>", '<div class="table" tabindex="0"><table>').replace("</table>", "</table></div>")
    return IMAGE.sub(image_as_link, LINK.sub(link, clean))


def image_as_link(match: re.Match[str]) -> str:
    """An image would tell its server who reads what; a link tells nobody until it is followed."""
    found = dict(ATTRIBUTE.findall(match[1]))
    return anchor(found["src"], words_of(match)) if "src" in found else words_of(match)


def words_of(image: re.Match[str]) -> str:
    return dict(ATTRIBUTE.findall(image[1])).get("alt") or "image"


def link(match: re.Match[str]) -> str:
    """A link in a link is none: an image inside stays its words."""
    return anchor(match[1], IMAGE.sub(words_of, match[2]))


def anchor(address: str, words: str) -> str:
    host = host_of(html.unescape(address))
    if not host:
        return f'<a href="{address}" rel="noopener noreferrer nofollow ugc">{words}</a>'
    # The host stands alone, so that no direction mark in the words turns it around.
    shown = "" if names(words, host) else f' <bdi class="link-host">({html.escape(host)})</bdi>'
    return f'<a href="{address}" target="_blank" rel="noopener noreferrer nofollow ugc">{words}</a>{shown}'


def names(words: str, host: str) -> bool:
    """Whether the words begin with the host in the letters in which the browser asks for it."""
    return bool(re.match(rf"(?:https?://)?{re.escape(host)}(?:[/:?#]|\Z)", html.unescape(words), re.IGNORECASE))


def host_of(address: str) -> str:
    """The host as the browser will ask for it, in ASCII, so that a look-alike shows."""
    if address.lower().startswith("mailto:"):
        return ""
    try:
        host = unquote(urlsplit(address).hostname or "").lower()
        host = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except ValueError:
        host = ""
    return host if HOST.fullmatch(host) else "unreadable address"


def code_block(language: str, code: str, until: float) -> str:
    label = html.escape(language or "text")
    return (
        f'<figure class="code"><figcaption><span>{label}</span><copy-button><button type="button" hidden>Copy</button>'
        f'</copy-button></figcaption><pre tabindex="0"><code>{coloured(language, code, until)}</code></pre></figure>\n'
    )


def coloured(language: str, code: str, until: float) -> str:
    if not language or len(code) > MOST_COLOURED or max(map(len, code.split("\n"))) > LONGEST_LINE:
        return html.escape(code)
    try:
        return pygments.format(tokens(language, code, until), formatter)
    except (ClassNotFound, TimeoutError):
        return html.escape(code)


def tokens(language: str, code: str, until: float) -> Iterator[Any]:
    """What the lexer finds; TimeoutError when this thread has computed beyond `until`."""
    if thread_time() > until:
        raise TimeoutError
    for token in get_lexer_by_name(language, stripnl=False).get_tokens(code):
        if thread_time() > until:
            raise TimeoutError
        yield token
