"""Commands: the menu that a slash opens, and what the answers look like and do."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.screen import (
    address_of,
    answers,
    box,
    button,
    expect_state,
    items,
    questions,
    say,
    start_chat,
    stop_button,
    text_of,
)
from tests.browser.test_look import PHONE, violations


@pytest.fixture
def talk(person):
    talk = start_chat(person)
    talk.reply()
    talk.do("rename", title="Work")
    return talk


@pytest.fixture
def page(person, talk, visit):
    return visit(person, address_of(talk))


def options(page):
    return page.get_by_role("option")


def option(page, text):
    return options(page).filter(has_text=re.compile(f"^\\s*{re.escape(text)}"))


def notices(page):
    return page.locator("#messages > .message[data-role=notice]")


def write(page, text):
    box(page).press_sequentially(text)


def title(page):
    return page.locator("#chat-header h1")


def commands_of(talk):
    sql = "select text from sessions_core_message where chat_id = ? and role = 'user' order by seq"
    return [row["text"] for row in talk.person.server.rows(sql, talk.pk.hex)][1:]


# --- the menu


def test_a_slash_opens_the_menu_which_is_filtered_by_what_is_typed(page):
    write(page, "/")
    expect(option(page, "/session new")).to_contain_text("Creates a persistent session")
    expect(option(page, "/session rename")).to_contain_text("<name>")
    expect(option(page, "/stop")).to_have_count(0)
    write(page, "fo")
    expect(options(page)).to_have_count(1)
    expect(option(page, "/session fork")).to_be_visible()
    box(page).fill("/home/me")
    expect(options(page)).to_have_count(0)


def test_the_keyboard_chooses_completes_and_sends(page, talk):
    write(page, "/session s")
    expect(options(page)).to_have_count(2)
    expect(option(page, "/session switch")).to_have_attribute("aria-selected", "true")
    expect(box(page)).to_have_attribute("aria-activedescendant", option(page, "/session switch").get_attribute("id"))
    box(page).press("ArrowDown")
    expect(option(page, "/session status")).to_have_attribute("aria-selected", "true")
    box(page).press("ArrowDown")
    box(page).press("ArrowUp")
    box(page).press("Enter")
    expect(box(page)).to_have_value("/session status")
    expect(notices(page)).to_have_count(0)
    box(page).press("Enter")
    expect(notices(page)).to_contain_text(f"Key: {talk.key}")
    expect(options(page)).to_have_count(0)
    expect(box(page)).to_have_value("")


def test_tab_completes_and_then_goes_on(page):
    write(page, "/he")
    expect(options(page)).to_have_count(1)
    box(page).press("Tab")
    expect(box(page)).to_have_value("/help")
    expect(box(page)).to_be_focused()
    box(page).press("Tab")
    expect(button(page, "Send")).to_be_focused()
    expect(options(page)).to_have_count(0)


def test_escape_closes_the_menu_and_stops_nothing(person, gateway, held, visit):
    talk = start_chat(person, gateway, reply := held("It goes", " on."))
    page = visit(person, address_of(talk))
    reply.next()
    expect(text_of(answers(page))).to_have_text("It goes")
    write(page, "/")
    expect(option(page, "/stop")).to_be_visible()
    box(page).press("Escape")
    expect(options(page)).to_have_count(0)
    write(page, "h")
    expect(options(page)).to_have_count(0)
    expect_state(answers(page), "streaming")
    expect(box(page)).to_have_value("/h")
    box(page).press("Escape")
    expect_state(answers(page), "stopped")


def test_the_next_slash_opens_it_again(page):
    write(page, "/")
    expect(options(page).first).to_be_visible()
    box(page).press("Escape")
    box(page).fill("")
    write(page, "/")
    expect(options(page).first).to_be_visible()


def test_an_input_method_chooses_its_own(page, talk):
    write(page, "/")
    expect(options(page).first).to_be_visible()
    for composing in ({"isComposing": True}, {"keyCode": 229}):
        box(page).dispatch_event("keydown", {"key": "Enter", "bubbles": True, "cancelable": True} | composing)
    expect(box(page)).to_have_value("/")
    assert commands_of(talk) == []


def test_axe_finds_nothing_in_the_menu_and_in_the_answers(person, talk, visit):
    page = visit(person, address_of(talk), bypass_csp=True, reduced_motion="reduce")
    for command in ("/new", "/sessions", "/help"):
        say(page, command)
        expect(box(page)).to_have_value("")
    expect(notices(page)).to_have_count(2)
    write(page, "/")
    expect(options(page).first).to_be_visible()
    assert violations(page) == []


def test_an_argument_is_completed_by_click(page, person):
    person.post("/chats/", title="Garden house", persistent="on")
    write(page, "/sw")
    option(page, "/session switch").click()
    expect(box(page)).to_have_value("/switch ")
    expect(box(page)).to_be_focused()
    write(page, "HOU")
    option(page, "Garden house").click()
    expect(box(page)).to_have_value("/switch Garden house")
    box(page).press("Enter")
    expect(title(page)).to_contain_text("Garden house")


def test_the_menu_costs_nothing_until_a_slash_is_typed_and_little_then(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    write(page, "Hello")
    box(page).fill("")
    assert not [url for url in asked if "slash" in url or "commands" in url]
    write(page, "/session s")
    expect(options(page)).to_have_count(2)
    sizes = "performance.getEntriesByType('resource').filter(r => /slash-menu/.test(r.name)).map(r => r.transferSize)"
    assert len([size for size in page.evaluate(sizes) if size]) == 1, "the file comes once, then from the cache"
    assert len([url for url in asked if "/chats/commands/" in url]) == 1


def test_on_a_phone_a_tap_completes_and_the_button_sends(person, talk, visit):
    page = visit(person, address_of(talk), **PHONE)
    box(page).tap()
    write(page, "/")
    expect(options(page).first).to_be_in_viewport()
    assert min(each.bounding_box()["height"] for each in options(page).all()) >= 44
    write(page, "Stat")
    option(page, "/session status").tap()
    expect(box(page)).to_have_value("/status")
    button(page, "Send").tap()
    expect(notices(page)).to_contain_text("Name: Work")
    assert page.locator("html").evaluate("html => html.scrollWidth") == 390


# --- the answers


def test_a_protected_session_offers_two_ways_and_unprotecting_works(page, talk):
    talk.do("persist", on="1")
    say(page, "/new")
    expect(text_of(questions(page)).last).to_have_text("/new")
    expect(notices(page)).to_contain_text("This is a persistent session “Work”.")
    expect(notices(page).get_by_role("link", name="Start a new chat")).to_be_visible()
    button(notices(page), "Unprotect and start a new chapter").click()
    expect(page.locator(".chapter summary")).to_contain_text("Earlier conversation · 2 messages")


def test_a_new_chapter_begins_and_can_be_undone(page, talk):
    talk.do("persist", on="0")
    say(page, "/new")
    expect(page.locator(".chapter summary")).to_contain_text("Earlier conversation · 2 messages")
    button(page, "Undo").click()
    expect(page.locator(".chapter")).to_have_count(0)
    expect(text_of(questions(page))).to_have_text(["What is new?", "/new"])


def test_a_new_session_is_made_and_gone_to(page, talk):
    say(page, "/session new Garden")
    expect(title(page)).to_contain_text("Garden")
    expect(items(page)).to_have_count(2)
    page.go_back()
    expect(notices(page)).to_contain_text("Created")
    notices(page).get_by_role("link", name="Garden").click()
    expect(title(page)).to_contain_text("Garden")


def test_of_several_sessions_one_is_chosen_by_its_link(page, person):
    for name in ("Garden house", "Garden fence"):
        person.post("/chats/", title=name, persistent="on")
    say(page, "/switch garden")
    expect(notices(page).get_by_role("link")).to_have_count(2)
    notices(page).get_by_role("link", name="Garden fence").click()
    expect(title(page)).to_contain_text("Garden fence")


def test_stop_stops_at_once(person, gateway, held, visit):
    talk = start_chat(person, gateway, reply := held("It goes", " on."))
    page = visit(person, address_of(talk))
    reply.next()
    expect(text_of(answers(page))).to_have_text("It goes")
    say(page, "/stop")
    expect_state(answers(page), "stopped")
    expect(text_of(notices(page))).to_have_text("Stopped.")
    expect(stop_button(page)).to_be_hidden()
    expect(button(page, "Ask again (may repeat actions)")).to_be_visible()


def test_a_second_slash_sends_it_as_text(page, talk, gateway):
    say(page, "//new")
    expect(text_of(answers(page)).last).to_contain_text("You said: /new")
    assert gateway.requests_of(talk.key)[-1].message == "/new"


def test_a_command_of_openclaw_can_be_sent_as_text(page, talk):
    say(page, "/model gpt")
    button(notices(page), "Send as text").click()
    expect(text_of(answers(page)).last).to_contain_text("You said: /model gpt")
    assert commands_of(talk) == ["/model gpt", "/model gpt"]


def test_deleting_asks_in_words_and_the_button_deletes(page, talk):
    say(page, "/session delete")
    expect(notices(page)).to_contain_text("2 messages")
    button(notices(page), "Delete this session").click()
    expect(page.get_by_text("is in the trash")).to_be_visible()
    expect(items(page)).to_have_count(0)


def test_on_the_empty_page_commands_make_no_session(person, visit):
    page = visit(person)
    say(page, "/sessions")
    expect(notices(page)).to_contain_text("You have no sessions yet.")
    say(page, "/help")
    expect(text_of(questions(page))).to_have_text(["/sessions", "/help"])
    expect(notices(page)).to_have_count(2)
    expect(notices(page).last).to_contain_text("/session new <name>")
    say(page, "/rename x")
    expect(page.get_by_role("alert")).to_contain_text("Open a session first")
    expect(box(page)).to_have_value("/rename x")
    page.reload()
    expect(box(page)).to_have_value("/rename x")
    expect(items(page)).to_have_count(0)
    say(page, "/session new Garden")
    expect(title(page)).to_contain_text("Garden")


def test_without_javascript_a_command_is_answered_all_the_same(person, talk, visit):
    page = visit(person, address_of(talk), java_script_enabled=False)
    box(page).fill("/status")
    button(page, "Send").click()
    expect(notices(page)).to_contain_text(f"Key: {talk.key}")
    page.goto("/chat/")
    box(page).fill("/switch wor")
    button(page, "Send").click()
    expect(title(page)).to_contain_text("Work")
