"""A reply that grows on the page: formatted as it closes, and exact whatever happens to the page meanwhile."""

import threading

from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, expect_state, say, start_chat, text_of
from tests.fake_gateway import answer, wait, words

FORMATTED = [
    "## Plan\n\n",
    "First **this**, then that.\n\n",
    "- one\n- two\n\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n",
    "```python\nprint('hi')\n```\n\n",
    "At the end 🦞 é — and < & >.",
]
PARAGRAPHS = [f"Part {part}: {words(part, 12)}.\n\n" for part in range(11)]


def test_text_appears_while_it_is_written(person, gateway, visit, held):
    reply = held("Wait", " and", " see.")
    page = visit(person, address_of(start_chat(person, gateway, reply)))
    shown = text_of(answers(page))
    expect(shown).to_have_text("")
    expect(answers(page)).to_contain_text("working")
    for _ in reply.pieces:
        expect(shown).to_have_text(reply.next())
        expect_state(answers(page), "streaming")
    reply.rest()
    expect_state(answers(page), "done")
    expect(shown).to_have_text("Wait and see.")


def test_that_it_thinks_is_said_until_there_is_text_and_what_it_thought_stays_in_a_fold(person, gateway, visit, held):
    reply, thinks = held("Wait", " and see."), threading.Event()
    reply.steps[1:1] = [wait(thinks), lambda exchange: exchange.choice({"reasoning": "Is it <b>new</b>?"})]
    talk = start_chat(person, gateway, before := held("Nothing", "."))
    gateway.script(talk.key, reply.steps, 1)
    page = visit(person, address_of(talk))
    before.next()
    expect(text_of(answers(page))).to_have_text("Nothing")  # so the page listens: nobody says again that it thinks
    before.rest()
    expect_state(answers(page), "done")
    say(page, "Really?")
    answered = answers(page).last
    expect(answered).to_contain_text("agent is working")
    thinks.set()
    expect(answered).to_contain_text("hinking")
    reply.next()
    expect(answered).to_contain_text("agent is working")
    reply.rest()
    expect_state(answered, "done")
    thought = answered.get_by_text("Is it <b>new</b>?")
    expect(thought).to_be_hidden()
    answered.get_by_text("Thought about it").click()
    expect(thought).to_be_visible()
    expect(text_of(answered)).to_have_text("Wait and see.")


def test_blocks_are_formatted_as_they_close(person, gateway, visit, held):
    reply = held(*FORMATTED)
    page = visit(person, address_of(start_chat(person, gateway, reply)))
    blocks = text_of(answers(page)).locator("[data-part=blocks]")
    tail = text_of(answers(page)).locator("[data-part=tail]")
    reply.next()
    expect(blocks.get_by_role("heading", name="Plan")).to_be_visible()
    reply.next()
    expect(blocks.locator("strong")).to_have_text("this")
    expect(tail).to_have_text("")
    reply.next()
    reply.next()
    expect(blocks.get_by_role("listitem")).to_have_text(["one", "two"])
    reply.next()
    expect(blocks.get_by_role("cell")).to_have_text(["1", "2"])
    expect(blocks.locator("figure.code")).to_contain_text("print('hi')")
    expect(blocks.get_by_role("button", name="Copy")).to_be_visible()
    reply.next()
    expect(tail).to_have_text("At the end 🦞 é — and < & >.")


def test_at_the_end_it_is_what_a_fresh_page_shows(person, gateway, visit, held):
    talk = start_chat(person, gateway, reply := held(*FORMATTED, pace=0.01))
    page = visit(person, address_of(talk))
    text = reply.rest()
    expect_state(answers(page), "done")
    fresh = page.context.new_page()
    fresh.goto(address_of(talk))
    expect_state(answers(fresh), "done")
    assert talk.reply() == text
    expect(answers(page).get_by_role("button", name="Copy")).to_have_count(2)
    assert text_of(answers(page)).inner_html() == text_of(answers(fresh)).inner_html()
    assert text_of(answers(page)).text_content() == text_of(answers(fresh)).text_content()


def test_ten_reloads_in_a_running_reply_neither_double_nor_lose_a_character(person, gateway, visit, held):
    reply = held(*PARAGRAPHS, pace=0.01)
    page = visit(person, address_of(start_chat(person, gateway, reply)))
    for _ in range(10):
        text = reply.next()
        page.reload()  # while the words of this piece come in
        expect(text_of(answers(page))).to_have_text(text)
    expect(text_of(answers(page)).locator("[data-part=blocks] p")).to_have_count(10)
    text = reply.rest()
    expect_state(answers(page), "done")
    expect(text_of(answers(page))).to_have_text(text)


def test_what_a_page_shows_is_always_the_beginning_of_what_was_sent(person, gateway, visit, held):
    reply = held("".join(PARAGRAPHS), pace=0.01)
    page = visit(person, address_of(start_chat(person, gateway, reply)))
    whole = squeezed(reply.next())
    seen = ""
    for turn in range(60):
        if turn % 10 == 9:
            page.reload(wait_until="commit")
            answers(page).wait_for()
        now = squeezed(text_of(answers(page)).text_content())
        assert whole.startswith(now)
        assert len(now) >= len(seen), "text that was seen is gone"
        seen = now
        if now == whole:
            break
    expect(text_of(answers(page))).to_have_text(reply.rest())


def squeezed(text):
    return "".join(text.split())


def test_a_second_tab_that_joins_in_shows_the_same(person, gateway, visit, held):
    talk = start_chat(person, gateway, reply := held(*PARAGRAPHS[:4], pace=0.01))
    first = visit(person, address_of(talk))
    reply.next()
    expect(text_of(answers(first))).to_have_text(reply.next())
    second = first.context.new_page()
    second.goto(address_of(talk))
    text = reply.next()
    for page in (first, second):
        expect(text_of(answers(page))).to_have_text(text)
    text = reply.rest()
    for page in (first, second):
        expect_state(answers(page), "done")
        expect(text_of(answers(page))).to_have_text(text)
    assert text_of(answers(first)).inner_html() == text_of(answers(second)).inner_html()


def test_a_tab_closed_in_a_reply_and_opened_after_its_end_shows_it_whole(person, gateway, visit, held):
    talk = start_chat(person, gateway, reply := held(*PARAGRAPHS[:3], pace=0.01))
    page = visit(person, address_of(talk))
    expect(text_of(answers(page))).to_have_text(reply.next())
    context = page.context
    page.close()
    text = reply.rest()
    talk.reply()
    again = context.new_page()
    again.goto(address_of(talk))
    expect_state(answers(again), "done")
    expect(text_of(answers(again))).to_have_text(text)


def test_a_long_reply_at_full_speed_arrives_whole(person, gateway, visit):
    text = "\n\n".join(words(number, 40) for number in range(250))
    talk = start_chat(person, gateway, answer(text))
    page = visit(person, address_of(talk))
    expect_state(answers(page), "done")
    expect(text_of(answers(page))).to_have_text(text)
    expect(text_of(answers(page)).locator("p")).to_have_count(250)


def test_the_start_and_the_end_are_announced_and_the_text_between_is_not(person, gateway, visit, held):
    talk = start_chat(person)
    page = visit(person, address_of(talk))
    expect_state(answers(page), "done")
    gateway.script(talk.key, (reply := held("Some", " words.")).steps, times=1)
    say(page, "More, please.")
    announcer = page.locator("#announcer")
    expect(announcer).to_have_text("The assistant is answering.")
    expect(text_of(answers(page).last)).to_have_text(reply.next())
    expect(announcer).to_have_text("The assistant is answering.")
    reply.rest()
    expect(announcer).to_have_text("The reply is complete.")
