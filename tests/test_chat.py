"""A chat's verbs: start, receive, stop, retry, the line of waiting messages, names."""

import uuid

import pytest
from django.db import IntegrityError, transaction

from sessions_core import errors
from sessions_core.models import Chat, ChatEvent, Message, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password="a")


@pytest.fixture
def chat(ada):
    return Chat.objects.start(ada)


def running(chat):
    return chat.messages.running().get()


def finish(chat, state="done", text="Yes."):
    """The relay's part, in one step."""
    reply = running(chat)
    if not Message.objects.filter(pk=reply.pk).update(state="streaming", owner_process="p"):
        raise AssertionError
    reply.deltas.create(seq=1, text=text)
    assert reply.settle(state)
    return reply


def states(chat):
    return list(chat.messages.order_by("pk").values_list("role", "state"))


def test_every_chat_has_a_session_key_of_its_own(ada):
    one, two = Chat.objects.start(ada), Chat.objects.start(ada)
    assert one.openclaw_session_key == f"webchat-{one.pk}" != two.openclaw_session_key


def test_starting_twice_with_one_id_makes_one_chat(ada):
    pk = uuid.uuid4()
    assert Chat.objects.start(ada, id=pk).pk == Chat.objects.start(ada, id=pk).pk == pk
    assert Chat.objects.count() == 1


def test_anothers_id_gives_a_chat_of_ones_own(chat):
    bob = User.objects.create_user("bob")
    assert Chat.objects.start(bob, id=chat.pk).pk != chat.pk


def test_a_message_is_stored_with_a_waiting_reply_behind_it(chat):
    message = chat.receive("Hello")
    reply = running(chat)
    assert (message.seq, reply.seq, reply.parent) == (1, 2, message)
    assert states(chat) == [("user", "sent"), ("assistant", "waiting")]


def test_the_same_client_id_is_one_message(chat):
    client_id = uuid.uuid4()
    assert chat.receive("Hello", client_id).pk == chat.receive("Hello", client_id).pk
    assert chat.messages.count() == 2


def test_the_first_words_become_the_title_of_a_chat_without_a_name(chat):
    chat.receive("What is the\nweather?")
    assert (chat.title, chat.title_source) == ("What is the", "auto")


def test_a_long_first_line_is_cut_at_a_word(chat):
    chat.receive("word " * 40)
    assert len(chat.title) <= 60
    assert chat.title.endswith("word…")


@pytest.mark.parametrize("text", ["", "  \n ", "\u200b", "\x00"])
def test_a_message_nobody_could_see_is_refused(chat, text):
    with pytest.raises(errors.EmptyMessage):
        chat.receive(text)
    assert not chat.messages.exists()


def test_the_longest_message_is_taken_and_one_more_character_refused(chat):
    chat.receive("x" * 100_000)
    with pytest.raises(errors.MessageTooLong, match="100,001"):
        chat.receive("x" * 100_001)


def test_what_a_database_cannot_hold_is_cleaned(chat):
    assert chat.receive("a\x00b\ud83dc\r\nd").text == "ab\ufffdc\nd"


def test_a_message_sent_during_a_reply_waits_without_a_place(chat):
    chat.receive("one")
    waiting = chat.receive("two")
    assert (waiting.state, waiting.seq) == ("queued", None)


def test_only_five_wait_and_the_sixth_is_refused(chat):
    for n in range(6):
        chat.receive(f"message {n}")
    with pytest.raises(errors.QueueFull):
        chat.receive("one too many")
    assert chat.messages.filter(state="queued").count() == 5


def test_after_a_finished_reply_the_first_in_line_is_asked(chat):
    chat.receive("one")
    chat.receive("two")
    finish(chat)
    assert list(chat.messages.shown().values_list("seq", "role", "state")) == [
        (1, "user", "sent"),
        (2, "assistant", "done"),
        (3, "user", "sent"),
        (4, "assistant", "waiting"),
    ]


def test_after_a_failure_the_line_is_held_until_its_owner_says_go(chat):
    chat.receive("one")
    chat.receive("two")
    finish(chat, "failed")
    assert chat.messages.get(text="two").state == "held"
    chat.resume_queue()
    assert chat.messages.get(text="two").state == "sent"
    assert running(chat).parent.text == "two"


def test_a_waiting_message_is_taken_back_into_the_draft_and_a_sent_one_not(chat):
    sent, queued = chat.receive("one"), chat.receive("two")
    chat.keep_draft("typed since")
    for _ in range(2):  # an answer may be lost
        assert chat.take_back(queued) == "two"
    assert chat.take_back(sent) is None
    assert chat.messages.get(pk=queued.pk).state == "cancelled"
    assert type(chat).objects.get(pk=chat.pk).draft == "two\ntyped since"


def test_a_waiting_message_can_be_cancelled_and_a_sent_one_not(chat):
    sent, queued = chat.receive("one"), chat.receive("two")
    assert chat.cancel_queued(queued)
    assert not chat.cancel_queued(sent)
    finish(chat)
    assert chat.messages.get(pk=queued.pk).state == "cancelled"
    assert not chat.messages.running().exists()


def test_stopping_before_anybody_took_the_reply_ends_it(chat):
    chat.receive("one")
    assert chat.stop()
    assert states(chat)[1] == ("assistant", "stopped")
    assert not chat.stop()


def test_stopping_a_streaming_reply_leaves_a_flag_for_its_relay(chat):
    chat.receive("one")
    Message.objects.claim("p", 1)
    chat.stop()
    assert running(chat).stop_requested_at
    assert Message.objects.stop_wanted("p") == {running(chat).pk}


def test_a_reply_ends_once(chat):
    chat.receive("one")
    reply = finish(chat)
    assert not reply.settle("stopped")
    assert chat.messages.get(pk=reply.pk).state == "done"


def test_refused_credentials_are_noted_for_the_operator(chat):
    chat.receive("one")
    reply = running(chat)
    reply.settle("failed", code="gateway_auth")
    assert ChatEvent.objects.get(verb="gateway refused").detail == {"code": "gateway_auth"}


def test_settling_folds_the_deltas_into_the_text(chat):
    chat.receive("one")
    reply = finish(chat, text="All of it")
    assert (reply.text, reply.deltas.count()) == ("All of it", 0)


def test_a_process_that_does_not_own_a_reply_any_more_cannot_end_it(chat):
    chat.receive("one")
    reply = chat.messages.running().get()
    Message.objects.filter(pk=reply.pk).update(state="streaming", owner_process="the other")
    assert not reply.settle("done", process="the suspended one")
    assert chat.messages.running().get().owner_process == "the other"
    assert reply.settle("done", process="the other")


def test_a_second_running_reply_is_refused_by_the_database(chat):
    question = chat.receive("one")
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.create(chat=chat, chapter=1, key_number=1, role="assistant", state="waiting", parent=question)


def test_asking_again_makes_a_new_version_and_keeps_the_old(chat):
    chat.receive("one")
    old = finish(chat, "interrupted", "half")
    new = chat.retry(old)
    assert (new.version, new.parent, new.state) == (2, old.parent, "waiting")
    question, reply = chat.conversation()
    assert (question.pk, reply.pk, reply.among.number) == (old.parent_id, new.pk, 2)
    assert [m.text for m in reply.among.versions] == ["half", ""]


def test_asking_again_fifty_times_asks_once(chat):
    chat.receive("one")
    old = finish(chat, "failed", "")
    assert len({chat.retry(old).pk for _ in range(50)}) == 1
    assert chat.messages.replies().count() == 2


def test_a_finished_reply_or_one_followed_by_others_is_not_asked_again(chat):
    chat.receive("one")
    with pytest.raises(errors.NothingToRetry):
        chat.retry(finish(chat))
    chat.receive("two")
    old = finish(chat, "failed")
    chat.receive("three")
    finish(chat)
    with pytest.raises(errors.NothingToRetry):
        chat.retry(old)


def test_only_the_newest_message_goes_to_the_gateway(chat):
    chat.receive("one")
    finish(chat)
    chat.receive("two")
    assert running(chat).turns() == [{"role": "user", "content": "two"}]


def test_a_tail_lost_by_a_stop_goes_along_once(chat):
    chat.receive("one")
    finish(chat, "stopped", "half")
    chat.receive("two")
    lost = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "half [stopped]"}]
    assert running(chat).turns() == [*lost, {"role": "user", "content": "two"}]
    finish(chat)
    chat.receive("three")
    assert running(chat).turns() == [{"role": "user", "content": "three"}]


def test_asking_again_does_not_send_the_failed_attempt(chat):
    chat.receive("one")
    chat.retry(finish(chat, "interrupted", "half"))
    assert running(chat).turns() == [{"role": "user", "content": "one"}]


def test_every_change_raises_rev_of_chat_and_list(chat, ada):
    def revs():
        return Chat.objects.get(pk=chat.pk).rev, User.objects.get(pk=ada.pk).rev

    for act in (lambda: chat.receive("one"), lambda: finish(chat), lambda: chat.receive("two"), chat.stop):
        before = revs()
        act()
        assert revs() > before


def test_reading_is_remembered_and_never_backwards(chat):
    chat.receive("one")
    finish(chat)
    assert Chat.objects.listed().get().unread
    chat.mark_read(2)
    chat.mark_read(1)
    assert not Chat.objects.listed().get().unread
    chat.mark_read(10**9)
    assert Chat.objects.get().read_seq == 2


def test_a_conversation_is_read_in_pages(chat):
    for n in range(60):
        chat._place(Message(role="notice", text=str(n)), "sent")
    last = chat.conversation()
    assert [m.text for m in last] == [str(n) for n in range(10, 60)]
    assert [m.text for m in chat.conversation(before=last[0].seq)] == [str(n) for n in range(10)]
    assert [m.text for m in chat.conversation(after=58)] == ["58", "59"]


class TestNames:
    def test_a_named_chat_is_its_owners_creation(self, ada):
        chat = Chat.objects.start(ada, title=" Work \u202e ", persistent=True)
        assert (chat.title, chat.title_key, chat.persistent, chat.user_created) == ("Work", "work", True, True)
        assert ChatEvent.objects.get(chat=chat).verb == "created"

    def test_a_name_is_taken_ignoring_case_and_only_for_its_owner(self, ada):
        Chat.objects.start(ada, title="Straße")
        with pytest.raises(errors.NameTaken, match="STRASSE"):
            Chat.objects.start(ada, title="STRASSE")
        assert Chat.objects.start(User.objects.create_user("bob"), title="Straße")

    @pytest.mark.parametrize("name", ["main", "MAIN", "webchat-1", "\u200b", "\u3164", "x" * 101])
    def test_reserved_invisible_and_long_names_are_refused(self, ada, name):
        with pytest.raises(errors.BadName):
            Chat.objects.start(ada, title=name)
        assert not Chat.objects.exists()

    def test_a_chat_is_found_by_key_name_old_name_and_main(self, ada):
        work = Chat.objects.start(ada, title="Work")
        work.past_titles.create(title_key="job")
        main = Chat.objects.create(owner=ada)
        mine = Chat.objects.for_user(ada)
        assert mine.called(work.key) == mine.called("wORK") == mine.called("Job") == work
        assert mine.called("main") == main
        assert (main.name, main.wire_key) == ("Main", "main")
        for unknown in ("", "\u200b", "nothing", f"webchat-{uuid.uuid4()}"):
            with pytest.raises(Chat.DoesNotExist):
                mine.called(unknown)

    def test_a_living_name_wins_over_an_old_one(self, ada):
        old, new = Chat.objects.start(ada, title="Home"), Chat.objects.start(ada, title="Job")
        old.past_titles.create(title_key="job")
        assert Chat.objects.for_user(ada).called("job") == new


class TestConstraints:
    @pytest.mark.parametrize("key", ["webchat-1", "other", "webchat-" + "x" * 37, ""])
    def test_a_key_has_the_form_of_ours_or_of_an_adopted_session(self, ada, key):
        with pytest.raises(IntegrityError), transaction.atomic():
            Chat.objects.create(owner=ada, openclaw_session_key=key)

    def test_an_adopted_key_is_taken(self, ada):
        assert Chat.objects.create(owner=ada, openclaw_session_key="agent:main:telegram:1")

    def test_persistent_needs_a_name(self, ada):
        with pytest.raises(IntegrityError), transaction.atomic():
            Chat.objects.create(owner=ada, persistent=True)

    def test_a_person_has_one_main_chat(self, ada):
        Chat.objects.create(owner=ada)
        with pytest.raises(IntegrityError), transaction.atomic():
            Chat.objects.create(owner=ada)

    def test_a_person_with_chats_is_not_deleted(self, ada, chat):
        from django.db.models import ProtectedError

        with pytest.raises(ProtectedError):
            ada.delete()
