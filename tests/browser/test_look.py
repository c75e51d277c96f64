"""For everybody: read aloud, in the dark, on a phone, on a slow line."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.screen import (
    address_of,
    answers,
    box,
    button,
    expect_state,
    items,
    pill,
    say,
    start_chat,
    text_of,
)
from tests.fake_gateway import answer, delta, done, error, hang, status

PHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 780}}
RICH = (
    "# Title\n\nSome **text** with `code` and [a link](https://example.org/).\n\n- one\n- two\n\n> quoted\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\ndef f(x):\n    return 'x'  # a comment\n```\n"
)
WIDE = f"{'long' * 60}\n\n| {' | '.join(['wide'] * 30)} |\n|{'---|' * 30}\n\n```\n{'code ' * 60}\n```\n"


# --- read aloud


@pytest.fixture(params=["light", "dark"])
def look(request, visit):
    """Opens a page whose policy lets axe in."""
    return lambda person, path="/chat/", **options: visit(
        person, path, color_scheme=request.param, reduced_motion="reduce", bypass_csp=True, **options
    )


def violations(page):
    found = Axe().run(page).response
    assert "color-contrast" in {rule["id"] for rule in found["passes"] + found["violations"]}, "it looked"
    return [(rule["id"], node["target"]) for rule in found["violations"] for node in rule["nodes"]]


def test_axe_finds_nothing_in_a_conversation(person, gateway, look):
    talk = start_chat(person, gateway, answer(RICH))
    page = look(person, address_of(talk))
    expect_state(answers(page), "done")
    gateway.script(talk.key, [status(500)], times=1)
    say(page, "Fail")
    expect_state(answers(page).last, "failed")
    gateway.script(talk.key, [delta("Half a"), hang()])
    say(page, "Go on")
    expect(text_of(answers(page).last)).to_have_text("Half a")
    say(page, "This waits")
    expect(page.locator(".queue__item")).to_be_visible()
    assert violations(page) == []
    button(page, "Stop the reply").click()


def test_axe_finds_nothing_on_the_empty_page(person, look):
    assert violations(look(person)) == []


def test_axe_finds_nothing_in_the_dialog(person, look):
    page = look(person)
    page.get_by_role("link", name="New session…").click()
    page.get_by_label("Name").fill("main")
    button(page, "Create & switch").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def test_axe_finds_nothing_on_the_login(app, look):
    page = look(None, server=app.server)
    expect(button(page, "Sign in")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("path", ["/account/", "/chats/new/", "/chat/?session=missing"])
def test_axe_finds_nothing_on_the_other_pages(person, look, path):
    start_chat(person)
    assert violations(look(person, path)) == []


def test_the_keyboard_alone_is_enough(person, visit):
    page = visit(person, address_of(start_chat(person)))
    expect_state(answers(page), "done")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the message box")).to_be_focused()
    for name in ("WebChat", "New chat", "New session…"):
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_accessible_name(name)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Name")).to_be_focused()
    page.keyboard.type("Work")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Work")
    expect(box(page)).to_be_focused()
    page.keyboard.type("Hello")
    page.keyboard.press("Enter")
    expect(text_of(answers(page))).to_contain_text("You said: Hello")


# --- small


def test_on_a_phone_the_list_opens_and_a_chat_can_be_chosen(person, visit):
    talk = start_chat(person)
    page = visit(person, **PHONE)
    expect(items(page)).to_be_hidden()
    button(page, "Chats").tap()
    expect(items(page)).to_be_in_viewport()
    items(page).get_by_role("link").tap()
    expect(pill(page)).to_contain_text(talk.key)
    expect(items(page)).to_be_hidden()


def test_on_a_phone_the_list_closes_again(person, visit):
    page = visit(person, **PHONE)
    button(page, "Chats").tap()
    expect(page.locator("#sidebar")).to_be_in_viewport()
    button(page, "Close").tap()
    expect(page.locator("#sidebar")).to_be_hidden()
    expect(box(page)).to_be_in_viewport()


@pytest.mark.parametrize("path", ["/chat/", "/account/", "/chats/new/", "/chat/?session=missing", None])
def test_nothing_is_wider_than_320_pixels(person, gateway, visit, path):
    talk = start_chat(person, gateway, answer(WIDE))
    talk.reply()
    page = visit(person, path or address_of(talk), **PHONE | {"viewport": {"width": 320, "height": 640}})
    if not path:
        expect(text_of(answers(page)).locator("figure.code")).to_be_attached()
        say(page, "long" * 60)
    sizes = page.locator("html").evaluate("html => [html.scrollWidth, innerWidth]")
    assert sizes == [320, 320]


LOW = {"viewport": {"width": 1100, "height": 600}}
UNCOVERED = """button => {
    const {x, width, top, bottom} = button.getBoundingClientRect();
    const places = [top + 2, (top + bottom) / 2, bottom - 2];
    return places.every((y) => document.elementFromPoint(x + width / 2, y) === button);
}"""


@pytest.mark.parametrize("size", [PHONE, PHONE | {"viewport": {"width": 390, "height": 600}}, LOW])
def test_nothing_covers_what_can_be_done_with_messages_that_wait(person, gateway, visit, held, size):
    reply = held("Half")
    reply.steps[-3:] = [error("It broke"), done()]
    talk = start_chat(person, gateway, reply)
    for number in range(5):
        talk.say(f"Number {number}")
    reply.rest()
    page = visit(person, address_of(talk), **size)
    everything = page.get_by_role("region", name="Waiting messages").get_by_role("button")
    expect(everything).to_have_count(11)
    for one in everything.all():
        one.scroll_into_view_if_needed()
        assert one.evaluate(UNCOVERED), one.get_attribute("name")
        expect(button(page, "Send the rest")).to_be_in_viewport(ratio=1)
    button(page.locator(".queue__item").last, "Cancel").click()
    expect(page.locator(".queue__item")).to_have_count(4)
    expect(button(page.locator(".queue__item").last, "Cancel")).to_be_in_viewport()  # nothing has jumped


# --- light


def test_a_first_visit_takes_few_requests_and_few_bytes(person, visit):
    page = visit(person, "about:blank")
    network = page.context.new_cdp_session(page)
    asked, sizes = {}, {}
    network.on("Network.requestWillBeSent", lambda event: asked.update({event["requestId"]: event["request"]["url"]}))
    network.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    network.send("Network.enable")
    page.goto("/chat/")
    expect(box(page)).to_be_focused()
    page.wait_for_load_state("networkidle")
    taken = {asked[request]: size for request, size in sizes.items() if request in asked}
    assert len(taken) > 3, "something was measured"
    assert len(asked) <= 10, asked
    assert sum(taken.values()) <= 60_000, taken
