"""The list beside the conversation, while something else is looked at."""

import pytest
from playwright.sync_api import expect

from tests.browser.screen import address_of, items, start_chat


@pytest.mark.parametrize("elsewhere", ["another chat", "the empty page"])
def test_a_reply_goes_on_while_something_else_is_looked_at_and_its_end_is_marked(
    person, gateway, held, visit, elsewhere
):
    reply = held("It goes", " on.")
    talk = start_chat(person, gateway, reply)
    other = person.chat("Something else")
    page = visit(person, address_of(other) if elsewhere == "another chat" else "/chat/")
    item = items(page).filter(has=page.locator(f"a[href*='{talk.key}']"))
    expect(item.get_by_label("A reply is being written")).to_be_visible()
    reply.rest()
    expect(item.get_by_label("A reply is being written")).to_have_count(0)
    expect(item.get_by_label("Unread")).to_be_visible()
