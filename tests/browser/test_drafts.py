"""What is typed and not sent is there on another device; what was sent does not come back."""

from urllib.parse import parse_qs

import pytest
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, box, expect_state, items, questions, say, start_chat
from tests.server import wait_until


@pytest.fixture
def talk(person):
    talk = start_chat(person)
    talk.reply()
    return talk


@pytest.fixture
def page(person, talk, visit):
    return visit(person, address_of(talk))


def draft_of(talk):
    return talk.person.server.rows("select draft from sessions_core_chat where id = ?", talk.pk.hex)[0]["draft"]


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
    page.wait_for_function("performance.getEntriesByType('resource').some(({name}) => name.includes('drafts'))")
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
    expect_state(answers(page).last, "done")
    expect(box(page)).to_have_value("and then")
    assert draft_of(talk) == "and then"


def test_a_first_visit_asks_for_nothing_that_only_typing_needs(person, talk, visit):
    page = visit(person, "about:blank")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address_of(talk))
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if "drafts" in url or "search" in url]
    box(page).fill("x")
    until_kept(talk, "x")
