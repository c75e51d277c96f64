"""What a chat makes of the gateway's transcript: what came from elsewhere, what did not arrive, what is forgotten."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import Client

from sessions_core import errors
from sessions_core.gateway import Rejected, tools
from sessions_core.gateway.transcript import Transcript, parsed
from sessions_core.models import By, Chat, ChatEvent, Message
from sessions_core.models.hearing import BEGAN_ANEW, REMINDED
from sessions_core.models.turns import CARRIED
from tests.transcripts import answered, asked, entry, turn, typed, was_compacted, was_reset

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]

GONE = Transcript(complete=True, exists=False)


@pytest.fixture
def chat(ada):
    return Chat.objects.start(ada, title="Work")


def say(chat, text, answer="Fine.", state="done", run=""):
    """One turn of ours, ended."""
    reply = chat.receive(text).reply
    Message.objects.filter(pk=reply.pk).update(state="streaming")
    assert reply.settle(state, text=answer, upstream_id=run, error="" if state == "done" else "Broken off.")
    return Message.objects.get(pk=reply.pk)


def hear(chat, *told, complete=True):
    flat = [one for part in told for one in (part if isinstance(part, list) else [part])]
    return Chat.objects.get(pk=chat.pk).hear(parsed(flat, complete=complete))


def shown(chat):
    return [(m.role, m.text, m.origin) for m in chat.messages.shown().current()]


def ours(*pairs):
    return [row for question, answer in pairs for row in (("user", question, ""), ("assistant", answer, ""))]


def rev(chat):
    return Chat.objects.values_list("rev", flat=True).get(pk=chat.pk)


class TestWhatCameFromElsewhere:
    def test_is_shown_at_the_end_with_where_it_was_said(self, chat):
        say(chat, "Hello", "Fine.", run="chatcmpl_1")
        assert hear(chat, turn("Hello", "Fine.", "chatcmpl_1"), typed("And you?"), answered("Fine too.", "other"))
        assert shown(chat) == [
            *ours(("Hello", "Fine.")),
            ("user", "And you?", "OpenClaw"),
            ("assistant", "Fine too.", "OpenClaw"),
        ]
        told = list(chat.messages.order_by("seq"))[2:]
        assert [(m.state, m.key_number, m.chapter, m.parent_id) for m in told] == [
            ("sent", 1, 1, None),
            ("done", 1, 1, None),
        ]

    def test_is_heard_once_and_nothing_new_changes_nothing(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        told = [*turn("Hello", "Fine.", "chatcmpl_1"), typed("And you?"), answered("Fine too.", "other")]
        assert hear(chat, told)
        before = rev(chat)
        assert not hear(chat, told)
        assert not hear(chat, told[2:], complete=False)
        assert rev(chat) == before and len(shown(chat)) == 4

    def test_our_own_turns_are_known_by_their_run_and_by_their_words(self, chat):
        first, second = say(chat, "Hello", run="chatcmpl_1"), say(chat, "Yes ", "Good.")
        before = rev(chat)
        told = [asked("(put otherwise)"), answered("Fine.", "chatcmpl_1"), *turn("yes".title(), "Good.", "chatcmpl_2")]
        assert not hear(chat, told)
        assert rev(chat) == before
        ids = [m.transcript_id for m in chat.messages.order_by("seq")]
        assert ids == [one["__openclaw"]["id"] for one in told]
        assert first.pk and second.pk

    def test_the_same_words_said_elsewhere_are_not_ours(self, chat):
        say(chat, "yes", "Good.", run="chatcmpl_1")
        assert hear(chat, turn("yes", "Good.", "chatcmpl_1"), typed("yes"), answered("Again?", "other"))
        assert shown(chat)[2:] == [("user", "yes", "OpenClaw"), ("assistant", "Again?", "OpenClaw")]

    def test_the_same_words_over_http_are_not_ours_either_once_ours_are_known(self, chat):
        say(chat, "yes", "Good.", run="chatcmpl_1")
        own = turn("yes", "Good.", "chatcmpl_1")
        hear(chat, own)
        assert hear(chat, own, turn("yes", "Who?", "chatcmpl_of_another"))
        assert shown(chat)[2:] == [("user", "yes", "the gateway"), ("assistant", "Who?", "the gateway")]

    def test_what_is_before_everything_of_ours_is_not_told(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        assert not hear(chat, typed("Long ago"), answered("Yes.", "x"), turn("Hello", "Fine.", "chatcmpl_1"))
        assert shown(chat) == ours(("Hello", "Fine."))

    def test_nothing_is_doubled_where_nothing_of_ours_is_recognised(self, chat):
        say(chat, "Hello")
        assert not hear(chat, turn("[at noon] Hello", "Another."), complete=False)
        assert not hear(chat, asked("[at noon] Hello", at=1), answered("Another.", at=2))
        assert shown(chat) == ours(("Hello", "Fine."))

    def test_the_gateways_folding_of_earlier_turns_is_ours(self, chat):
        say(chat, "First", "1 2", "stopped")
        say(chat, "Second", "Good.")
        folded = (
            "[Chat messages since your last reply - for context]\nUser: First\nAssistant: 1 2 [stopped]\n\n"
            "[Current message - respond to this]\nUser: Second"
        )
        first = turn(folded, "Good.")
        assert not hear(chat, first)
        assert not hear(chat, first, turn(folded[:60] + "\n...(truncated)...", "Good."))

    def test_a_long_message_of_ours_is_known_by_its_beginning(self, chat):
        say(chat, "long " * 4000, "Good.", "failed")
        assert not hear(chat, asked(("long " * 4000)[:8000] + "\n...(truncated)..."))

    def test_while_a_reply_is_written_nothing_is_stored(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        chat.receive("Again")
        told = [*turn("Hello", "Fine.", "chatcmpl_1"), typed("And you?")]
        before = rev(chat)
        assert not hear(chat, told)
        assert rev(chat) == before
        chat.stop()
        assert hear(chat, told, asked("Again"))
        assert shown(chat)[-1] == ("user", "And you?", "OpenClaw")

    def test_what_was_injected_after_our_answer_is_told(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        assert hear(chat, turn("Hello", "Fine.", "chatcmpl_1"), answered("Done with it.", "announce:1"))
        assert shown(chat)[-1] == ("assistant", "Done with it.", "a sub-agent")

    def test_several_parts_of_one_run_are_all_ours(self, chat):
        say(chat, "Hello", "I look.\n\nIt is there.", run="chatcmpl_1")
        told = [asked("Hello"), answered("I look.", "chatcmpl_1", stopReason="toolUse")]
        assert not hear(chat, told, entry("toolResult", "…"), answered("It is there.", "chatcmpl_1"))

    def test_it_marks_the_chat_unread(self, chat, ada):
        say(chat, "Hello", run="chatcmpl_1")
        chat.mark_read(2)
        hear(chat, turn("Hello", "Fine.", "chatcmpl_1"), answered("News.", "announce:1"))
        assert Chat.objects.for_user(ada).listed().get().unread

    def test_a_long_one_is_cut_where_the_transcript_is(self, chat):
        hear(chat, typed("x" * 8000 + "\n...(truncated)..."))
        assert shown(chat)[0][1] == "x" * 8000 + "\n\n[…]"

    def test_it_is_rendered_like_every_other_reply(self, chat):
        hear(chat, typed("Hi"), answered("**bold** <script>", "r"))
        answer = chat.messages.replies().get()
        assert "<strong>bold</strong>" in answer.html and "<script>" not in answer.html and answer.html_version

    def test_it_offers_nothing_that_would_change_the_gateways_memory(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        hear(chat, turn("Hello", "Fine.", "chatcmpl_1"), typed("Hi"), answered("Ho.", "r"))
        page = chat.conversation()
        assert not any(m.offers_regenerate or m.offers_retry for m in page)
        assert [m.text for m in page if m.offers_edit] == ["Hello"]

    def test_the_page_says_where_it_came_from(self, chat, ada):
        hear(chat, typed("Hi", identity=0, senderIdentity={"pluginId": "telegram"}), answered("Ho.", "r"))
        client = Client()
        client.force_login(ada)
        page = client.get(f"/chat/?session={chat.key}").content.decode()
        assert page.count("from Telegram") == 2

    def test_a_fork_takes_it_along(self, chat, ada):
        say(chat, "Hello", run="chatcmpl_1")
        hear(chat, turn("Hello", "Fine.", "chatcmpl_1"), typed("Hi"), answered("Ho.", "r"))
        fork = chat.fork(By(ada))
        assert shown(fork)[:4] == shown(chat)

    def test_in_the_main_session_it_is_heard_while_its_owner_may_use_it(self, ada):
        right = Permission.objects.get(codename="use_main_session")
        ada.user_permissions.add(right)
        main = Chat.objects.main_of(type(ada).objects.get(pk=ada.pk), By(ada))
        told = [typed("Hi", senderIdentity={"pluginId": "whatsapp"}), answered("Ho.", "r")]
        ada.user_permissions.remove(right)
        assert not hear(main, told)
        ada.user_permissions.add(right)
        assert hear(main, told)
        assert shown(main) == [("user", "Hi", "WhatsApp"), ("assistant", "Ho.", "WhatsApp")]


class TestAnAnswerThatDidNotArrive:
    def test_is_fetched_where_the_gateway_has_it_whole(self, chat):
        reply = say(chat, "Hello", "Half of", "interrupted")
        assert hear(chat, turn("Hello", "Half of it, and the rest.", "chatcmpl_9"))
        reply.refresh_from_db()
        assert (reply.state, reply.text, reply.error_text) == ("done", "Half of it, and the rest.", "")
        assert "the rest" in reply.html and reply.upstream_id == "chatcmpl_9"
        assert ChatEvent.objects.filter(chat=chat, verb="answer fetched").count() == 1
        assert not hear(chat, turn("Hello", "Half of it, and the rest.", "chatcmpl_9"))

    @pytest.mark.parametrize(
        "came",
        [
            pytest.param([], id="nothing"),
            pytest.param([answered("⚠️ LLM request failed.", "c", stopReason="error")], id="a failure"),
            pytest.param([answered("x\n...(truncated)...", "c")], id="the beginning only"),
            pytest.param([answered("I look.", "c", stopReason="toolUse")], id="a step on the way"),
        ],
    )
    def test_is_left_to_a_person_otherwise(self, chat, came):
        reply = say(chat, "Hello", "Half of", "interrupted")
        assert not hear(chat, asked("Hello"), came)
        reply.refresh_from_db()
        assert (reply.state, reply.text) == ("interrupted", "Half of")

    def test_is_fetched_where_the_gateway_went_on_with_it_after_a_restart(self, chat):
        reply = say(chat, "Hello", "Half of", "interrupted", run="chatcmpl_1")
        own = {"kind": "internal_system", "sourceTool": "main_session_restart_recovery"}
        went_on = [asked("[System] Your turn was interrupted.", provenance=own), answered("All of it.", "again")]
        assert hear(chat, asked("Hello"), went_on)
        assert shown(chat) == ours(("Hello", "Half of\n\nAll of it."))
        assert not hear(chat, asked("Hello"), went_on)
        say(chat, "Thanks", "Welcome.", run="chatcmpl_2")
        assert not hear(chat, asked("Hello"), went_on, turn("Thanks", "Welcome.", "chatcmpl_2"))
        reply.refresh_from_db()
        assert reply.state == "done"

    def test_the_same_words_of_somebody_else_are_no_answer_to_what_the_gateway_never_heard(self, chat):
        reply = say(chat, "Hello", "", "failed")
        Message.objects.filter(pk=reply.pk).update(error_code="gateway_unreachable")
        say(chat, "Hello?", run="chatcmpl_1")
        assert hear(chat, turn("Hello?", "Fine.", "chatcmpl_1"), turn("Hello", "Bob!", "chatcmpl_2"))
        reply.refresh_from_db()
        assert reply.state == "failed" and shown(chat)[-1] == ("assistant", "Bob!", "the gateway")

    def test_a_stopped_one_stays_as_it_is(self, chat):
        reply = say(chat, "Hello", "Half of", "stopped")
        assert not hear(chat, turn("Hello", "Half of it, and the rest.", "chatcmpl_9"))
        reply.refresh_from_db()
        assert reply.state == "stopped"

    def test_and_one_that_was_asked_for_again_too(self, chat):
        reply = say(chat, "Hello", "Half of", "interrupted")
        chat.retry(reply)
        chat.stop()
        assert not hear(chat, asked("Hello"), answered("All of it.", "chatcmpl_9"), asked("Hello"))


class TestAMemoryThatBeganAnew:
    def notices(self, chat):
        return [m.text for m in chat.messages.filter(role="notice").order_by("seq")]

    def test_is_said_once(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        hear(chat, turn("Hello", "Fine.", "chatcmpl_1"))
        reset = was_reset()
        assert hear(chat, reset)
        assert not hear(chat, reset)
        say(chat, "And now?", run="chatcmpl_2")
        assert not hear(chat, reset, turn("And now?", "Fine.", "chatcmpl_2"))
        assert self.notices(chat) == [BEGAN_ANEW]
        assert hear(chat, was_reset())
        assert self.notices(chat) == [BEGAN_ANEW] * 2, "and once more when it happens again"

    def test_is_seen_by_another_session_under_the_same_key(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        hear(chat, turn("Hello", "Fine.", "chatcmpl_1"))
        say(chat, "And now?", run="chatcmpl_2")
        new = [asked("And now?", source="source-2"), answered("Fine.", "chatcmpl_2", source="source-2")]
        assert hear(chat, new) and not hear(chat, new)
        assert self.notices(chat) == [BEGAN_ANEW]

    def test_is_seen_when_the_session_is_gone(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        hear(chat, turn("Hello", "Fine.", "chatcmpl_1"))
        assert chat.hear(GONE) and not chat.hear(GONE)
        say(chat, "And now?", run="chatcmpl_2")
        assert not hear(chat, asked("And now?", source="s2"), answered("Fine.", "chatcmpl_2", source="s2"))
        assert self.notices(chat) == [BEGAN_ANEW]

    def test_comes_with_what_was_said_there_since(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        hear(chat, turn("Hello", "Fine.", "chatcmpl_1"))
        later = 2_000_000_000_000
        assert hear(chat, was_reset(), typed("Hi", at=later), answered("Ho.", "r", at=later + 1))
        assert [m[1] for m in shown(chat)[2:]] == ["Hi", "Ho.", BEGAN_ANEW]

    @pytest.mark.parametrize("said", ["nothing", "stopped", "failed"])
    def test_is_not_said_where_the_gateway_had_nothing_of_ours(self, chat, said):
        if said != "nothing":
            say(chat, "Hello", "1 2", said)
        assert not chat.hear(GONE)
        assert not hear(chat, was_reset())
        assert self.notices(chat) == []

    def test_is_not_guessed_from_a_part_of_the_transcript_or_a_compacted_one(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        say(chat, "And now?", run="chatcmpl_2")
        newest = turn("And now?", "Fine.", "chatcmpl_2")
        assert not hear(chat, newest, complete=False)
        assert not hear(chat, was_compacted(), newest)
        assert self.notices(chat) == []

    def test_reminding_lets_the_conversation_go_along_once(self, chat, ada):
        say(chat, "I am Ada", run="chatcmpl_1")
        hear(chat, turn("I am Ada", "Fine.", "chatcmpl_1"))
        hear(chat, was_reset())
        offers = chat.messages.filter(role="notice").get().offers
        client = Client()
        client.force_login(ada)
        page = client.get(f"/chat/?session={chat.key}").content.decode()
        assert offers == [{"offer": "remind"}] and "Remind it" in page
        assert client.post(f"/chats/{chat.pk}/remind/").status_code == 302
        assert not chat.remind(By(ada)), "there is nothing more to remind of"
        assert self.notices(chat) == [BEGAN_ANEW, REMINDED]
        assert "Remind it" not in client.get(f"/chat/?session={chat.key}").content.decode()
        reply = chat.receive("Who am I?").reply
        assert [t["content"] for t in reply.turns()] == ["I am Ada", "Fine.", "Who am I?"]
        reply.settle("done", text="Ada.")
        assert [t["content"] for t in chat.receive("Sure?").reply.turns()] == ["Sure?"]
        assert ChatEvent.objects.filter(chat=chat, verb="reminded", actor=ada).exists()

    def test_a_reset_after_reminding_can_be_undone(self, chat, ada):
        say(chat, "I am Ada", run="chatcmpl_1")
        chat.remind(By(ada))
        chat.reset(By(ada), unprotect=True)
        chat.undo_reset(By(ada))
        assert [t["content"] for t in chat.receive("Who?").reply.turns()] == ["I am Ada", "Fine.", "Who?"]

    def test_the_main_session_is_reminded_too_and_not_after_its_reset(self, ada):
        ada.user_permissions.add(Permission.objects.get(codename="use_main_session"))
        main = Chat.objects.main_of(type(ada).objects.get(pk=ada.pk), By(ada))
        say(main, "I am Ada")
        main.remind(By(ada))
        assert [t["content"] for t in say(main, "Who?").turns()] == ["I am Ada", "Fine.", "Who?"]
        main.remind(By(ada))
        main.turn_to(1, main.unused_key_number())  # as a reset of it does
        assert [t["content"] for t in say(main, "Who?").turns()] == ["Who?"]

    def test_a_stranger_can_remind_nothing(self, chat, bob):
        say(chat, "Hello")
        client = Client()
        client.force_login(bob)
        assert client.post(f"/chats/{chat.pk}/remind/").status_code == 404
        assert not chat.messages.filter(key_number=CARRIED).exists()


class TestWhatGoesAlong:
    def test_what_the_gateway_heard_elsewhere_does_not(self, chat):
        say(chat, "Hello", run="chatcmpl_1")
        say(chat, "And?", "1 2", "stopped")
        hear(chat, turn("Hello", "Fine.", "chatcmpl_1"), typed("Hi"), answered("Ho.", "r"))
        sent = [turn["content"] for turn in chat.receive("Now?").reply.turns()]
        assert sent == ["And?", "1 2 [stopped]", "Now?"]

    def test_under_a_new_key_it_does(self, chat, ada):
        hear(chat, typed("Hi"), answered("Ho.", "r"))
        reply = say(chat, "Hello")
        sent = [turn["content"] for turn in chat.regenerate(reply, By(ada)).turns()]
        assert sent == ["Hi", "Ho.", "Hello"]


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_hear_the_same_at_once_store_it_once(ada):
    chat = Chat.objects.start(ada, title="Work")
    say(chat, "Hello", run="chatcmpl_1")
    told = parsed([*turn("Hello", "Fine.", "chatcmpl_1"), typed("Hi"), answered("Ho.", "r")], complete=True)

    def once(_):
        try:
            return Chat.objects.get(pk=chat.pk).hear(told)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        heard = list(pool.map(once, range(6)))
    assert heard.count(True) == 1
    assert [m[1] for m in shown(chat)] == ["Hello", "Fine.", "Hi", "Ho."]


class TestAnEarlierRelease:
    """It names neither runs nor the memory, and keeps a stopped answer."""

    def older(self, *told):
        flat = [one for part in told for one in (part if isinstance(part, list) else [part])]
        for one in flat:
            one["__openclaw"].pop("transcriptPosition")
            one.pop("idempotencyKey", None)
        return flat

    def test_our_turns_are_known_by_their_words(self, chat):
        say(chat, "Hello", "Fine.")
        say(chat, "slow", "1 2", "stopped")
        say(chat, "And?", "It is **so** [[reply]].")
        told = self.older(turn("Hello", "Fine."), asked("slow"), answered("1 2 3", stopReason="aborted"))
        told += self.older(turn("And?", "It is **so** ."))
        assert not hear(chat, told)
        assert hear(chat, told, self.older(typed("Hi"), answered("Ho.")))
        assert [m[1] for m in shown(chat)[-2:]] == ["Hi", "Ho."]

    def test_many_turns_that_nobody_looked_at_are_ours(self, chat):
        say(chat, "First", "Fine.")
        told = self.older(turn("First", "Fine."))
        assert not hear(chat, told)
        for n in range(60):
            say(chat, f"question {n}", f"answer {n}")
            told += self.older(turn(f"question {n}", f"answer {n}"))
        assert not hear(chat, told, complete=False)

    def test_the_same_words_said_by_others_are_theirs_once_ours_are_known(self, chat):
        say(chat, "Yes", "Fine.")
        own = self.older(turn("Yes", "Fine."))
        assert not hear(chat, own)
        assert hear(chat, own, self.older(turn("Yes", "Who?")))
        assert [m[1] for m in shown(chat)] == ["Yes", "Fine.", "Yes", "Who?"]

    def test_a_memory_that_began_anew_is_said_once(self, chat):
        say(chat, "Hello", "Fine.")
        assert not hear(chat, self.older(turn("Hello", "Fine.")))
        assert hear(chat) and not hear(chat), "an empty transcript"
        say(chat, "And?", "So.")
        assert not hear(chat, self.older(turn("And?", "So.")))
        assert chat.messages.filter(text=BEGAN_ANEW).count() == 1


class TestAResetThatWasAskedForHere:
    """Whoever listens to the gateway may hear of it before it is noted here, and of what was before after it."""

    TOLD = turn("I am Ada", "Fine.", "r1")

    @pytest.fixture
    def main(self, ada, settings):
        settings.SESSION_PROTECT_MAIN = False
        ada.user_permissions.add(Permission.objects.get(codename="use_main_session"))
        main = Chat.objects.main_of(type(ada).objects.get(pk=ada.pk), By(ada))
        say(main, "I am Ada", run="r1")
        hear(main, self.TOLD)
        return main

    def notices(self, chat):
        return list(chat.messages.filter(role="notice").values_list("text", flat=True))

    def test_is_no_news(self, ada, main, monkeypatch):
        early = Chat.objects.get(pk=main.pk)
        early.gateway_session = ""  # as before the first look

        def reset(key, agent):
            early.hear(parsed(self.TOLD, complete=True))
            hear(main, self.TOLD)
            hear(main, was_reset())

        monkeypatch.setattr(tools, "reset_session", reset)
        main.reset(By(ada), confirmed=True)
        assert not hear(main, was_reset())
        assert not hear(main, was_reset())
        assert self.notices(main) == ["The agent's main session was reset on the gateway: the agent starts afresh."]

    def test_a_transcript_that_was_read_before_it_and_comes_after_it_is_not_told(self, ada, main, monkeypatch):
        early = Chat.objects.get(pk=main.pk)
        monkeypatch.setattr(tools, "reset_session", lambda key, agent: None)
        main.reset(By(ada), confirmed=True)
        assert not early.hear(parsed([*self.TOLD, typed("Hi"), answered("Ho.", "r2")], complete=True))
        assert len(self.notices(main)) == 1 and main.messages.said().count() == 2
        assert hear(main, was_reset(), typed("Hello"), answered("Hi.", "r3"))

    def test_is_heard_of_when_the_gateway_refused_it_and_does_it_later(self, ada, main, monkeypatch):
        def refuse(key, agent):
            raise Rejected("no")

        monkeypatch.setattr(tools, "reset_session", refuse)
        with pytest.raises(errors.GatewayRefused):
            main.reset(By(ada), confirmed=True)
        assert hear(main, was_reset())
        assert self.notices(main) == [BEGAN_ANEW]

    def test_is_heard_of_a_minute_after_whoever_asked_has_died(self, ada, main, monkeypatch):
        def die(key, agent):
            raise KeyboardInterrupt

        monkeypatch.setattr(tools, "reset_session", die)
        with pytest.raises(KeyboardInterrupt):
            main.reset(By(ada), confirmed=True)
        assert not hear(main, was_reset())
        monkeypatch.setattr("sessions_core.models.hearing.FORGETS_WITHIN", 0)
        assert hear(main, was_reset())


def test_an_unclear_first_look_is_no_sign_of_a_memory_that_began_anew(chat):
    say(chat, "Hello")
    assert not hear(chat, asked("[at noon] Hello", at=1), answered("Another.", at=2))
    assert shown(chat) == ours(("Hello", "Fine."))


def test_a_session_in_which_only_others_spoke_can_begin_anew_too(chat):
    hear(chat, typed("Hi"), answered("Ho.", "r"))
    assert hear(chat, was_reset())
    assert shown(chat)[-1][:2] == ("notice", BEGAN_ANEW)
