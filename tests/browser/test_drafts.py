"""What is typed and not sent is there on another device; what was sent does not come back."""

from urllib.parse import parse_qs

import pytest
from playwright.sync_api import expect

from tests.browser.screen import (
    address_of,
    answers,
    box,
    button,
    draft_of,
    expect_state,
    items,
    left_in,
    questions,
    say,
    start_chat,
)
from tests.server import wait_until


@pytest.fixture
def talk(person):
    talk = start_chat(person)
    talk.reply()
    return talk


@pytest.fixture
def page(person, talk, visit):
    return visit(person, address_of(talk))


def until_kept(talk, text):
    wait_until(lambda: draft_of(talk) == text, otherwise=lambda: repr(draft_of(talk)))


def test_a_draft_is_kept_when_typing_pauses_and_is_there_on_another_device(page, person, talk, visit):
    box(page).fill("half a thought")
    until_kept(talk, "half a thought")
    other = visit(person, address_of(talk))
    expect(box(other)).to_have_value("half a thought")
    other.goto("/chat/")
    expect(items(other).get_by_label("Draft")).to_be_visible()


def test_it_is_kept_when_the_page_is_left_before_that(page, person, talk):
    box(page).press_sequentially("left at once")
    expect(box(page)).to_have_value("left at once")
    page.evaluate("document.querySelector('chat-composer').drafts.then(() => null)")  # until its script has come
    page.goto("/chat/")
    until_kept(talk, "left at once")


def test_the_later_of_two_devices_is_shown(page, person, talk, visit):
    box(page).fill("from here")
    until_kept(talk, "from here")
    page.goto("/account/")
    other = visit(person, address_of(talk))
    box(other).fill("from there")
    until_kept(talk, "from there")
    page.goto(address_of(talk))
    expect(box(page)).to_have_value("from there")


def test_where_the_server_could_not_keep_it_the_browser_did(page, talk):
    page.context.clear_cookies(name="csrf")
    with page.expect_response("**/draft/") as refused:
        box(page).fill("refused")
    assert refused.value.status == 403
    page.reload()
    expect(box(page)).to_have_value("refused")
    assert draft_of(talk) == ""


def test_an_emptied_box_stays_empty(page, talk):
    box(page).fill("never mind")
    until_kept(talk, "never mind")
    box(page).fill("")
    until_kept(talk, "")
    page.reload()
    expect(box(page)).to_have_value("")


def test_what_was_sent_does_not_come_back(page, talk):
    box(page).fill("Hello")
    until_kept(talk, "Hello")
    box(page).press("Enter")
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    page.reload()
    expect(box(page)).to_have_value("")
    assert draft_of(talk) == ""


def test_a_draft_that_comes_after_its_message_is_not_kept(page, talk):
    late = []
    page.route("**/draft/", lambda route: route.abort() or late.append(route.request.post_data))
    box(page).fill("Hello")
    wait_until(lambda: page.wait_for_timeout(50) or late)
    box(page).press("Enter")
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    fields = {name: values[0] for name, values in parse_qs(late[0]).items()}
    assert fields["text"] == "Hello"
    assert talk.do("draft", **fields).status_code == 204
    assert draft_of(talk) == ""
    page.reload()
    expect(box(page)).to_have_value("")
    expect(questions(page)).to_have_count(2)


def test_the_next_message_is_kept_while_one_is_answered(page, talk):
    say(page, "Hello")
    box(page).fill("and then")
    until_kept(talk, "and then")
    expect(answers(page)).to_have_count(2)
    expect_state(answers(page).last, "done")
    expect(box(page)).to_have_value("and then")
    assert draft_of(talk) == "and then"


def test_a_first_visit_asks_for_nothing_that_only_typing_needs(person, visit):
    page = visit(person, "about:blank")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/chat/")
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if "drafts" in url or "search" in url]


# --- what was sent is all that goes with it


@pytest.fixture
def failing(page):
    """No message arrives, until it is told to."""
    page.route(
        "**/messages/", lambda route: route.fulfill(status=502) if route.request.method == "POST" else route.continue_()
    )
    return lambda: page.unroute("**/messages/")


@pytest.mark.parametrize("words", ["my next words", "First"])
def test_what_is_typed_while_a_message_is_sent_again_stays_and_is_kept(page, talk, failing, words):
    say(page, "First")
    box(page).press_sequentially(words)
    until_kept(talk, words)
    failing()
    expect(answers(page)).to_have_count(2)
    expect(box(page)).to_have_value(words)
    until_kept(talk, words)
    page.reload()
    expect(box(page)).to_have_value(words)


def test_trying_again_takes_no_draft_away(page, talk, failing):
    page.clock.install()
    say(page, "First")
    for _ in range(40):
        page.clock.run_for(1_000)
    again = button(page, "Not sent. Try again")
    expect(again).to_be_visible()
    page.clock.resume()
    box(page).press_sequentially("the letter I write meanwhile")
    until_kept(talk, "the letter I write meanwhile")
    failing()
    again.click()
    expect(answers(page)).to_have_count(2)
    page.reload()
    expect(box(page)).to_have_value("the letter I write meanwhile")


@pytest.mark.parametrize("words", ["Hi", "/status"])
def test_what_is_sent_from_another_tab_takes_no_draft_away(page, talk, words):
    other = page.context.new_page()
    other.goto(address_of(talk))
    box(page).fill("a long letter")
    until_kept(talk, "a long letter")
    say(other, words)
    expect(questions(page)).to_have_count(2)
    assert draft_of(talk) == "a long letter"
    page.goto("/chat/")
    page.goto(address_of(talk))
    expect(box(page)).to_have_value("a long letter")


def test_the_draft_that_became_a_message_goes_with_it_at_once(page, talk):
    box(page).press_sequentially("Hel")
    until_kept(talk, "Hel")
    expect(box(page)).to_have_js_property("defaultValue", "Hel")  # so the page knows
    page.route("**/draft/", lambda route: route.abort())
    box(page).press_sequentially("lo")
    box(page).press("Enter")
    expect(answers(page)).to_have_count(2)
    assert draft_of(talk) == ""


def test_a_draft_of_which_nobody_knows_whether_it_came_does_not_outlive_its_message(page, talk):
    lost = []

    def lose(route):
        lost.append(route.fetch())
        route.abort()

    page.route("**/draft/", lose, times=1)
    box(page).press_sequentially("Hel")
    wait_until(lambda: page.wait_for_timeout(50) or lost)
    assert draft_of(talk) == "Hel"
    box(page).press_sequentially("lo")
    box(page).press("Enter")
    expect(answers(page)).to_have_count(2)
    wait_until(lambda: page.wait_for_timeout(50) or draft_of(talk) == "")


def test_more_than_a_message_can_have_is_kept_whole_in_its_tab(page, talk):
    text = "x" * 150_000 + "the end"
    say(page, text)
    expect(page.get_by_role("alert")).to_contain_text("100,000 is the most")
    with page.expect_response("**/draft/") as refused:
        box(page).press("End")
        box(page).press_sequentially(".")
    assert refused.value.status == 400
    page.reload()
    assert box(page).input_value() == f"{text}."
    assert draft_of(talk) == ""


def test_a_reload_gives_each_of_two_tabs_its_own_words(page, talk):
    other = page.context.new_page()
    other.goto(address_of(talk))
    box(page).fill("from here")
    until_kept(talk, "from here")
    box(other).fill("from there")
    until_kept(talk, "from there")
    page.reload()
    expect(box(page)).to_have_value("from here")
    other.reload()
    expect(box(other)).to_have_value("from there")


def test_what_was_sent_from_another_device_does_not_come_back_by_a_reload(page, person, talk, visit):
    box(page).fill("Hello")
    until_kept(talk, "Hello")
    other = visit(person, address_of(talk))
    box(other).press("Enter")
    expect(questions(page)).to_have_count(2)
    page.reload()
    expect(questions(page)).to_have_count(2)
    expect(box(page)).to_have_value("")


def test_what_goes_along_into_a_new_chat_is_kept_with_it(person, visit):
    page = visit(person)
    held = []
    page.route("**/chats/", lambda route: held.append(route), times=1)
    say(page, "First")
    box(page).press_sequentially("and then")
    held[0].continue_()
    page.wait_for_url("**session=**")
    expect(box(page)).to_have_value("and then")
    sql = "select draft from sessions_core_chat where owner_id = (select max(owner_id) from sessions_core_chat)"
    wait_until(lambda: page.wait_for_timeout(50) or person.server.rows(sql)[0]["draft"] == "and then")


def test_a_first_message_that_was_typed_before_a_reload_is_not_in_the_next_new_chat(person, visit):
    page = visit(person)
    box(page).fill("Once")
    page.reload()
    expect(box(page)).to_have_value("Once")
    box(page).press("Enter")
    page.wait_for_url("**session=**")
    page.goto("/chat/")
    expect(box(page)).to_have_value("")


# --- signing out


def test_signing_out_keeps_what_was_just_typed_and_leaves_nothing_in_the_browser(page, talk):
    box(page).press_sequentially("last words")
    button(page, "Sign out").click()
    expect(button(page, "Sign in")).to_be_visible()
    assert draft_of(talk) == "last words"
    assert left_in(page) == []
