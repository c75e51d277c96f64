"""Where things are on the page, and replies that go on when a test says so."""

import re
import threading
import uuid

from playwright.sync_api import Locator, Page, expect

from tests.fake_gateway import FakeGateway, Step, delta, done, finish, role, sleep, usage, wait
from tests.server import Person, Talk

STOP = "Stop the reply"
ASK_AGAIN = "Ask again (may repeat actions)"


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def say(page: Page, text: str) -> None:
    box(page).fill(text)
    box(page).press("Enter")


def questions(page: Page) -> Locator:
    """With those on their way."""
    return page.locator("#messages > .message[data-role=user]")


def answers(page: Page) -> Locator:
    return page.locator("#messages > .message[data-role=assistant]")


def text_of(message: Locator) -> Locator:
    return message.locator(":scope > .message__body")


def pill(page: Page) -> Locator:
    return page.locator("#session-pill")


def items(page: Page) -> Locator:
    return page.locator("#chat-list .chat-item")


def stop_button(page: Page) -> Locator:
    return page.get_by_role("button", name=STOP)


def button(within: Page | Locator, name: str) -> Locator:
    return within.get_by_role("button", name=name, exact=True)


def address_of(talk: Talk) -> str:
    return f"/chat/?session={talk.key}"


def at(talk: Talk) -> re.Pattern[str]:
    """The address of a chat, for `to_have_url`."""
    return re.compile(re.escape(address_of(talk)) + "$")


def expect_state(message: Locator, state: str | re.Pattern[str]) -> None:
    expect(message).to_have_attribute("data-state", state)


class Held:
    """A reply in pieces; each is sent, word by word, when the test calls for it."""

    def __init__(self, *pieces: str, pace: float = 0.0) -> None:
        self.pieces = pieces
        self.gates = [threading.Event() for _ in range(len(pieces) + 1)]
        self.sent = 0
        self.steps: list[Step] = [role()]
        for gate, piece in zip(self.gates, pieces, strict=False):
            words = re.findall(r"\S+\s*|\s+", piece)
            self.steps += [wait(gate), *(step for word in words for step in (sleep(pace), delta(word)))]
        self.steps += [wait(self.gates[-1]), finish(), usage(), done()]

    def next(self) -> str:
        """Send one more piece; gives the text up to its end."""
        self.gates[self.sent].set()
        self.sent += 1
        return "".join(self.pieces[: self.sent])

    def rest(self) -> str:
        for gate in self.gates:
            gate.set()
        return "".join(self.pieces)


def start_chat(person: Person, gateway: FakeGateway | None = None, reply: Held | list[Step] | None = None) -> Talk:
    """A chat with its first question, which the gateway answers once with this reply."""
    talk = Talk(person)
    if gateway and reply:
        gateway.script(talk.key, reply.steps if isinstance(reply, Held) else reply, times=1)
    person.post("/chats/", id=talk.pk, text="What is new?", client_id=uuid.uuid4())
    return talk


def left_in(page):
    """What of a person's the browser has."""
    return page.evaluate(
        "Object.keys(sessionStorage).filter((name) => name.includes(':')).map((name) => sessionStorage[name])"
    )


def draft_of(talk: Talk) -> str:
    """What the server has."""
    return talk.person.server.rows("select draft from sessions_core_chat where id = ?", talk.pk.hex)[0]["draft"]
