"""What can be done with a session: name, protect, reset and undo, pin, trash and restore."""

import pytest

from sessions_core import errors
from sessions_core.models import By, Chat, ChatEvent, Message

pytestmark = pytest.mark.django_db

PROTECTED = "This is a persistent session “Work”. Use /session delete to clear it, or switch to another session."


@pytest.fixture
def by(ada):
    return By(ada)


@pytest.fixture
def work(ada):
    return Chat.objects.start(ada, title="Work", persistent=False)


def answered(chat, text="Hello", answer="Yes."):
    reply = chat.receive(text).versions.get()
    Message.objects.filter(pk=reply.pk).update(state="streaming", owner_process="p")
    reply.deltas.create(seq=1, text=answer)
    reply.settle("done")
    return reply


def sent_for(chat):
    reply = chat.messages.running().get()
    return chat.wire_key, [turn["content"] for turn in reply.turns()]


class TestRename:
    def test_old_names_keep_leading_to_the_chat(self, work, ada, by):
        work.rename("Job", by)
        work.rename("Career", by)
        for name in ("work", "Job", "career"):
            assert Chat.objects.for_user(ada).called(name) == work

    def test_a_name_in_use_is_refused_and_nothing_changes(self, work, ada, by):
        Chat.objects.start(ada, title="Home")
        with pytest.raises(errors.NameTaken):
            work.rename("HOME", by)
        assert Chat.objects.get(pk=work.pk).title == "Work"

    def test_the_same_name_in_other_letters_is_no_conflict_with_itself(self, work, by):
        work.rename("WORK", by)
        assert Chat.objects.get(pk=work.pk).title == "WORK"
        assert not work.past_titles.exists()

    def test_an_automatic_title_never_replaces_a_chosen_one(self, work, by):
        work.receive("Something else entirely")
        assert Chat.objects.get(pk=work.pk).title == "Work"

    def test_automatic_titles_need_not_differ_and_leave_no_old_name(self, ada, by):
        chats = [Chat.objects.start(ada) for _ in range(2)]
        for chat in chats:
            chat.receive("Same words")
        chats[0].rename("Mine", by)
        assert not chats[0].past_titles.exists()


class TestProtection:
    def test_an_automatic_title_becomes_the_name(self, ada, by):
        chat = Chat.objects.start(ada)
        chat.receive("Plans for March")
        chat.protect(True, by)
        chat.refresh_from_db()
        assert (chat.persistent, chat.title, chat.title_source) == (True, "Plans for March", "user")

    def test_a_chat_without_any_title_needs_a_name_first(self, ada, by):
        with pytest.raises(errors.BadName, match="needs a name"):
            Chat.objects.start(ada).protect(True, by)

    def test_a_title_that_is_anothers_name_is_refused(self, work, ada, by):
        chat = Chat.objects.start(ada)
        chat.receive("work")
        with pytest.raises(errors.NameTaken):
            chat.protect(True, by)
        assert not Chat.objects.get(pk=chat.pk).persistent

    def test_a_persistent_session_is_not_reset(self, work, by):
        answered(work)
        work.protect(True, by)
        with pytest.raises(errors.Protected) as refusal:
            work.reset(by)
        assert str(refusal.value) == PROTECTED
        assert Chat.objects.get(pk=work.pk).chapter == 1

    def test_one_that_was_protected_meanwhile_elsewhere_is_not_reset_either(self, work, by):
        answered(work)
        Chat.objects.get(pk=work.pk).protect(True, by)
        with pytest.raises(errors.Protected):
            work.reset(by)

    def test_unprotected_again_it_can_be(self, work, by):
        answered(work)
        work.protect(True, by)
        work.protect(False, by)
        work.reset(by)
        assert work.chapter == 2

    def test_unprotecting_for_a_reset_is_undone_with_it(self, work, by):
        answered(work)
        work.protect(True, by)
        work.reset(by, unprotect=True)
        assert not work.persistent
        work.undo_reset(by)
        assert Chat.objects.get(pk=work.pk).persistent

    def test_an_undo_protects_nothing_that_was_not_protected(self, work, by):
        answered(work)
        work.reset(by, unprotect=True)
        work.undo_reset(by)
        assert not Chat.objects.get(pk=work.pk).persistent

    def test_protecting_what_is_protected_leaves_no_trace(self, work, by):
        work.protect(True, by)
        work.protect(True, by)
        assert work.events.filter(verb="protected").count() == 1

    @pytest.mark.parametrize("text", ["main", "webchat-hello"])
    def test_a_reserved_title_can_become_a_name(self, ada, by, text):
        chat = Chat.objects.start(ada)
        chat.receive(text)
        chat.protect(True, by)
        assert chat.name == f"“{text}”"


class TestChapters:
    def test_a_reset_is_a_fresh_memory_and_the_old_chapter_stays(self, work, by):
        answered(work, "Old question")
        work.reset(by)
        work.receive("New question")
        assert sent_for(work) == (f"{work.key}-c2", ["New question"])
        assert work.messages.filter(chapter=1).count() == 2

    def test_an_empty_chapter_is_not_reset(self, work, by):
        with pytest.raises(errors.NothingToReset):
            work.reset(by)
        answered(work)
        work.reset(by)
        with pytest.raises(errors.NothingToReset):
            work.reset(by)

    def test_undoing_goes_back_to_the_old_memory(self, work, by):
        answered(work)
        work.reset(by)
        work.undo_reset(by)
        assert (work.chapter, work.wire_key) == (1, work.key)

    def test_what_was_never_reset_says_so(self, work, by):
        with pytest.raises(errors.NothingToUndo, match="never reset"):
            work.undo_reset(by)

    def test_it_can_be_undone_until_the_new_chapter_has_a_message(self, work, by):
        answered(work)
        work.reset(by)
        answered(work)
        with pytest.raises(errors.NothingToUndo):
            work.undo_reset(by)
        with pytest.raises(errors.NothingToUndo):
            Chat.objects.start(work.owner).undo_reset(by)

    def test_a_key_that_was_used_is_never_used_for_another_memory(self, work, by):
        keys = [work.wire_key]
        for _ in range(3):
            answered(work)
            work.reset(by)
            work.undo_reset(by)
            work.reset(by)
            keys.append(work.wire_key)
        assert keys == [work.key, f"{work.key}-c2", f"{work.key}-c3", f"{work.key}-c4"]

    def test_a_reset_stops_the_reply_and_holds_the_line(self, work, by):
        work.receive("one")
        work.receive("two")
        work.reset(by)
        assert list(work.messages.order_by("pk").values_list("state", flat=True)) == ["sent", "stopped", "held"]
        work.resume_queue()
        assert sent_for(work) == (f"{work.key}-c2", ["two"])

    def test_a_tail_lost_before_the_reset_does_not_go_along(self, work, by):
        work.receive("lost")
        work.stop()
        work.reset(by)
        work.receive("fresh")
        assert sent_for(work)[1] == ["fresh"]


class TestTrash:
    def test_a_deleted_chat_is_gone_for_its_owner_and_comes_back_whole(self, work, ada, by):
        answered(work)
        work.trash(by)
        assert not Chat.objects.for_user(ada).exists()
        Chat.objects.trash_of(ada).get().restore(by)
        assert Chat.objects.for_user(ada).get().messages.count() == 2

    def test_deleting_stops_the_reply(self, work, by):
        work.receive("one")
        work.trash(by)
        assert work.messages.get(role="assistant").state == "stopped"

    def test_its_name_is_free_meanwhile_and_it_comes_back_under_another(self, work, ada, by):
        work.trash(by)
        Chat.objects.start(ada, title="Work")
        Chat.objects.start(ada, title="work (2)")
        work.restore(by)
        assert Chat.objects.get(pk=work.pk).title == "Work (3)"

    def test_a_persistent_session_can_be_deleted(self, work, by):
        work.protect(True, by)
        work.trash(by)
        assert work.deleted_at


def test_everything_leaves_a_trace_with_who_and_from_where(work, ada):
    by = By(ada, "cli")
    answered(work)
    for act in (
        lambda: work.rename("Job", by),
        lambda: work.protect(True, by),
        lambda: work.protect(False, by),
        lambda: work.reset(by),
        lambda: work.undo_reset(by),
        lambda: work.pin(True, by),
        lambda: work.trash(by),
        lambda: work.restore(by),
    ):
        act()
    events = ChatEvent.objects.filter(source="cli").order_by("pk")
    assert list(events.values_list("verb", flat=True)) == [
        *("renamed", "protected", "unprotected", "reset", "reset undone", "pinned", "deleted", "restored")
    ]
    assert {event.actor for event in events} == {ada}


class TestPages:
    """The session menu by plain forms."""

    @pytest.fixture
    def chat(self, client, ada, work):
        client.force_login(ada)
        answered(work)
        return work

    def page(self, client, chat):
        return client.get(f"/chat/?session={chat.key}").content.decode()

    def test_renaming_leads_back_and_a_bad_name_says_why(self, client, chat):
        client.post(f"/chats/{chat.pk}/rename/", {"title": "Job"})
        assert "<title>Job · WebChat</title>" in self.page(client, chat)
        answer = client.post(f"/chats/{chat.pk}/rename/", {"title": "main"})
        assert answer.status_code == 400
        assert "reserved" in answer.content.decode()

    def test_resetting_a_persistent_session_is_answered_with_what_can_be_done(self, client, chat, by):
        chat.protect(True, by)
        client.post(f"/chats/{chat.pk}/reset/")
        page = self.page(client, chat)
        assert PROTECTED in page
        assert "Start a new chat" in page and "Unprotect and start a new chapter" in page
        chat.notice("Something else")
        assert "Unprotect and start a new chapter" not in self.page(client, chat)
        client.post(f"/chats/{chat.pk}/reset/", {"unprotect": "1"})
        chat.refresh_from_db()
        assert (chat.persistent, chat.chapter) == (False, 2)

    def test_after_a_reset_the_old_chapter_is_folded_and_can_be_undone(self, client, chat):
        client.post(f"/chats/{chat.pk}/reset/")
        page = self.page(client, chat)
        assert "Earlier conversation · 2 messages" in page and "A new chapter" in page
        client.post(f"/chats/{chat.pk}/unreset/")
        assert "Earlier conversation" not in self.page(client, chat)
        assert client.post(f"/chats/{chat.pk}/unreset/").status_code == 409

    def test_deleting_asks_first_and_offers_the_way_back(self, client, chat):
        assert "2 messages" in client.get(f"/chats/{chat.pk}/delete/").content.decode()
        assert "<dialog" in client.get(f"/chats/{chat.pk}/delete/", headers={"HX-Request": "true"}).content.decode()
        after = client.post(f"/chats/{chat.pk}/delete/", follow=True).content.decode()
        assert "is in the trash" in after and f"/chats/{chat.pk}/restore/" in after
        assert client.get(f"/chat/?session={chat.key}").status_code == 404
        client.post(f"/chats/{chat.pk}/restore/")
        assert client.get(f"/chat/?session={chat.key}").status_code == 200

    def test_protecting_and_pinning_show(self, client, chat):
        client.post(f"/chats/{chat.pk}/persist/", {"on": "1"})
        client.post(f"/chats/{chat.pk}/pin/", {"on": "1"})
        page = self.page(client, chat)
        assert 'data-badge="persistent"' in page and "Unpin" in page and "Make not persistent" in page
