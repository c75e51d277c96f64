"""Model output as HTML: nothing a model writes can act, load or pretend."""

import re
from html.parser import HTMLParser
from time import thread_time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatapp import markdown
from chatapp.markdown import render

pytestmark = pytest.mark.thorough

ALLOWED = {
    **{tag: {} for tag in ("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "code")},
    **{tag: {} for tag in ("blockquote", "ul", "li", "table", "thead", "tbody", "tr", "figcaption", "copy-button")},
    "a": {"href": r"(?i:https?://[^/\\?#]|mailto:).*", "target": "_blank", "rel": "noopener noreferrer nofollow ugc"},
    "ol": {"start": r"\d+"},
    "th": {"align": "left|right|center"},
    "td": {"align": "left|right|center"},
    "pre": {"tabindex": "0"},
    "span": {"class": r"hl-[\w-]+( hl-[\w-]+)*"},
    "bdi": {"class": "link-host"},
    "figure": {"class": "code"},
    "div": {"class": "table", "tabindex": "0"},
    "button": {"type": "button", "hidden": ""},
}
VOID = {"br", "hr"}
more = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Page(HTMLParser):
    """What a browser would make of the HTML; an AssertionError for anything that is not ours."""

    def __init__(self, text):
        super().__init__()
        self.html = str(render(text)[0])
        self.tags, self.open, self.links, self.hosts, self.text = [], [], [], [], ""
        self.feed(self.html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        allowed = ALLOWED[tag]
        for name, value in attributes:
            assert re.fullmatch(allowed[name], value or "", re.DOTALL), (tag, name, value)
        assert not (tag == "a" and "a" in self.open), "a link in a link"
        self.tags.append(tag)
        self.open += [] if tag in VOID else [tag]
        if tag == "a" and attributes:
            href = dict(attributes)["href"]
            assert dict(attributes)["rel"] and (href.lower().startswith("mailto:") or dict(attributes)["target"])
            self.links.append(href)
        if tag == "bdi":
            self.hosts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open[-1:] == ["bdi"]:
            self.hosts[-1] += data.removeprefix(" ")

    def handle_comment(self, data):
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


# --- nothing active survives

NO_ADDRESS = [
    *(
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "javascript://x.example/%0aalert(1)",
        "javascript:https://x.example",
    ),
    *(
        "java&#9;script:alert(1)",
        "java&#10;script:alert(1)",
        "java&Tab;script:alert(1)",
        "java&NewLine;script:alert(1)",
    ),
    *(
        "&#106;avascript:alert(1)",
        "&#x6A;avascript&colon;alert(1)",
        "javascript&#58;alert(1)",
        "javascript&#0;:alert(1)",
    ),
    *("&#1;javascript:alert(1)", "&#32;javascript:alert(1)", "\u00a0javascript:alert(1)", "\u200bjavascript:alert(1)"),
    *("%6aavascript:alert(1)", "javascript%3aalert(1)", "java%0ascript:alert(1)", "javascript\uff1aalert(1)"),
    *("java\\script:alert(1)", "javascript\\:alert(1)", "feed:javascript:alert(1)", "view-source:javascript:alert(1)"),
    *("jar:javascript:alert(1)!/", "livescript:alert(1)", "mocha:alert(1)", "vbscript:msgbox(1)", "VBSCRIPT:msgbox(1)"),
    *(
        "data:text/html,<script>alert(1)</script>",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/svg+xml,x",
        "data:,x",
    ),
    *(
        "file:///etc/passwd",
        "blob:https://x.example/1",
        "filesystem:https://x.example/1",
        "about:blank",
        "chrome://settings",
    ),
    *(
        "ftp://x.example",
        "ws://x.example",
        "tel:+123",
        "sms:123",
        "intent://x#Intent;end",
        "ms-settings:x",
        "xmpp:a@x.example",
    ),
    *(
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "\\\\\\\\evil.example",
        "/\\\\evil.example",
        "\\\\/evil.example",
    ),
    *(
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "https:\\\\\\\\evil.example",
        "http:?x",
        "https:#x",
    ),
    *(
        "/logout/",
        "logout/",
        "./logout/",
        "?a=b",
        "#top",
        "",
        ".",
        "https",
        "http:",
        "mailto",
        "x:y",
        ":",
        "://x.example",
    ),
    *(
        "https&#58;//evil.example&#10;",
        "ht&#9;tps://evil.example",
        "https:&#9;//evil.example",
        "//evil.example:80",
        "&sol;&sol;evil",
    ),
]
FORMS = ["[words]({})", "![words]({})", "<{}>", "[words]\n\n[words]: {}", "[words](<{}>)", '[words]({} "title")', "{}"]


@pytest.mark.parametrize("address", NO_ADDRESS)
def test_only_whole_web_and_mail_addresses_become_links(address):
    for form in FORMS:
        page = Page(form.format(address))
        for link in page.links:
            assert re.match(r"https?://([a-z0-9%-]+\.)+example", link), (form, link)  # an autolink within the text
            assert form in ("{}", "<{}>") or "https://x.example" in address


@pytest.mark.parametrize(
    "address", ["https://x.example", "http://x.example/a?b=c&d=e#f", "HTTPS://X.EXAMPLE", "mailto:a@x.example"]
)
def test_web_and_mail_addresses_become_links(address):
    assert Page(f"[words]({address})").links == [address]


ACTIVE = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://x.example/x.js></SCRIPT>",
    "<script/x>alert(1)</script>",
    "<<script>alert(1)//<</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://x.example/?q=secret'>",
    '<img """><script>alert(1)</script>">',
    "<img/src/onerror=alert(1)>",
    "<image href=x onerror=alert(1)>",
    "<picture><source srcset=https://x.example/i><img></picture>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<svg><foreignObject><iframe src=javascript:alert(1)></foreignObject></svg>",
    "<svg><use href='data:image/svg+xml,x#x'></use></svg>",
    "<svg><animate attributeName=href values=javascript:alert(1)></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "<math href='javascript:alert(1)'>x</math>",
    "<iframe src=https://x.example></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=https://x.example></object>",
    "<embed src=https://x.example>",
    "<applet code=x></applet>",
    "<form action=https://x.example><input name=password></form>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)></select>",
    "<textarea autofocus onfocus=alert(1)></textarea>",
    "<keygen autofocus onfocus=alert(1)>",
    "<isindex type=image src=1 onerror=alert(1)>",
    "<video src=x onerror=alert(1)></video>",
    "<video><source onerror=alert(1)></video>",
    "<audio src=x onerror=alert(1)></audio>",
    "<video poster=https://x.example/i></video>",
    "<details open ontoggle=alert(1)>x</details>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<body onload=alert(1)>",
    "<frameset onload=alert(1)></frameset>",
    "<style>@import 'https://x.example/x.css';</style>",
    "<style>*{background:url(//x.example)}</style>",
    "<link rel=stylesheet href=https://x.example/x.css>",
    "<link rel=prefetch href=https://x.example>",
    "<meta http-equiv=refresh content='0;url=https://x.example'>",
    "<base href=https://x.example>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<title></title><img src=x onerror=alert(1)>",
    "<textarea></textarea><img src=x onerror=alert(1)>",
    "<xmp><img src=x onerror=alert(1)></xmp>",
    "<plaintext><img src=x onerror=alert(1)>",
    "<noembed><img src=x onerror=alert(1)></noembed>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!--[if IE]><script>alert(1)</script><![endif]-->",
    "<!-- a --!><img src=x onerror=alert(1)>",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?php echo 1 ?><img src=x onerror=alert(1)>",
    "<!DOCTYPE html><img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=https://x.example onclick=alert(1)>x</a>",
    "<p style='position:fixed;top:0' id=message-1 class=message>x</p>",
    "<div hx-get=/logout hx-trigger=load>x</div>",
    "<div data-hx-post=/chats/1/delete data-x=1>x</div>",
    "<div hx-on:click=alert(1) _='on load alert(1)' x-data=x @click=x :x=y>x</div>",
    "<copy-button onclick=alert(1)><modal-dialog open></modal-dialog></copy-button>",
    "<chat-messages data-chat=1></chat-messages>",
    "<x onpointerenter=alert(1) tabindex=1 contenteditable>x</x>",
    "<b onmouseover=alert(1)>x</b>",
    "<table background=https://x.example><tr><td background=x>x</td></tr></table>",
    "<dialog open>x</dialog>",
    "<area href=javascript:alert(1)><map name=x></map>",
    "<portal src=https://x.example></portal>",
    "<slot name=x></slot><bdo dir=rtl>x</bdo>",
    "</p></div></main><h1>Signed out</h1>",
    "</code></pre><script>alert(1)</script>",
    "</figure></article><form>",
    "<p/onclick=alert(1)//",
    "<img src=x onerror\n=\nalert(1)>",
    "<a\thref='x'\tonclick\t=\talert(1)>x</a>",
    "\\<script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\x3cimg src=x onerror=alert(1)\x3e",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
]
PLACES = [
    "{}",
    "a {} b",
    "# {}",
    "- {}\n  - {}",
    "> {}",
    "| {} |\n|---|\n| {} |",
    "**{}** *{}* ~~{}~~",
    "[{}](https://x.example/)",
    "![{}](https://x.example/)",
    '[a](https://x.example/ "{}")',
    '![a](https://x.example/ "{}")',
    "[a]: https://x.example/ '{}'\n\n[a] ![a]",
    "[a](https://x.example/{})",
    "<https://x.example/{}>",
    "https://x.example/{} www.x.example/{}",
    "`{}` ``{}``",
    "    {}",
    "```\n{}\n```",
    "```{}\n{}\n```",
    "```html\n{}\n```",
    "~~~js {}\n{}\n~~~",
]


@pytest.mark.parametrize("source", ACTIVE)
def test_html_in_any_place_is_text(source):
    for place in PLACES:
        page = Page(place.replace("{}", source))
        assert all(re.match(r"https?://(www\.)?x\.example", link) for link in page.links), place


@pytest.mark.parametrize("source", [source for source in ACTIVE if source.startswith("<") and "\n" not in source])
def test_html_is_shown_as_it_was_written(source):
    assert Page(f"before {source} after").text.strip() == f"before {source} after"


def test_the_corpus_is_large():
    assert len(NO_ADDRESS) + len(ACTIVE) > 150


@more
@given(
    st.lists(
        st.sampled_from([*"<>\"'&`*_[]()!#|~-:/\\ \n", *ACTIVE[:20], "https://x.example", "](", "```", "a"]),
        max_size=25,
    )
)
def test_any_mixture_is_harmless(tokens):
    Page("".join(tokens))


@more
@given(st.text(max_size=60))
def test_any_text_is_harmless(text):
    Page(text)


# --- images and links


def test_an_image_becomes_a_link_and_loads_nothing():
    page = Page("![a *cat*](https://img.example/cat.png 'title')")
    assert (page.links, page.hosts) == (["https://img.example/cat.png"], ["(img.example)"])
    assert page.text.strip() == "a cat (img.example)"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("![](https://img.example/)", "image (img.example)"),
        ("![words](data:image/png;base64,AAAA)", "words"),
        ("![words](/local.png)", "words"),
        ("![words][ref]\n\n[ref]: https://img.example/", "words (img.example)"),
        ('![a > b "c"](https://img.example/)', 'a > b "c" (img.example)'),
    ],
)
def test_images_of_all_kinds_become_words(source, text):
    assert Page(source).text.strip() == text


def test_an_image_in_a_link_becomes_the_words_of_that_link():
    page = Page("[![badge](https://img.example/b.svg) more](https://x.example/)")
    assert (page.links, page.hosts, page.text.strip()) == (
        ["https://x.example/"],
        ["(x.example)"],
        "badge more (x.example)",
    )


@pytest.mark.parametrize(
    ("source", "host"),
    [
        ("[words](https://x.example/)", "x.example"),
        ("[words](https://X.Example:8443/a)", "x.example"),
        ("[words](https://user:pw@x.example/)", "x.example"),
        ("[https://good.example](https://evil.example)", "evil.example"),
        ("[good.example](https://evil.example)", "evil.example"),
        ("[good.example](https://good.example.evil.example)", "good.example.evil.example"),
        ("[good.example.evil](https://good.example)", "good.example"),
        ("[https://good.example@evil.example](https://evil.example)", "evil.example"),
        ("https://good.example@evil.example/", "evil.example"),
        ("https://good.example:pw@evil.example/", "evil.example"),
        ("[evil.example @ good.example](https://evil.example)", "evil.example"),
        ("<https://good.example\\@evil.example>", "evil.example"),
        ("[a](https://evil%2eexample)", "evil.example"),
        ("[a](https://EVIL%2EExample)", "evil.example"),
        ("[a](https://ev\u0456l.example)", "xn--evl-khd.example"),
        ("[https://\u0430pple.example](https://\u0430pple.example)", "xn--pple-43d.example"),
        ("https://\u0430pple.example/", "xn--pple-43d.example"),
        ("[a](https://xn--pple-43d.example)", "xn--pple-43d.example"),
        ("[fass.example](https://fa\u00df.example)", "xn--fa-hia.example"),
        ("[a](https://evil\u3002example)", "evil.example"),
        ("[a](https://\uff45\uff56\uff49\uff4c.example)", "evil.example"),
        ("[a](https://[2001:db8::1]/)", "2001:db8::1"),
        ("[a](https://2130706433/)", "2130706433"),
        ("[a](https://💩.example/)", "unreadable address"),
        ("https://x.example)}</style>", "unreadable address"),
        ("[a](https://" + "a" * 300 + ".example/)", "unreadable address"),
        ("[`good.example`](https://evil.example)", "evil.example"),
        ("[**good.example**](https://evil.example)", "evil.example"),
        ("[\u202emoc.elpmaxe](https://evil.example)", "evil.example"),
        ("[](https://evil.example)", "evil.example"),
        ("[mailto:a@good.example](https://evil.example)", "evil.example"),
        ("https://x.example/path", None),
        ("[x.example](https://x.example/a)", None),
        ("[https://x.example/a](https://x.example/b)", None),
        ("www.x.example", None),
        ("[words](mailto:a@x.example)", None),
        ("a@x.example", None),
    ],
)
def test_a_link_shows_where_it_leads_unless_its_words_say_so(source, host):
    page = Page(source)
    assert page.hosts == ([f"({host})"] if host else [])
    assert len(page.links) == 1


def test_the_host_stands_apart_from_direction_marks_in_the_words():
    assert Page("[\u202ewords](https://evil.example)").html.count('<bdi class="link-host">(evil.example)</bdi>') == 1


def test_a_link_without_an_address_of_ours_is_words():
    page = Page("[words](javascript:alert(1)) and [more](/logout/ 'title')")
    assert page.html == "<p><a>words</a> and <a>more</a></p>\n"


# --- code


def test_code_has_a_language_a_button_and_colours():
    page = Page('```python\ndef f():\n    return "<b>"\n```')
    assert page.html.startswith('<figure class="code"><figcaption><span>python</span><copy-button>')
    assert '<span class="hl-k">def</span>' in page.html
    assert page.text.strip() == 'pythonCopydef f():\n    return "<b>"'


@pytest.mark.parametrize(
    "language", ["", "nosuchlanguage", "<b>", "a" * 50, '"x', "nosuch;drop", "language-", "../../x", "hl-k"]
)
def test_code_of_any_language_is_shown_as_it_is(language):
    page = Page(f"```{language}\n<i>a & b</i>\n```")
    assert page.text.strip().endswith("Copy<i>a & b</i>")
    assert page.tags == ["figure", "figcaption", "span", "copy-button", "button", "pre", "code"]


def test_a_language_names_no_class_of_the_page():
    for info in ("python&#32;sidebar", "&lt;&#32;composer", "x&#9;hl-k", "a&quot;&#32;onclick=x"):
        assert set(re.findall(r'class="([^"]*)"', Page(f"```{info}\nx\n```").html)) <= {"code", "hl-n"}


@pytest.mark.parametrize("code", ["a = 1  # <b>", "\n\n  x\n\n", "\ttab", "'''\nopen", "é 👍 ש", "&amp; &lt;"])
@pytest.mark.parametrize("language", ["python", "html", "js", "bash", "json", "yaml", "diff", "text", ""])
def test_code_keeps_every_character(language, code):
    assert Page(f"```{language}\n{code}\n```").text.rstrip() == f"{language or 'text'}Copy{code}".rstrip()


def test_code_within_a_line_is_code():
    assert "<code>&lt;b&gt;</code>" in Page("`<b>`").html


@pytest.mark.parametrize(
    "code",
    [
        "x = 1\n" * 10_000,
        " " * 19_000 + "x",
        f"{' ' * 900}\n" * 19,
        " \n" * 9000,
        '\\"' * 450 + "\n",
        "a " * 450 + "\n",
    ],
    ids=["long", "a line of blanks", "blank lines", "short blank lines", "quotes", "words"],
)
@pytest.mark.parametrize("language", ["python", "java", "ini", "make"])
def test_code_that_would_take_long_to_colour_is_shown_all_the_same(monkeypatch, language, code):
    monkeypatch.setattr(markdown, "COLOURING", 0.1)
    began = thread_time()
    page = Page(f"```{language}\n{code}\n```")
    assert thread_time() - began < 2
    assert page.text.strip() == f"{language}Copy{code}".strip()


@pytest.mark.parametrize("code", ["x = 1\n" * 4000, "x = 1 + " * 130 + "1"], ids=["long", "a long line"])
def test_very_long_code_has_no_colours(code):
    assert "hl-" not in Page(f"```python\n{code}\n```").html


# --- documents


def test_a_document_is_drawn_with_its_structure():
    page = Page(
        "# Title\n\n**bold** *em* ~~gone~~\\\nline\n\n3. a\n4. b\n\n- c\n\n> d\n\n|e|f|\n|:-|-:|\n|1|2|\n\n---\n"
    )
    assert list(dict.fromkeys(page.tags)) == [
        *("h1", "p", "strong", "em", "del", "br", "ol", "li", "ul", "blockquote"),
        *("div", "table", "thead", "tr", "th", "tbody", "td", "hr"),
    ]
    assert '<ol start="3">' in page.html and '<td align="right">2</td>' in page.html


def test_the_same_text_gives_the_same_html_and_the_version_that_made_it():
    assert render("*a*") == render("*a*") == ("<p><em>a</em></p>\n", markdown.VERSION)
    assert markdown.trusted("<p>a</p>").__html__() == "<p>a</p>"


# --- texts made to be slow

SLOW = {
    "block quotes": ">" * 20_000,
    "block quotes with spaces": "> " * 100_000,
    "lists": "1. " * 50_000,
    "lists in quotes": "> - " * 40_000,
    "nested lists": "".join("  " * depth + "- a\n" for depth in range(400)),
    "emphasis": "*a **a " * 20_000,
    "emphasis closed": "*a **b" * 10_000 + "b** a*" * 10_000,
    "brackets": "[" * 100_000,
    "images": "![" * 50_000,
    "links": "[a](" * 40_000,
    "backticks": "".join("`" * n + " " for n in range(400)),
    "ampersands": "&" * 100_000,
    "no-break spaces": "\u00a0" * 100_000,
    "less-than": "<a " * 50_000,
    "comments": "<!-- " * 30_000,
    "mail addresses": "a@b.c " * 33_000,
    "mail addresses in disguise": "a&#64;b.c " * 19_000,
    "a wide table": "|" + "a|" * 50_000 + "\n|" + "-|" * 50_000 + "\n",
    "a wide table over many lines": "|" + "a|" * 500 + "\n|" + "-|" * 500 + "\n" + "a\n" * 90_000,
    "a wide table in a quote": "> |" + "a|" * 500 + "\n> |" + "-|" * 500 + "\n" + "> a\n" * 40_000,
    "references": "[a]: https://x.example/" + "a" * 20_000 + "\n\n" + "[a]" * 20_000,
    "code blocks": "```python\nx = 1\n```\n" * 9_000,
    "two million characters": "a@b.c & **x** " * 140_000,
    "a host": "[a](https://" + "\u00e9" * 60 + ".\u00e9" * 50_000 + ".example)",
}


@pytest.mark.parametrize("source", SLOW.values(), ids=SLOW.keys())
def test_no_text_takes_long(source):
    began = thread_time()
    html, _ = render(source)
    assert thread_time() - began < 2
    assert html


@pytest.mark.parametrize(
    "source",
    ["> " * 101 + "a", "- " * 60 + "a", "a\n\n" * 70_000],
    ids=["too nested", "too nested lists", "too long"],
)
def test_what_is_too_much_to_draw_is_shown_as_it_was_written(source):
    page = Page(source)
    assert page.tags == ["figure", "figcaption", "span", "copy-button", "button", "pre", "code"]
    assert page.text.strip() == f"textCopy{source}".strip()


def test_ten_quotes_in_each_other_are_drawn():
    assert Page(">" * 10 + "a").tags.count("blockquote") == 10


def test_a_table_too_large_to_draw_stays_text():
    wide = "|" + "a|" * 1500 + "\n|" + "-|" * 1500
    page = Page(f"# Title\n\n{wide}\n")
    assert ("table" in page.tags, "h1" in page.tags) == (False, True)
    assert page.text.strip() == f"Title\n{wide}"


def test_a_large_table_is_drawn():
    table = "|a|b|c|d|e|\n|-|-|-|-|-|\n" + "|1|2|3|4|5|\n" * 2000
    assert Page(table).tags.count("td") == 10_000


def test_many_mail_addresses_stay_text_and_some_are_links():
    assert len(Page("a@b.example\n" * 500).links) == 500
    assert Page("a@b.example " * 3000).links == []
