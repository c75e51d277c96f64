"""What is typed into the editor of a message is lost by nothing that happens to its page."""

import pytest
from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, box, button, expect_state, questions, start_chat, text_of


@pytest.fixture
def talk(person):
    talk = start_chat(person)
    talk.reply()
    return talk


@pytest.fixture
def page(person, talk, visit):
    return visit(person, address_of(talk))


def typed_anew(page, text):
    """An editor with words in it that are not sent."""
    questions(page).hover()
    questions(page).get_by_role("link", name="Edit").click()
    field = page.get_by_role("textbox", name="Edit your message")
    field.fill(text)
    return field


def kept_in(page):
    return page.evaluate("JSON.stringify(sessionStorage)")


@pytest.mark.parametrize("way", ["Edit", "Earlier version"])
def test_without_a_connection_the_conversation_stays_and_says_so(page, way):
    typed_anew(page, "In other words").press("Enter")
    expect_state(answers(page), "done")
    expect(questions(page).get_by_role("link", name="Earlier version")).to_be_attached()
    page.wait_for_load_state("networkidle")
    page.route("**/chats/**", lambda route: route.abort())
    questions(page).hover()
    questions(page).get_by_role("link", name=way).click()
    expect(page.get_by_role("alert")).to_contain_text("No connection. Try again in a moment.")
    page.unroute("**/chats/**")
    questions(page).get_by_role("link", name=way).click()
    came = page.get_by_role("textbox", name="Edit your message") if way == "Edit" else page.locator(".past")
    expect(came).to_be_visible()
    expect(page.get_by_role("alert").filter(visible=True)).to_have_count(0)


def test_an_edit_in_another_tab_loses_nothing_that_is_typed_in_this_one(page, talk):
    typed_anew(page, "Mine")
    other = page.context.new_page()
    other.goto(address_of(talk))
    typed_anew(other, "Theirs").press("Enter")
    expect(text_of(questions(page))).to_have_text("Theirs")
    expect(box(page)).to_have_value("Mine")
    page.reload()
    expect(box(page)).to_have_value("Mine")


def test_news_of_an_edit_that_comes_before_its_answer_leaves_nothing_in_the_message_box(page):
    late = []
    page.route("**/edit/", lambda route: late.append((route, route.fetch())), times=1)
    typed_anew(page, "In other words").press("Enter")
    expect(text_of(questions(page))).to_have_text("In other words")
    expect(box(page)).to_have_value("")
    ((route, answer),) = late
    with page.expect_response("**/edit/"):
        route.fulfill(response=answer)
    expect_state(answers(page), "done")
    expect(box(page)).to_have_value("")
    page.reload()
    expect(box(page)).to_have_value("")


def test_an_edit_whose_answer_is_lost_comes_back_only_where_nobody_has_it(page):
    def lose(route):
        route.fetch()
        route.abort()

    page.route("**/edit/", lose, times=1)
    typed_anew(page, "In other words").press("Enter")
    expect(text_of(questions(page))).to_have_text("In other words")
    expect_state(answers(page), "done")
    expect(box(page)).to_have_value("")


def test_an_edit_that_is_refused_because_another_came_first_comes_into_the_message_box_with_why(page, talk):
    late = []
    page.route("**/edit/", lambda route: late.append(route), times=1)
    typed_anew(page, "Mine").press("Enter")
    other = page.context.new_page()
    other.goto(address_of(talk))
    typed_anew(other, "Theirs").press("Enter")
    expect(text_of(questions(page))).to_have_text("Theirs")
    late[0].continue_()
    expect(box(page)).to_have_value("Mine")
    expect(page.get_by_role("alert")).to_be_visible()


@pytest.mark.parametrize("way_out", ["Send", "Cancel"])
def test_what_is_typed_into_an_editor_survives_a_reload_until_it_is_sent_or_cancelled(page, way_out):
    field = typed_anew(page, "Half a thought")
    page.reload()
    expect(field).to_have_value("Half a thought")
    expect(field).to_be_focused()
    field.press("Enter" if way_out == "Send" else "Escape")
    expect(field).to_have_count(0)
    expect_state(answers(page), "done")
    page.reload()
    expect(text_of(questions(page))).to_have_text("Half a thought" if way_out == "Send" else "What is new?")
    expect(field).to_have_count(0)
    assert "Half a thought" not in kept_in(page)


def test_an_editor_nobody_typed_into_is_closed_by_a_reload(page):
    field = typed_anew(page, "Something else")
    field.fill("What is new?")
    page.reload()
    expect(text_of(questions(page))).to_be_visible()
    expect(field).to_have_count(0)
    assert "edit:" not in kept_in(page)


def test_who_signs_out_takes_along_what_was_typed_into_an_editor(page):
    typed_anew(page, "Not for others")
    assert "Not for others" in kept_in(page)
    button(page, "Sign out").click()
    expect(button(page, "Sign in")).to_be_visible()
    assert "Not for others" not in kept_in(page)
