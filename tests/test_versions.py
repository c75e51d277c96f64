"""Another version of a reply, a question in other words: what goes on, what is told, what stays to look back at."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from sessions_core import errors
from sessions_core.export import as_json, as_markdown, load
from sessions_core.models import By, Chat, Message, User
from sessions_core.models.search import search
from tests.test_chat import finish
from tests.test_session_verbs import allow_main
from tests.test_sessions import answered, sent_for

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def ada():
    return User.objects.create_user("ada")


@pytest.fixture
def by(ada):
    return By(ada)


@pytest.fixture
def chat(ada):
    """Two questions with their answers, under the first key."""
    chat = Chat.objects.start(ada, title="Work", persistent=False)
    answered(chat, "One", "First.")
    answered(chat, "Two", "Second.")
    return chat


def question(chat, text):
    return chat.messages.current().get(role="user", text=text)


def reply(chat, text):
    return chat.messages.current().get(role="assistant", text=text)


def going_on(chat):
    return [message.text for message in chat.conversation()]


def back_at(chat, version):
    version = chat.messages.select_related("replaced_by").get(pk=version.pk)
    return [message.text for message in chat.looked_back(version)]


class TestRegenerate:
    def test_another_version_is_asked_for_under_a_new_key_with_what_was_said_before(self, chat, by):
        old = reply(chat, "Second.")
        new = chat.regenerate(old, by)
        assert (new.version, new.parent, new.state) == (2, old.parent, "waiting")
        assert sent_for(chat) == (f"{chat.key}-c2", ["One", "First.", "Two"])
        finish(chat, text="Another.")
        assert going_on(chat) == ["One", "First.", "Two", "Another."]
        assert back_at(chat, old) == ["One", "First.", "Two", "Second."]

    def test_later_turns_go_on_under_the_new_key_alone(self, chat, by):
        chat.regenerate(reply(chat, "Second."), by)
        finish(chat, text="Another.")
        chat.receive("Three")
        assert sent_for(chat) == (f"{chat.key}-c2", ["Three"])

    def test_one_that_failed_leaves_the_old_one_and_is_asked_again_with_all_that_went_along(self, chat, by):
        old = reply(chat, "Second.")
        failed = chat.regenerate(old, by)
        finish(chat, "failed", "")
        assert back_at(chat, old) == ["One", "First.", "Two", "Second."]
        chat.retry(failed)
        assert sent_for(chat) == (f"{chat.key}-c2", ["One", "First.", "Two"])

    def test_after_a_failed_one_the_next_message_takes_everything_along(self, chat, by):
        chat.regenerate(reply(chat, "Second."), by)
        finish(chat, "interrupted", "Half")
        chat.receive("Three")
        assert sent_for(chat)[1] == ["One", "First.", "Two", "Half [interrupted]", "Three"]

    def test_asked_for_fifty_times_it_is_one(self, chat, by):
        old = reply(chat, "Second.")
        assert len({chat.regenerate(old, by).pk for _ in range(50)}) == 1
        assert Chat.objects.get(pk=chat.pk).key_number == 2

    def test_no_key_is_used_twice_whatever_is_reset_and_undone(self, chat, by):
        numbers = {1}

        def anew(act):
            act()
            number = Chat.objects.get(pk=chat.pk).key_number
            assert number not in numbers
            numbers.add(number)
            finish(chat, text="Again.")

        anew(lambda: chat.regenerate(reply(chat, "Second."), by))
        chat.reset(by)
        anew(lambda: chat.receive("After the reset"))
        anew(lambda: chat.edit(question(chat, "After the reset"), "Other words"))
        chat.reset(by)
        chat.undo_reset(by)
        assert Chat.objects.get(pk=chat.pk).key_number == max(numbers)
        chat.receive("Known")
        assert sent_for(chat)[1] == ["Known"]
        finish(chat, text="Yes.")
        anew(lambda: chat.regenerate(chat.messages.replies().order_by("seq").last(), by))

    def test_what_was_taken_along_from_another_chat_is_told_again(self, chat, by):
        fork = chat.fork(by)
        fork.regenerate(reply(fork, "Second."), by)
        assert sent_for(fork) == (f"{fork.key}-c2", ["One", "First.", "Two"])

    @pytest.mark.parametrize("state", ["failed", "stopped", "interrupted"])
    def test_what_went_wrong_is_asked_again_instead(self, chat, by, state):
        chat.receive("Three")
        with pytest.raises(errors.NothingToRetry):
            chat.regenerate(finish(chat, state), by)

    def test_only_the_last_reply_and_only_while_none_is_written(self, chat, by):
        with pytest.raises(errors.NothingToRetry):
            chat.regenerate(reply(chat, "First."), by)
        chat.receive("Three")
        with pytest.raises(errors.NothingToRetry):
            chat.regenerate(reply(chat, "Second."), by)

    def test_a_reply_of_an_earlier_chapter_is_not(self, chat, by):
        old = reply(chat, "Second.")
        chat.reset(by)
        with pytest.raises(errors.NothingToRetry):
            chat.regenerate(old, by)

    def test_what_is_held_in_line_stays_held(self, chat, by):
        chat.receive("Three")
        chat.receive("Waits")
        finish(chat, "failed")
        chat.retry(chat.messages.replies().order_by("seq").last())
        chat.regenerate(finish(chat, text="Third."), by)
        finish(chat, text="Other.")
        assert chat.messages.get(text="Waits").state == "held"

    def test_it_counts_as_a_message(self, chat, by, settings):
        settings.MESSAGE_RATE = [(1, 3600)]
        chat.regenerate(reply(chat, "Second."), by)
        old = finish(chat)
        with pytest.raises(errors.TooMany):
            chat.regenerate(old, by)
        assert Chat.objects.get(pk=chat.pk).key_number == 2


class TestEdit:
    def test_the_last_question_in_other_words(self, chat, by):
        old = question(chat, "Two")
        new = chat.edit(old, "Two, please", by=by)
        assert (new.version, new.parent) == (2, old)
        assert sent_for(chat) == (f"{chat.key}-c2", ["One", "First.", "Two, please"])
        finish(chat, text="Gladly.")
        assert going_on(chat) == ["One", "First.", "Two, please", "Gladly."]
        assert back_at(chat, old) == ["One", "First.", "Two", "Second."]

    def test_an_earlier_one_takes_all_that_followed_with_it(self, chat, by):
        old = question(chat, "One")
        chat.notice("A notice")
        chat.edit(old, "Uno", by=by)
        assert sent_for(chat) == (f"{chat.key}-c2", ["Uno"])
        finish(chat, text="Primo.")
        answered(chat, "Due", "Secondo.")
        assert going_on(chat) == ["Uno", "Primo.", "Due", "Secondo."]
        assert back_at(chat, old) == ["One", "First.", "Two", "Second.", "A notice"]

    def test_versions_in_versions_are_all_looked_back_at(self, chat, by):
        second = question(chat, "Two")
        chat.edit(second, "Zwei", by=by)
        zweitens = finish(chat, text="Zweitens.")
        chat.regenerate(zweitens, by)
        finish(chat, text="Zweierlei.")
        first = question(chat, "One")
        chat.edit(first, "Eins", by=by)
        finish(chat, text="Erstens.")
        assert going_on(chat) == ["Eins", "Erstens."]
        assert back_at(chat, first) == ["One", "First.", "Zwei", "Zweierlei."]
        assert back_at(chat, second) == ["One", "First.", "Two", "Second."]
        assert back_at(chat, zweitens) == ["One", "First.", "Zwei", "Zweitens."]

    def test_each_version_knows_which_of_how_many_it_is(self, chat, by):
        first = question(chat, "Two")
        second = chat.edit(first, "Zwei", by=by)
        finish(chat)
        third = chat.edit(second, "Deux", by=by)
        among = chat.conversation()[2].among
        assert (among.number, among.total, among.older, among.newer) == (3, 3, second, None)
        assert [version.pk for version in among.versions] == [first.pk, second.pk, third.pk]
        shown = {m.pk: m.among for m in chat.looked_back(Message.objects.get(pk=second.pk))}
        assert (shown[second.pk].number, shown[second.pk].newer_is_newest) == (2, True)
        assert {m.among for m in chat.conversation()[:2]} == {None}

    def test_the_same_client_id_is_one_edit(self, chat, by):
        old, client_id = question(chat, "Two"), uuid.uuid4()
        assert len({chat.edit(old, "Zwei", client_id, by).pk for _ in range(50)}) == 1
        assert chat.messages.replies().filter(parent__text="Zwei").count() == 1

    def test_a_second_edit_of_what_was_replaced_is_refused_with_the_way_on(self, chat, by):
        old = question(chat, "Two")
        chat.edit(old, "Zwei", by=by)
        finish(chat)
        with pytest.raises(errors.NotEditable, match="newest version"):
            chat.edit(old, "Deux", by=by)

    def test_while_a_reply_is_written_nothing_is_edited(self, chat, by):
        chat.receive("Three")
        with pytest.raises(errors.NotEditable, match="Stop it"):
            chat.edit(question(chat, "Two"), "Zwei", by=by)

    def test_a_command_is_refused_and_its_text_sent_with_a_second_slash(self, chat, by):
        with pytest.raises(errors.CommandInEdit):
            chat.edit(question(chat, "Two"), "/session delete", by=by)
        assert chat.edit(question(chat, "Two"), "//session delete", by=by).text == "/session delete"
        assert Chat.objects.get(pk=chat.pk).deleted_at is None

    @pytest.mark.parametrize("text", ["", " \n", "x" * 100_001])
    def test_what_cannot_be_sent_cannot_be_edited_to(self, chat, by, text):
        with pytest.raises(errors.Refusal):
            chat.edit(question(chat, "Two"), text, by=by)
        assert not chat.messages.running().exists()

    def test_a_command_and_what_waits_are_no_questions(self, chat, by):
        command = chat.receive("/session status")
        with pytest.raises(errors.NotEditable):
            chat.edit(command, "Hello", by=by)
        chat.receive("Three")
        waits = chat.receive("Four")
        finish(chat, "failed")
        with pytest.raises(errors.NotEditable):
            chat.edit(waits, "Fünf", by=by)

    def test_an_earlier_chapter_is_only_read(self, chat, by):
        old = question(chat, "Two")
        chat.reset(by)
        with pytest.raises(errors.NotEditable):
            chat.edit(old, "Zwei", by=by)

    def test_a_persistent_session_may_be_edited_and_is_brought_back_from_the_archive(self, chat, by):
        chat.protect(True, by)
        chat.archive(True, by)
        chat.edit(question(chat, "Two"), "Zwei", by=by)
        assert Chat.objects.get(pk=chat.pk).archived_at is None

    def test_a_draft_stays(self, chat, by):
        chat.keep_draft("Half a thought")
        chat.edit(question(chat, "Two"), "Zwei", by=by)
        assert Chat.objects.get(pk=chat.pk).draft == "Half a thought"


class TestMain:
    @pytest.fixture
    def main(self, ada, by):
        main = Chat.objects.main_of(allow_main(ada), by)
        answered(main, "Hello", "Hi.")
        return main

    def test_nothing_is_said_anew_in_what_all_share(self, main, by):
        with pytest.raises(errors.NotAllowed, match="shared"):
            main.regenerate(reply(main, "Hi."), by)
        with pytest.raises(errors.NotAllowed, match="shared"):
            main.edit(question(main, "Hello"), "Good day", by=by)
        assert not any(m.offers_regenerate or m.offers_edit for m in main.conversation())


class TestWhatIsOffered:
    def test_regenerate_the_last_reply_and_edit_every_question_of_the_chapter(self, chat):
        chat.receive("/session status")
        assert [m.text for m in chat.conversation() if m.offers_edit] == ["One", "Two"]
        assert [m.text for m in chat.conversation() if m.offers_regenerate] == ["Second."]

    def test_nothing_in_an_earlier_chapter_and_nothing_where_one_looks_back(self, chat, by):
        old = reply(chat, "Second.")
        chat.regenerate(old, by)
        finish(chat)
        assert not any(m.offers_edit or m.offers_regenerate for m in chat.looked_back(Message.objects.get(pk=old.pk)))
        chat.reset(by)
        assert not any(m.offers_edit or m.offers_regenerate for m in chat.conversation())

    def test_a_question_at_the_end_of_an_older_page_is_one(self, chat):
        place = question(chat, "Two").seq + 1
        assert [m.text for m in chat.conversation(before=place) if m.offers_edit] == ["One", "Two"]

    def test_there_is_nothing_older_than_a_first_question_that_was_edited(self, chat, by, client, ada):
        chat.edit(question(chat, "One"), "Uno", by=by)
        client.force_login(ada)
        assert "Earlier messages" not in client.get(f"/chat/?session={chat.key}").content.decode()


class TestElsewhere:
    @pytest.fixture
    def edited(self, chat, by):
        chat.edit(question(chat, "Two"), "Zwei", by=by)
        chat.regenerate(finish(chat, text="Zweitens."), by)
        finish(chat, text="Zweierlei.")
        return chat

    def test_a_fork_takes_along_what_goes_on(self, edited, by):
        assert going_on(edited.fork(by))[:-1] == ["One", "First.", "Zwei", "Zweierlei."]

    def test_the_document_tells_what_goes_on(self, edited):
        document = as_markdown(edited)
        assert "Zweierlei." in document
        assert "Zweitens." not in document and "> Two" not in document

    def test_a_file_brings_every_version_back(self, edited, ada, by):
        edited.edit(question(edited, "One"), "Eins", by=by)
        finish(edited, text="Erstens.")
        (copy,) = load(ada, as_json([edited]), by)
        assert going_on(copy) == ["Eins", "Erstens."]
        for old in ("One", "Two", "Zweitens."):
            assert back_at(copy, copy.messages.get(text=old)) == back_at(edited, edited.messages.get(text=old))
        copy.receive("Go on")
        assert sent_for(copy) == (copy.key, ["Eins", "Erstens.", "Go on"])

    def test_what_is_counted_is_what_goes_on(self, edited, ada):
        assert Chat.objects.for_user(ada).counted().get().said == 4
        assert "Messages: 4" in edited.receive("/session status").versions.get().text
        edited.refresh_from_db()
        edited.reset(By(ada))
        assert edited.earlier_chapters()[1]["messages"] == 4

    def test_an_old_version_is_found_and_its_address_leads_to_it(self, edited, ada, client):
        (hit,) = (hit for hit in search(ada, "Zweitens") if hit.message)
        client.force_login(ada)
        found = client.get("/chats/search/", {"q": "Zweitens"}).content.decode()
        address = f"/chat/?session={edited.key}&amp;version={hit.message.pk}#message-{hit.message.pk}"
        assert address in found
        page = client.get(address.replace("&amp;", "&").split("#")[0]).content.decode()
        assert f'id="message-{hit.message.pk}"' in page and "An earlier version." in page

    def test_what_was_replaced_unseen_is_not_unread(self, chat, by):
        chat.mark_read(2)
        chat.regenerate(reply(chat, "Second."), by)
        assert not Chat.objects.listed().get().unread
        finish(chat)
        assert Chat.objects.listed().get().unread

    def test_a_client_of_the_api_sees_the_newest_and_what_it_is_a_version_of(self, edited, ada, client):
        client.force_login(ada)
        turns = client.get(f"/api/sessions/{edited.key}/messages").json()["messages"]
        assert [turn["text"] for turn in turns] == ["One", "First.", "Zwei", "Zweierlei."]
        first = edited.messages.get(text="Two").pk
        assert [(t["version"], t["replyTo"], t["versionOf"]) for t in turns[2:]] == [
            (2, None, first),
            (2, turns[2]["id"], None),
        ]

    def test_the_first_message_sent_again_by_a_program_is_answered_as_before(self, ada, client, chat, by):
        client.force_login(ada)
        sent = {"text": "Three", "clientId": str(uuid.uuid4())}
        address = f"/api/sessions/{chat.key}/messages"
        reply_id = client.post(address, sent, "application/json").json()["reply"]["id"]
        finish(chat)
        chat.edit(question(chat, "Three"), "Drei", by=by)
        assert client.post(address, sent, "application/json").json()["reply"]["id"] == reply_id


class TestPages:
    @pytest.fixture(autouse=True)
    def signed_in(self, client, ada):
        client.force_login(ada)

    def test_regenerate_is_a_form_that_leads_to_the_new_version(self, client, chat):
        old = reply(chat, "Second.")
        answers = [client.post(f"/chats/{chat.pk}/regenerate/", {"message": old.pk}) for _ in range(2)]
        new = chat.messages.running().get()
        assert [answer.url for answer in answers] == [f"/chat/?session={chat.key}#message-{new.pk}"] * 2
        assert client.post(f"/chats/{chat.pk}/regenerate/", {"message": old.pk}, headers=HTMX).status_code == 204

    def test_what_is_refused_is_said(self, client, chat):
        answer = client.post(f"/chats/{chat.pk}/regenerate/", {"message": reply(chat, "First.").pk}, headers=HTMX)
        assert (answer.status_code, answer.content[:20]) == (409, b"Only the last reply ")

    def test_edit_is_a_page_with_the_text_and_a_form_in_place(self, client, chat):
        chat.edit(question(chat, "Two"), "//new")
        finish(chat)
        address = f"/chats/{chat.pk}/edit/?message={question(chat, '/new').pk}"
        assert "<h1>Edit your message</h1>" in client.get(address).content.decode()
        form = client.get(address, headers=HTMX).content.decode()
        assert form.startswith("<edit-message>") and ">//new</textarea>" in form

    def test_what_is_sent_leads_to_it_or_brings_what_changed(self, client, chat):
        fields = {"message": question(chat, "Two").pk, "text": "Zwei", "client_id": uuid.uuid4()}
        answer = client.post(f"/chats/{chat.pk}/edit/", fields)
        new = question(chat, "Zwei")
        assert answer.url == f"/chat/?session={chat.key}#message-{new.pk}"
        update = client.post(f"/chats/{chat.pk}/edit/", fields | {"after": 4}, headers=HTMX).content.decode()
        assert f'id="message-{new.pk}"' in update and 'data-replaces="3"' in update

    def test_a_refused_edit_keeps_the_text_and_its_id(self, client, chat):
        fields = {"message": question(chat, "Two").pk, "text": "/help", "client_id": uuid.uuid4()}
        answer = client.post(f"/chats/{chat.pk}/edit/", fields)
        page = answer.content.decode()
        assert answer.status_code == 400
        assert "This is a command" in page and ">/help</textarea>" in page and str(fields["client_id"]) in page
        assert client.post(f"/chats/{chat.pk}/edit/", fields, headers=HTMX)["Content-Type"].startswith("text/plain")

    def test_nothing_of_another_chat_is_edited_regenerated_or_looked_back_at(self, client, chat):
        other = Chat.objects.start(User.objects.create_user("bob"))
        theirs = answered(other, "Theirs", "Hidden.")
        other.regenerate(theirs)
        assert client.post(f"/chats/{chat.pk}/regenerate/", {"message": theirs.pk}).status_code == 404
        fields = {"message": theirs.parent.pk, "text": "Mine"}
        assert client.post(f"/chats/{chat.pk}/edit/", fields).status_code == 404
        assert client.get(f"/chats/{chat.pk}/edit/?message={theirs.parent.pk}").status_code == 404
        for path in (
            f"/chat/?session={chat.key}&version={theirs.pk}",
            f"/chats/{chat.pk}/messages/?version={theirs.pk}",
        ):
            assert b"Hidden." not in client.get(path, headers=HTMX).content

    def test_a_page_that_looks_back_is_not_live_and_offers_nothing(self, client, chat, by):
        old = reply(chat, "Second.")
        chat.regenerate(old, by)
        page = client.get(f"/chat/?session={chat.key}&version={old.pk}").content.decode()
        messages = page[page.index("<chat-messages") : page.index("</chat-messages>")]
        assert "data-chat=" not in messages and "Regenerate" not in messages and ">Edit<" not in messages
        assert "Second." in messages and "An earlier version." in messages

    def test_what_is_before_it_is_read_in_pages_of_then(self, client, chat, by):
        old = reply(chat, "Second.")
        chat.regenerate(old, by)
        finish(chat, text="Another.")
        chat.edit(question(chat, "One"), "Uno", by=by)
        fields = {"version": old.pk, "before": chat.messages.get(text="Two").seq}
        older = client.get(f"/chats/{chat.pk}/messages/", fields, headers=HTMX).content.decode()
        assert ">One<" in older and "Uno" not in older


def test_replies_asked_again_before_there_was_an_upgrade_name_what_replaced_them(chat):
    chat.receive("Three")
    for _ in range(2):
        chat.retry(finish(chat, "failed"))
    first, second, third = chat.messages.replies().filter(parent__text="Three").order_by("version")
    Message.objects.update(replaced_by=None)
    import_module("sessions_core.migrations.0006_versions").name_what_replaced(apps, None)
    replaced = dict(chat.messages.exclude(replaced_by=None).values_list("pk", "replaced_by"))
    assert replaced == {first.pk: second.pk, second.pk: third.pk}


@pytest.mark.thorough
@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_ask_once(ada, chat, by):
    """Whoever comes second gets what the first one asked for."""
    old = reply(chat, "Second.")

    def ask(_):
        try:
            return Chat.objects.get(pk=chat.pk).regenerate(Message.objects.get(pk=old.pk), by).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as people:
        assert len(set(people.map(ask, range(50)))) == 1
    assert chat.messages.replies().count() == 3
