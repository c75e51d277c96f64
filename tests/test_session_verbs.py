"""Fork, give, main, archive, limits, search: the verbs of a session beside those of its menu."""

import uuid

import pytest
from django.contrib.auth.models import Permission

from sessions_core import errors
from sessions_core.gateway import Unreachable, tools
from sessions_core.models import By, Chat, Message, User
from sessions_core.models.search import search
from tests.test_sessions import answered, sent_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def by(ada):
    return By(ada)


@pytest.fixture
def work(ada):
    chat = Chat.objects.start(ada, title="Work", persistent=False)
    answered(chat, "My train leaves at 7:42", "Noted.")
    return chat


def allow_main(user):
    user.user_permissions.add(Permission.objects.get(codename="use_main_session"))
    return User.objects.get(pk=user.pk)


class TestFork:
    def test_the_conversation_is_there_to_read_and_goes_along_with_the_first_turn_only(self, work, by):
        fork = work.fork(by, "Travel")
        assert [m.text for m in fork.messages.shown()][:2] == ["My train leaves at 7:42", "Noted."]
        fork.receive("When?")
        assert sent_for(fork) == (fork.key, ["My train leaves at 7:42", "Noted.", "When?"])
        fork.messages.running().get().settle("failed")
        fork.receive("When, please?")
        assert sent_for(fork)[1] == ["My train leaves at 7:42", "Noted.", "When?", "When, please?"]
        fork.messages.running().get().settle("done")
        fork.receive("Thanks")
        assert sent_for(fork)[1] == ["Thanks"]

    def test_a_fork_of_a_fork_and_of_a_later_chapter_takes_what_is_said_there(self, work, by):
        work.reset(by)
        answered(work, "Second chapter", "Yes.")
        again = work.fork(by).fork(by)
        again.receive("Go on")
        assert sent_for(again)[1] == ["Second chapter", "Yes.", "Go on"]

    def test_what_is_being_written_and_what_waits_stays_behind(self, work, by):
        work.receive("Running")
        work.receive("Queued")
        fork = work.fork(by)
        assert [m.text for m in fork.messages.said()] == ["My train leaves at 7:42", "Noted."]

    def test_the_first_is_not_changed_and_a_reset_of_the_fork_forgets_what_went_along(self, work, by):
        fork = work.fork(by)
        assert work.messages.count() == 2
        fork.receive("One")
        fork.messages.running().get().settle("done")
        fork.reset(by)
        fork.receive("Two")
        assert sent_for(fork) == (f"{fork.key}-c2", ["Two"])

    def test_it_outlives_the_chat_it_came_from(self, work, by):
        fork = work.fork(by)
        work.delete()
        fork = Chat.objects.get(pk=fork.pk)
        fork.receive("Still there?")
        assert sent_for(fork)[1][0] == "My train leaves at 7:42"

    def test_times_and_states_are_those_of_the_original(self, work, by):
        originals, copies = work.messages.shown(), work.fork(by).messages.said()
        kept = ("role", "state", "text", "created_at", "ended_at")
        assert list(copies.order_by("seq").values(*kept)) == list(originals.values(*kept))

    def test_far_too_much_to_take_along_is_cut_at_the_old_end(self, work, by, monkeypatch):
        monkeypatch.setattr("sessions_core.models.turns.MOST_CARRIED", 10)
        fork = work.fork(by)
        fork.receive("When?")
        assert sent_for(fork)[1] == ["Noted.", "When?"]

    def test_undoing_a_reset_of_a_fork_takes_the_conversation_along_again(self, work, by):
        fork = work.fork(by)
        fork.reset(by)
        fork.undo_reset(by)
        fork.receive("When?")
        assert sent_for(fork)[1] == ["My train leaves at 7:42", "Noted.", "When?"]


class TestGive:
    def test_the_colleague_has_it_with_its_memory_and_the_giver_does_not(self, work, ada, bob, by):
        key = work.key
        work.give(bob, By(None, "cli"))
        assert not Chat.objects.for_user(ada).exists()
        assert Chat.objects.for_user(bob).called("work").wire_key == key

    def test_a_name_the_colleague_has_already_becomes_another(self, work, bob):
        Chat.objects.start(bob, title="WORK")
        work.give(bob, By(None, "cli"))
        assert Chat.objects.for_user(bob).called("Work (2)") == work

    def test_what_the_giver_typed_and_did_not_send_stays_behind(self, work, bob, by):
        work.keep_draft("Between us:")
        work.give(bob, by)
        assert Chat.objects.get(pk=work.pk).draft == ""

    def test_old_names_do_not_follow(self, work, bob, by):
        work.rename("Job", by)
        work.give(bob, by)
        with pytest.raises(Chat.DoesNotExist):
            Chat.objects.for_user(bob).called("Work")


class TestMain:
    def test_it_needs_the_right(self, ada, by):
        with pytest.raises(errors.NotAllowed):
            Chat.objects.main_of(ada, by)

    def test_there_is_one_and_it_goes_to_the_agents_main_session(self, ada, by):
        ada = allow_main(ada)
        main = Chat.objects.main_of(ada, by)
        assert Chat.objects.main_of(ada, by) == main == Chat.objects.for_user(ada).called("main")
        main.receive("Hello")
        assert (main.wire_key, main.name, main.title) == ("main", "Main", "")

    def test_without_the_right_any_more_nothing_goes_there(self, ada, by, monkeypatch):
        monkeypatch.setattr(tools, "reset_session", lambda *args: pytest.fail("asked"))
        main = Chat.objects.main_of(allow_main(ada), by)
        main.receive("Running")
        main.receive("Queued")
        ada.user_permissions.clear()
        main = Chat.objects.get(pk=main.pk)
        reply = main.messages.running().get()
        reply.settle("stopped")
        assert main.messages.pending().get().state == "held"
        for verb in (
            lambda: main.receive("Hello"),
            lambda: main.retry(reply),
            lambda: main.resume_queue(),
            lambda: main.reset(by, confirmed=True),
            lambda: main.rename("Mine", by),
        ):
            with pytest.raises(errors.NotAllowed):
                verb()
        assert not main.messages.running().exists()

    @pytest.mark.parametrize("name", ["main", "Main", "MAIN"])
    def test_it_is_found_by_the_name_it_shows_in_any_letters(self, ada, by, name):
        main = Chat.objects.main_of(allow_main(ada), by)
        assert Chat.objects.for_user(ada).called(name) == main
        assert main in Chat.objects.for_user(ada).matching(name[:3])

    def test_it_may_be_renamed_and_be_called_main_again(self, ada, by):
        main = Chat.objects.main_of(allow_main(ada), by)
        main.rename("Shared", by)
        main.rename("main", by)
        assert (main.name, main.title, main.named) == ("Main", "", False)

    def test_no_one_person_protects_it(self, ada, by):
        main = Chat.objects.main_of(allow_main(ada), by)
        with pytest.raises(errors.NotAllowed, match="SESSION_PROTECT_MAIN"):
            main.protect(True, by)

    def test_a_reset_is_the_gateways_own_and_wants_a_confirmation(self, ada, by, monkeypatch):
        main = Chat.objects.main_of(allow_main(ada), by)
        asked = []
        monkeypatch.setattr(tools, "reset_session", lambda *args: asked.append(args))
        main.receive("Hello")
        with pytest.raises(errors.SharedByAll, match="everybody"):
            main.reset(by)
        assert not asked
        main.reset(by, confirmed=True)
        assert asked == [("main", "main")]
        assert (main.chapter, main.wire_key) == (1, "main")
        main.receive("Anew")
        assert sent_for(main)[1] == ["Anew"]

    def test_it_can_be_protected_from_here(self, ada, by, settings):
        settings.SESSION_PROTECT_MAIN = True
        main = Chat.objects.main_of(allow_main(ada), by)
        with pytest.raises(errors.Protected, match="persistent session “Main”"):
            main.reset(by, confirmed=True)

    def test_a_gateway_that_refuses_is_told_and_nothing_changes(self, ada, by, monkeypatch):
        def refuse(*args):
            raise Unreachable("The gateway cannot be reached.")

        main = Chat.objects.main_of(allow_main(ada), by)
        monkeypatch.setattr(tools, "reset_session", refuse)
        with pytest.raises(errors.GatewayRefused, match="cannot be reached"):
            main.reset(by, confirmed=True)
        assert not main.messages.exists()


class TestLimits:
    def test_named_sessions_are_limited_and_others_are_not(self, ada, settings, by):
        settings.SESSION_MAX_PER_USER = 1
        first = Chat.objects.start(ada, title="One")
        with pytest.raises(errors.NoRoomForNames, match="1 named session"):
            Chat.objects.start(ada, title="Two")
        plain = Chat.objects.start(ada)
        for verb in (lambda: plain.rename("Two", by), lambda: plain.fork(by, "Two")):
            with pytest.raises(errors.NoRoomForNames):
                verb()
        first.rename("Other", by)
        first.trash(by)
        plain.rename("Two", by)
        with pytest.raises(errors.NoRoomForNames):
            first.restore(by)
        assert Chat.objects.trash_of(ada).exists()

    def test_beginning_many_in_a_short_time_is_refused_to_a_person(self, ada, bob, settings):
        settings.SESSION_CREATE_RATE = [(2, 60)]
        for _ in range(2):
            Chat.objects.start(ada, by=By(ada))
        with pytest.raises(errors.TooMany):
            Chat.objects.start(ada, by=By(ada))
        Chat.objects.start(bob, by=By(bob))
        Chat.objects.start(ada, by=By(None, "cli"))

    def test_a_refusal_for_another_reason_uses_nothing_up(self, ada, settings):
        settings.SESSION_CREATE_RATE = [(2, 60)]
        Chat.objects.start(ada, by=By(ada), title="One")
        for _ in range(3):
            with pytest.raises(errors.NameTaken):
                Chat.objects.start(ada, by=By(ada), title="One")
        Chat.objects.start(ada, by=By(ada), title="Two")

    def test_many_messages_in_a_short_time_are_refused_and_commands_are_not(self, ada, settings):
        settings.MESSAGE_RATE = [(2, 60)]
        chat, by = Chat.objects.start(ada), By(ada, "slash", "10.0.0.1")
        for text in ("one", "two"):
            chat.receive(text, by=by)
        with pytest.raises(errors.TooMany, match="too many messages"):
            chat.receive("three", by=by)
        assert not chat.messages.filter(text="three").exists()
        chat.receive("/stop", by=by)
        chat.receive("three", by=By(None, "cli"))

    def test_the_same_message_again_is_not_counted(self, ada, settings):
        settings.MESSAGE_RATE = [(1, 60)]
        chat, twice = Chat.objects.start(ada), uuid.uuid4()
        assert chat.receive("one", twice, By(ada)) == chat.receive("one", twice, By(ada))

    def test_and_to_an_address_whoever_asks(self, settings):
        settings.SESSION_CREATE_RATE = [(1, 60)]
        people = [User.objects.create_user(f"p{n}") for n in range(11)]
        for person in people[:10]:
            Chat.objects.start(person, by=By(person, "ui", "10.0.0.1"))
        with pytest.raises(errors.TooMany):
            Chat.objects.start(people[10], by=By(people[10], "ui", "10.0.0.1"))

    def test_an_agent_the_gateway_does_not_offer_is_refused(self, ada):
        with pytest.raises(errors.BadAgent, match="main"):
            Chat.objects.start(ada, agent="nobody")


def test_a_message_brings_an_archived_chat_back(work, by):
    work.archive(True, by)
    assert work.archived_at
    work.receive("Hello")
    assert Chat.objects.get(pk=work.pk).archived_at is None


def test_plain_chats_are_protected_by_their_first_message_where_the_operator_wants_that(ada, by, settings):
    settings.SESSION_DEFAULT_PERSISTENT = True
    chat = Chat.objects.start(ada)
    assert not chat.persistent
    answered(chat, "Plans for March")
    with pytest.raises(errors.Protected, match="Plans for March"):
        chat.reset(by)


def test_a_draft_is_kept_until_it_is_sent_and_marks_the_list(work, ada):
    rev = User.objects.get(pk=ada.pk).rev
    work.keep_draft("Half a thou\x00ght")
    assert Chat.objects.get(pk=work.pk).draft == "Half a thought"
    assert User.objects.get(pk=ada.pk).rev == rev + 1
    work.receive("Something else")
    assert Chat.objects.get(pk=work.pk).draft == "Half a thought"
    work.receive("Half a thought, whole", draft="Half a thought")
    assert Chat.objects.get(pk=work.pk).draft == ""


def test_an_answer_can_be_asked_again_after_a_command_was_typed(work):
    reply = work.receive("Lost").versions.get()
    reply.settle("failed")
    with work.changing():
        work._place(Message(role="user", text="/help"), "sent")
    reply.refresh_from_db()
    assert work.conversation()[-2].offers_retry
    assert work.retry(reply).version == 2


class TestSearch:
    def test_titles_first_then_what_was_said_with_its_place(self, work, ada):
        Chat.objects.start(ada, title="Trains of Europe")
        hits = search(ada, "train")
        assert [hit.chat.name for hit in hits] == ["Trains of Europe", "Work"]
        assert (hits[1].before, hits[1].match, hits[1].after) == ("My ", "train", " leaves at 7:42")

    @pytest.mark.parametrize("words", ["übergrößen", "ÜBERGRÖSSEN", "Übergrößen"])
    def test_letters_beyond_ascii_are_found_in_other_case(self, ada, words):
        answered(Chat.objects.start(ada), "Gibt es Übergrößen?")
        assert search(ada, words if words.isascii() else words.replace("SS", "ß"))

    @pytest.mark.parametrize("words", ["%", "_", "\\", "7:42%", "' OR 1=1 --", ""])
    def test_signs_with_a_meaning_in_sql_mean_themselves(self, work, ada, words):
        assert search(ada, words) == []

    def test_nothing_of_others_of_the_trash_or_of_notices(self, work, ada, bob, by):
        work.notice("zebra")
        answered(Chat.objects.start(bob), "My zebra", "Fine.")
        gone = Chat.objects.start(ada)
        answered(gone, "An old zebra")
        gone.trash(by)
        assert search(ada, "zebra") == []

    def test_nor_of_commands(self, work, ada):
        work.receive("/session switch zebra")
        assert search(ada, "zebra") == [] == search(ada, "/session")
        work.receive("//session is a word")
        assert [hit.message.text for hit in search(ada, "/session")] == ["/session is a word"]

    @pytest.mark.thorough
    def test_every_part_of_what_was_said_is_found_in_any_case(self, ada):
        said = "Zum Café: 100% Grünö_x, e-mail\\pfad"
        answered(Chat.objects.start(ada, title="Other"), "Hello", said)
        ends = ((start, end) for start in range(len(said)) for end in (start + 1, start + 3, len(said)))
        parts = {said[start:end].strip() for start, end in ends} - {""}
        for spelling in {spelt for part in parts for spelt in (part, part.lower(), part.title())}:
            found = search(ada, spelling)
            assert said in [hit.message.text for hit in found if hit.message], spelling

    @pytest.mark.parametrize("share", [0, 10**9])
    def test_it_finds_the_same_among_much_of_others_and_among_little(self, work, ada, bob, monkeypatch, share):
        monkeypatch.setattr("sessions_core.models.search.MOST_OF_ALL", share)
        numbers = Chat.objects.start(bob, title="Numbers")
        for n in range(30):
            answered(numbers, f"My train {n}")
        assert [hit.message.text for hit in search(ada, "train")] == ["My train leaves at 7:42"]
        assert len(search(bob, "train", limit=5)) == 5 and search(bob, "train")[0].message.text == "My train 29"

    @pytest.mark.thorough
    @pytest.mark.parametrize("word", ["a", "words", "Zürich", "considerations", "x" * 30])
    def test_what_is_around_a_hit_is_in_whole_words(self, ada, word):
        around = f"{word} " * 50
        for n in range(20):
            said = f"{around}{'#' * n} Zebra {'#' * n} {around}"
            answered(Chat.objects.start(ada, title=f"Other {n}"), "Hello", said)
        hits = search(ada, "zebra")
        assert len(hits) == 20
        for hit in hits:
            whole = {f"…{word}", f"{word}…", word, "#" * hit.before.count("#")}
            assert {*hit.before.split(), *hit.after.split()} <= whole
            assert hit.before.startswith(f"…{word} ") and hit.after.endswith(f" {word}…")
            assert 30 < len(hit.before) <= 61 and 30 < len(hit.after) <= 61

    @pytest.mark.parametrize("said", ["x" * 200 + " Zebra " + "x" * 200, "語" * 100 + "Zebra" + "語" * 100])
    def test_only_a_word_without_end_is_cut(self, ada, said):
        answered(Chat.objects.start(ada, title="Other"), "Hello", said)
        (hit,) = search(ada, "zebra")
        assert f"{hit.before[1:]}Zebra{hit.after[:-1]}" in said
        assert (len(hit.before), len(hit.after)) == (61, 61)
