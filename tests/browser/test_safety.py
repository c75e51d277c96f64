"""What one person's page shows to nobody else, and what a model writes and may not do."""

import pytest
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, button, expect_state, items, start_chat, text_of
from tests.fake_gateway import answer

# --- people


@pytest.mark.parametrize("place", ["a chat", "the empty page"])
def test_signing_out_in_one_tab_ends_the_other(person, visit, place):
    talk = start_chat(person)
    page = visit(person, address_of(talk))
    expect_state(answers(page), "done")
    other = page.context.new_page()
    other.goto(address_of(talk) if place == "a chat" else "/chat/")
    expect(items(other)).to_have_count(1)
    button(page, "Sign out").click()
    expect(button(page, "Sign in")).to_be_visible()
    expect(button(other, "Sign in")).to_be_visible()


def test_a_foreign_chat_is_not_there(app, person, visit):
    foreign, own = start_chat(app.person()), start_chat(person)
    page = visit(person, address_of(own))
    response = page.goto(address_of(foreign))
    assert response.status == 404
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    expect(items(page)).to_have_count(1)
    assert foreign.key not in page.content()
    items(page).get_by_role("link").click()
    expect_state(answers(page), "done")


# --- model output

NASTY = """
<script>alert("script")</script>

<img src=x onerror=alert("onerror")> <svg onload=alert("onload")></svg>

<style>* { display: none !important; background: url(http://evil.invalid/style) }</style>

<iframe src="http://evil.invalid/frame"></iframe> <form action="http://evil.invalid/"><button>Go</button></form>

<base href="http://evil.invalid/"><meta http-equiv="refresh" content="0; url=http://evil.invalid/">

![remote](http://evil.invalid/pixel.png) ![data](data:image/svg+xml,<svg/onload=alert(1)>)

[run](javascript:alert("link")) [data](data:text/html,<script>alert(1)</script>) [vb](vbscript:x)

<div hx-get="/logout/" hx-trigger="load" hx-on:load="alert(1)">htmx</div>

<live-reply data-seq="0"></live-reply> <modal-dialog><dialog open>dialog</dialog></modal-dialog>

| <script>alert("cell")</script> | `<img src=x onerror=alert("code")>` |
|---|---|
| <a href="javascript:alert(1)">x</a> | [y]( javascript:alert(1)) |

```html
<script>alert("code")</script>
```

The end."""


def test_what_a_model_writes_cannot_act(person, gateway, visit, held):
    talk = start_chat(person, gateway, reply := held(NASTY, " Really."))
    page = visit(person, address_of(talk))
    shown = text_of(answers(page))
    reply.next()
    expect(shown.locator("[data-part=blocks]")).to_contain_text('alert("code")')
    expect_harmless(shown)
    reply.rest()
    expect_state(answers(page), "done")
    expect(shown).to_contain_text("The end. Really.")
    expect_harmless(shown)
    page.reload()
    expect(shown).to_contain_text("The end. Really.")
    expect_harmless(shown)
    for link in shown.get_by_role("link").all():
        assert link.get_attribute("href").startswith("http://evil.invalid/"), "only followed when it is clicked"


def expect_harmless(shown):
    """The rest is the watch's: no dialog, no error, no breach of the policy, nothing asked of another host."""
    elements = (
        "script, style, img, svg, iframe, form, base, meta, dialog, modal-dialog, div[hx-get], [onerror], [onload]"
    )
    expect(shown.locator(elements)).to_have_count(0)
    expect(shown.locator("[href^='javascript:' i], [href^='data:' i], [href^='vbscript:' i]")).to_have_count(0)
    expect(shown.get_by_text('alert("script")')).to_be_visible()


def test_a_link_in_a_reply_says_where_it_leads(person, gateway, visit):
    talk = start_chat(person, gateway, answer("See [your bank](https://evil.invalid/login)."))
    page = visit(person, address_of(talk))
    link = text_of(answers(page)).get_by_role("link", name="your bank")
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow ugc")
    expect(link).to_have_attribute("target", "_blank")
    expect(text_of(answers(page))).to_contain_text("(evil.invalid)")


# --- the watch itself


def test_the_watch_sees_what_it_is_to_see(person, visit, watch):
    page = visit(person)
    page.route("http://evil.invalid/**", lambda route: route.fulfill(body="x"))
    page.goto("http://evil.invalid/")
    page.goto("/chat/")
    page.locator("body").evaluate("body => body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")
    page.locator("body").evaluate("() => setTimeout(() => { throw new Error('oh') })")
    page.locator("body").evaluate("() => alert('hello')")
    page.reload()
    found, watch.complaints = " ".join(watch.complaints), []
    for sign in ("another host", "Content Security Policy", "page error: oh", "dialog: hello"):
        assert sign in found
