"""The search: by name, in what was said, and standing at the hit."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, at, box, button, items, pill, questions, start_chat, text_of
from tests.fake_gateway import answer


@pytest.fixture
def talk(person, gateway):
    """Thirty turns long; the seventh speaks of a heron."""
    talk = start_chat(person, gateway, answer("Fine."))
    talk.reply()
    for n in range(1, 30):
        gateway.script(talk.key, answer("A heron stood there." if n == 7 else f"Answer {n}. " * 12), times=1)
        talk.say(f"Question {n}")
        talk.reply(n + 1)
    return talk


def dialog(page):
    return page.get_by_role("dialog", name="Search")


def field(page):
    return dialog(page).get_by_role("searchbox")


def hits(page):
    return dialog(page).locator(".hit")


def by_keys(page):
    page.keyboard.press("Control+k")


def by_the_field(page):
    page.locator("#sidebar").get_by_role("searchbox", name="Search").click()


@pytest.mark.parametrize("opened", [by_keys, by_the_field])
def test_a_session_is_found_by_its_name_and_enter_opens_it(person, visit, opened):
    talk = person.chat("Heron watching")
    person.chat("Something else")
    page = visit(person)
    opened(page)
    expect(field(page)).to_be_focused()
    expect(hits(page)).to_have_count(2)
    page.keyboard.type("HERON w")
    expect(dialog(page).get_by_role("heading", name="Sessions")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).to_have_url(at(talk))


def test_enter_opens_the_answer_to_all_that_was_typed(person, visit):
    talk = person.chat("Heron watching")
    person.chat("Something else")
    page = visit(person)
    by_keys(page)
    expect(hits(page)).to_have_count(2)
    page.keyboard.type("heron watching")
    page.keyboard.press("Enter")
    expect(page).to_have_url(at(talk))


@pytest.fixture
def late(person, visit):
    """A page with three hits, on which what reads keys in the search has not come yet; and what lets it come."""
    talk = person.chat("Heron watching")
    talk.reply()
    page = visit(person)
    held = []
    page.route("**/session-search*.js", lambda route: held.append(route), times=1)
    by_keys(page)
    page.keyboard.type("heron w")
    expect(hits(page)).to_have_count(3)  # the name, the question, the answer that repeats it
    return page, talk, lambda: held[0].continue_()


@pytest.mark.parametrize("times", [1, 2])
def test_enter_that_comes_before_what_reads_it_opens_the_hit_all_the_same(late, times):
    page, talk, come = late
    for _ in range(times):
        page.keyboard.press("Enter")
    come()
    expect(page).to_have_url(at(talk))


def test_an_arrow_that_comes_before_what_reads_it_walks_all_the_same(late):
    page, talk, come = late
    page.keyboard.press("ArrowDown")
    come()
    expect(hits(page).first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(at(talk))


def test_where_what_reads_enter_does_not_come_the_hits_are_a_page(person, visit):
    person.chat("Heron watching")
    page = visit(person)
    page.route("**/session-search*.js", lambda route: route.abort())
    by_keys(page)
    page.keyboard.type("heron w")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/chats/search/[?]q=heron"))


def test_arrows_walk_through_the_hits_and_typing_goes_on(person, visit):
    for name in ("Heron one", "Heron two"):
        person.chat(name).reply()
    page = visit(person)
    by_keys(page)
    page.keyboard.type("heron")
    expect(hits(page)).to_have_count(6)  # two names, two questions, two answers that repeat them
    page.keyboard.press("ArrowDown")
    expect(hits(page).first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(hits(page).nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(field(page)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(hits(page).last).to_be_focused()
    page.keyboard.type(" one")
    expect(field(page)).to_have_value("heron one")
    expect(hits(page)).to_have_count(3)


def test_what_was_typed_into_the_sidebar_is_taken_along(person, visit):
    person.chat("Heron watching")
    page = visit(person)
    page.locator("#sidebar").get_by_role("searchbox").focus()
    page.keyboard.type("heron")
    expect(field(page)).to_have_value("heron")
    expect(hits(page).first).to_contain_text("Heron watching")


def test_escape_closes_it_and_the_message_is_gone_on_with(person, visit):
    page = visit(person, address_of(start_chat(person)))
    box(page).fill("being typed")
    by_keys(page)
    page.keyboard.type("nothing like it")
    expect(dialog(page)).to_contain_text("Nothing found for “nothing like it”.")
    page.keyboard.press("Escape")
    if dialog(page).count():  # a search field may take the first Esc for itself
        page.keyboard.press("Escape")
    expect(dialog(page)).to_have_count(0)
    expect(box(page)).to_be_focused()
    by_keys(page)
    expect(field(page)).to_have_value("")


def expect_standing_at(page, words):
    found = page.locator("#messages .message:target")
    expect(text_of(found)).to_contain_text(words)
    expect(found).to_be_in_viewport()
    page.wait_for_timeout(300)  # nothing scrolls away from it
    expect(found).to_be_in_viewport()


def test_a_hit_in_a_message_is_stood_at_and_the_latest_can_be_reached(person, visit, talk):
    page = visit(person)
    by_keys(page)
    page.keyboard.type("heron")
    expect(hits(page)).to_have_count(1)
    expect(hits(page).locator("mark")).to_have_text("heron")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"session={talk.key}&before=41#message-"))
    expect_standing_at(page, "A heron stood there.")
    expect(text_of(questions(page)).filter(has_text="Question 29")).to_have_count(0)
    button(page, "Jump to latest ↓").click()
    expect(page).to_have_url(at(talk))
    expect(text_of(questions(page)).last).to_be_in_viewport()
    expect(text_of(questions(page)).last).to_have_text("Question 29")


def test_news_fill_what_lies_between_and_do_not_move_the_reader(person, visit, talk):
    page = visit(person, address_of(talk))
    by_keys(page)
    page.keyboard.type("heron")
    expect(hits(page)).to_have_count(1)
    page.keyboard.press("Enter")
    expect_standing_at(page, "A heron stood there.")
    talk.say("Question 30")
    expect(text_of(questions(page)).last).to_have_text("Question 30")
    seqs = page.locator("#messages > .message").evaluate_all("all => all.map(({dataset}) => Number(dataset.seq))")
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    expect(page.locator("#messages .message:target")).to_be_in_viewport()


def test_a_hit_in_an_earlier_chapter_is_unfolded(person, gateway, visit, talk):
    talk.do("persist", on=0)
    talk.do("reset")
    talk.say("A new beginning")
    talk.reply(31)
    page = visit(person, address_of(talk))
    by_keys(page)
    page.keyboard.type("Answer 29")
    expect(hits(page)).to_have_count(1)
    page.keyboard.press("Enter")
    expect_standing_at(page, "Answer 29")


def test_without_javascript_the_search_is_a_page(person, visit, talk):
    page = visit(person, java_script_enabled=False)
    page.locator("#sidebar").get_by_role("searchbox").fill("heron")
    page.keyboard.press("Enter")
    page.locator(".hit").click()
    expect(page.locator("#messages .message:target")).to_contain_text("heron")
    page.get_by_role("link", name="Later messages").click()
    expect(text_of(questions(page)).last).to_have_text("Question 29")


def test_the_keyboard_begins_a_new_chat(person, visit):
    page = visit(person, address_of(start_chat(person)))
    expect(pill(page)).to_be_visible()
    page.keyboard.press("Control+Shift+O")
    expect(page).to_have_url(re.compile("/chat/$"))
    expect(box(page)).to_be_focused()
    expect(items(page)).to_have_count(1)
    expect(answers(page)).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("words", ["", "heron", "nothing like it"])
def test_axe_finds_nothing_in_the_search(person, visit, scheme, words):
    person.chat("A heron").reply()
    page = visit(person, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)
    by_keys(page)
    expect(hits(page)).to_have_count(1)
    page.keyboard.type(words)
    if words:
        expect(dialog(page).locator("mark" if words == "heron" else ".hits__none").first).to_be_visible()
    violations = Axe().run(page).response["violations"]
    assert [(rule["id"], node["target"]) for rule in violations for node in rule["nodes"]] == []
    page.goto(f"/chats/search/?q={words}")
    violations = Axe().run(page).response["violations"]
    assert [(rule["id"], node["target"]) for rule in violations for node in rule["nodes"]] == []


def test_a_phone_has_room_for_it(person, visit):
    person.chat("long" * 30).reply()
    page = visit(person, has_touch=True, is_mobile=True, viewport={"width": 320, "height": 568})
    button(page, "Chats").tap()
    page.locator("#sidebar").get_by_role("searchbox").tap()
    page.keyboard.type("long")
    expect(hits(page).locator("mark").first).to_be_visible()
    assert page.locator("html").evaluate("html => html.scrollWidth") == 320
    expect(dialog(page)).to_be_in_viewport(ratio=1)
