"""A plain server remembers nothing: what was said goes along from the rows, as far as there is room for it."""

import pytest

from sessions_core import errors
from sessions_core.models import By, Chat, Message, User
from sessions_core.models.history import PAGE, tokens
from tests.test_sessions import answered

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]


@pytest.fixture(autouse=True)
def plain_server(settings):
    settings.GATEWAY_KIND, settings.GATEWAY_MODEL = "openai", "llama"


@pytest.fixture
def by():
    return By(User.objects.create_user("ada"))


@pytest.fixture
def chat(by):
    chat = Chat.objects.start(by.actor, title="Work", persistent=False)
    answered(chat, "My train leaves at 7:42", "Noted.")
    return chat


def sent(chat):
    """The turns that go out for the running reply, as one letter and the text."""
    return [f"{turn['role'][0]}: {turn['content']}" for turn in chat.messages.running().get().turns()]


def settle(chat, state, text=""):
    reply = chat.messages.running().get()
    if text:
        reply.deltas.create(seq=1, text=text)
    reply.settle(state)


def test_all_that_was_said_goes_along_every_time(chat):
    answered(chat, "And from where?", "From Ulm.")
    chat.receive("When and where?")
    said = ["u: My train leaves at 7:42", "a: Noted.", "u: And from where?", "a: From Ulm."]
    assert sent(chat) == [*said, "u: When and where?"]


def test_an_openclaw_gateway_hears_only_what_it_does_not_know(chat, settings):
    settings.GATEWAY_KIND = "openclaw"
    chat.receive("When?")
    assert sent(chat) == ["u: When?"]


def test_a_reset_begins_with_nothing_and_an_undo_brings_it_back(chat, by):
    chat.reset(by)
    chat.receive("When?")
    assert sent(chat) == ["u: When?"]
    settle(chat, "stopped")
    other = Chat.objects.start(by.actor, title="Other", persistent=False)
    answered(other, "A", "B")
    other.reset(by)
    other.undo_reset(by)
    other.receive("C")
    assert sent(other) == ["u: A", "a: B", "u: C"]


def test_a_fork_goes_on_from_what_was_said_there_and_its_reset_forgets_that(chat, by):
    fork = chat.fork(by)
    for asked in ("When?", "Sure?"):
        fork.receive(asked)
        assert sent(fork)[:2] == ["u: My train leaves at 7:42", "a: Noted."]
        settle(fork, "done", "At 7:42.")
    fork.reset(by)
    fork.receive("When?")
    assert sent(fork) == ["u: When?"]


def test_commands_and_notices_stay_here(chat):
    chat.receive("/status")
    chat.receive("When?")
    assert sent(chat) == ["u: My train leaves at 7:42", "a: Noted.", "u: When?"]


@pytest.mark.parametrize("state", ["stopped", "failed", "interrupted"])
def test_an_answer_that_was_cut_goes_along_and_says_so(chat, state):
    chat.receive("Tell me more")
    settle(chat, state, "It goes")
    chat.receive("On")
    assert sent(chat)[2:] == ["u: Tell me more", f"a: It goes [{state}]", "u: On"]


def test_a_question_that_was_never_answered_is_a_part_of_the_next(chat):
    chat.receive("From where?")
    settle(chat, "failed")
    chat.receive("Hello?")
    assert sent(chat) == ["u: My train leaves at 7:42", "a: Noted.", "u: From where?\n\nHello?"]


def test_what_was_said_anew_goes_along_as_it_is_now(chat):
    chat.receive("From where?")
    settle(chat, "failed", "It")
    failed = chat.messages.replies().order_by("pk").last()
    chat.retry(failed)
    assert sent(chat)[2:] == ["u: From where?"]
    settle(chat, "done", "From Ulm.")
    chat.edit(chat.messages.get(text="From where?"), "To where?")
    assert sent(chat) == ["u: My train leaves at 7:42", "a: Noted.", "u: To where?"]
    settle(chat, "done", "To Bonn.")
    chat.receive("Thanks")
    assert sent(chat)[2:] == ["u: To where?", "a: To Bonn.", "u: Thanks"]


def test_asking_again_repeats_no_action_because_there_is_nobody_to_act(chat, settings):
    chat.receive("On")
    settle(chat, "interrupted", "It goes")
    reply = chat.messages.replies().order_by("pk").last()
    assert not reply.may_have_acted
    settings.GATEWAY_KIND = "openclaw"
    assert reply.may_have_acted


class TestRoom:
    def test_the_newest_turns_win_and_a_person_begins(self, chat, settings):
        for n in range(60):
            answered(chat, f"Question {n}", f"Answer {n}: " + "amber " * 50)
        settings.GATEWAY_CONTEXT_TOKENS = 2000
        chat.receive("And now?")
        turns = chat.messages.running().get().turns()
        assert turns[-1]["content"] == "And now?" and turns[-2]["content"].startswith("Answer 59")
        assert turns[0]["role"] == "user" and 10 < len(turns) < 30
        assert 1200 < sum(tokens(turn["content"]) for turn in turns) <= 1500

    def test_of_a_long_chapter_only_the_end_is_read(self, chat, settings, monkeypatch):
        for n in range(40):
            answered(chat, f"Question {n}", "amber " * 400)
        settings.GATEWAY_CONTEXT_TOKENS = 2000
        chat.receive("And now?")
        reply, read, from_db = chat.messages.running().get(), [], Message.from_db
        monkeypatch.setattr(Message, "from_db", lambda *row: read.append(row) or from_db(*row))
        assert len(reply.turns()) == 3
        assert 3 <= len(read) <= PAGE + 1, "the question and a page before it"

    def test_many_short_turns_all_go_along(self, chat):
        for n in range(PAGE):
            answered(chat, f"Question {n}", "Yes.")
        chat.receive("And now?")
        assert len(sent(chat)) == 2 + 2 * PAGE + 1

    def test_a_question_that_fills_the_model_alone_is_refused_before_it_is_sent(self, chat, settings):
        settings.GATEWAY_CONTEXT_TOKENS = 2000
        text = "amber " * 1000
        with pytest.raises(errors.MessageTooLong) as refused:
            chat.receive(text)
        assert str(refused.value).startswith("The message has 6,000 characters; 4,4")
        assert not chat.messages.running().exists()

    def test_one_that_just_fits_goes_alone(self, chat, settings):
        settings.GATEWAY_CONTEXT_TOKENS = 2000
        chat.receive("amber " * 740)
        assert len(sent(chat)) == 1

    def test_one_that_was_taken_when_there_was_more_room_goes_alone(self, chat, settings):
        chat.receive("amber " * 1000)
        settings.GATEWAY_CONTEXT_TOKENS = 2000
        assert len(sent(chat)) == 1

    def test_a_gateway_that_keeps_the_memory_decides_itself(self, chat, settings):
        settings.GATEWAY_KIND, settings.GATEWAY_CONTEXT_TOKENS = "openclaw", 2000
        chat.receive("amber " * 1000)
        assert len(sent(chat)) == 1

    @pytest.mark.parametrize(
        ("text", "most"), [("amber cedar " * 10, 6), ("каждое слово ", 2), ("每个聊天", 1), ("😀🎉", 0.5)]
    )
    def test_tokens_are_estimated_at_more_than_they_are(self, text, most):
        """`most`: characters for each token that models have been seen to need for such text."""
        assert tokens(text) >= len(text) / most
