"""Model output to HTML: the only place in the project that marks HTML safe.

Markdown without HTML of its own, then an explicit allowlist, and only then our own marks (code headers, link hosts), so
that nothing a model writes can act, load or pretend.
"""

import html
import re
from urllib.parse import unquote, urlsplit

import comrak
import nh3
from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

VERSION = 1  # raise it when the result changes: what is stored is then rendered anew
MOST_HIGHLIGHTED = 50_000  # characters of one code block; longer ones are shown plain

TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a", "img"),
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "code": {"class"},
    "ol": {"start"},
    "th": {"align"},
    "td": {"align"},
    "img": {"src", "alt"},
}
SCHEMES = {"http", "https", "mailto"}
CODE = re.compile(r'<pre><code(?: class="language-([\w+#.-]{1,30})[^"]*")?>(.*?)</code></pre>', re.DOTALL)
IMAGE = re.compile(r"<img([^>]*)>")
LINK = re.compile(r'<a href="([^"]*)"([^>]*)>(.*?)</a>', re.DOTALL)
ATTRIBUTE = re.compile(r'(src|alt)="([^"]*)"')

extensions = comrak.ExtensionOptions()
extensions.table = extensions.strikethrough = extensions.autolink = True
parsing = comrak.ParseOptions()
rendering = comrak.RenderOptions()
rendering.escape = True  # HTML in the text is shown as text, not dropped
formatter = HtmlFormatter(nowrap=True, classprefix="hl-")


def render(text: str) -> tuple[SafeString, int]:
    """Markdown as HTML that cannot act, and the version of this renderer."""
    raw = comrak.render_markdown(text, extension_options=extensions, parse_options=parsing, render_options=rendering)
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


def trusted(stored: str) -> SafeString:
    """HTML that `render` made before and the database kept."""
    return mark_safe(stored)  # noqa: S308


def checked_attribute(tag: str, name: str, value: str) -> str | None:
    """Addresses only with a scheme of ours written out: no relative and no protocol-relative ones."""
    if name in ("href", "src"):
        return value if value.split(":")[0].lower() in SCHEMES and not value.startswith(("/", "\\")) else None
    if name == "class":
        return value if value.startswith("language-") else None
    return value


def decorate(clean: str) -> str:
    """Our own marks on sanitised HTML: images become links, links show their host, code gets its header."""
    parts, at = [], 0
    for block in CODE.finditer(clean):
        parts += [links(clean[at : block.start()]), code_block(block[1] or "", html.unescape(block[2]))]
        at = block.end()
    return "".join([*parts, links(clean[at:])])


def links(clean: str) -> str:
    return LINK.sub(link, IMAGE.sub(image_as_link, clean))


def image_as_link(match: re.Match[str]) -> str:
    """An image would tell its server who reads what; a link tells nobody until it is followed."""
    found = dict(ATTRIBUTE.findall(match[1]))
    words = found.get("alt") or "image"
    return f'<a href="{found["src"]}">{words}</a>' if "src" in found else words


def link(match: re.Match[str]) -> str:
    address, words = match[1], match[3]
    host = host_of(html.unescape(address))
    if not host:
        return f'<a href="{address}" rel="noopener noreferrer nofollow ugc">{words}</a>'
    plain = html.unescape(words)
    says_so = host_of(plain if "://" in plain else f"https://{plain}") == host
    shown = "" if says_so else f' <span class="link-host">({html.escape(host)})</span>'
    return f'<a href="{address}" target="_blank" rel="noopener noreferrer nofollow ugc">{words}</a>{shown}'


def host_of(address: str) -> str:
    """The host as the browser will ask for it, in ASCII, so that a look-alike shows."""
    try:
        return unquote(urlsplit(address).hostname or "").encode("idna").decode()
    except (UnicodeError, ValueError):
        return "unreadable address" if "//" in address else ""


def code_block(language: str, code: str) -> str:
    label = html.escape(language or "text")
    return (
        f'<figure class="code"><figcaption><span>{label}</span><copy-button><button type="button" hidden>Copy</button>'
        f'</copy-button></figcaption><pre tabindex="0"><code>{coloured(language, code)}</code></pre></figure>\n'
    )


def coloured(language: str, code: str) -> str:
    if not language or len(code) > MOST_HIGHLIGHTED:
        return html.escape(code)
    try:
        return highlight(code, get_lexer_by_name(language, stripnl=False), formatter)
    except ClassNotFound:
        return html.escape(code)
