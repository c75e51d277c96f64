"""What is said in a session from elsewhere, and a memory that began anew, on the open page."""

from playwright.sync_api import expect

from tests.browser.screen import address_of, answers, button, expect_state, questions, say, start_chat, text_of
from tests.fake_gateway import answer, eventually
from tests.transcripts import answered, asked, turn, typed, was_reset

NOTICES = "#messages > [data-role=notice]"


def test_it_appears_marked_and_the_agent_can_be_reminded(own_app, visit):
    person, gateway = own_app.person(), own_app.gateway
    gateway.transcripts = {}
    talk = start_chat(person, gateway, answer("This."))
    key = f"agent:main:{talk.key}"
    talk.reply()
    gateway.transcripts[key] = turn("What is new?", "This.", "chatcmpl-fake")
    page = visit(person, address_of(talk))
    expect(answers(page)).to_have_count(1)
    assert eventually(lambda: any("event-stream" in one.headers.get("accept", "") for one in gateway.looks))

    gateway.transcripts[key] += [
        asked("And **there**?", senderIdentity={"pluginId": "telegram"}),
        answered("Nothing **there**.", "other"),
    ]
    expect(answers(page)).to_have_count(2)
    expect(text_of(questions(page).last)).to_have_text("And **there**?")
    expect(questions(page).last).to_contain_text("from Telegram")
    expect(text_of(answers(page).last).locator("strong")).to_have_text("there")
    expect(answers(page).last).to_contain_text("from Telegram")
    expect(button(page, "Regenerate")).to_have_count(0)

    gateway.transcripts[key] = [was_reset()]
    remind = button(page.locator(NOTICES), "Remind it")
    expect(remind).to_be_visible()
    gateway.transcripts[key].append(typed("Hi"))
    expect(questions(page)).to_have_count(3)
    expect(remind).to_be_visible()
    other = page.context.new_page()
    other.goto(address_of(talk))
    gateway.transcripts[key] = [was_reset(), was_reset()]
    for one in (page, other):  # forgotten again, it is offered once
        expect(one.locator(NOTICES)).to_have_count(2)
        expect(button(one.locator(NOTICES), "Remind it")).to_have_count(1)
    remind.click()
    for one in (page, other):
        expect(one.locator(NOTICES)).to_have_count(3)
        expect(button(one.locator(NOTICES), "Remind it")).to_have_count(0)
    expect(page.locator(NOTICES).last).to_contain_text("goes along with your next message")
    say(page, "Really?")
    expect(answers(page)).to_have_count(3)
    expect_state(answers(page).last, "done")
    told = gateway.requests_of(talk.key)[-1].body["messages"]
    assert [turn["content"] for turn in told][:4] == ["What is new?", "This.", "And **there**?", "Nothing **there**."]
    page.reload()
    expect(button(page, "Remind it")).to_have_count(0)
