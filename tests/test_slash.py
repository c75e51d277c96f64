"""Slash commands: what each does and says, what is none, and that the agent never hears of them."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.template.loader import render_to_string
from django.utils import timezone

from sessions_core import errors, slash
from sessions_core.gateway import tools
from sessions_core.models import By, Chat, ChatEvent, Message, User
from tests.test_session_verbs import allow_main
from tests.test_sessions import answered, sent_for

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
NAUGHTY = ["<script>alert(1)</script>", "\"double\" 'single'", "{{ 7*7 }} {% raw %}", "' OR 1=1 --", "a/../b"]


@pytest.fixture
def ada(client):
    user = User.objects.create_user("ada")
    client.force_login(user)
    return user


@pytest.fixture
def work(ada):
    chat = Chat.objects.start(ada, title="Work", persistent=False)
    answered(chat, "My train leaves at 7:42", "Noted.")
    return chat


def obey(chat, text, **options):
    """The notice that answers a command."""
    notice = chat.receive(text, **options).versions.get()
    assert notice.role == "notice"
    return notice


def offers(notice):
    return [offer["offer"] for offer in notice.offers]


def is_text(chat, text):
    return chat.receive(text).versions.get().role == "assistant"


def send(client, chat, text, headers=None, **fields):
    return client.post(f"/chats/{chat.pk}/messages/", {"text": text, **fields}, headers=headers)


def on_empty_page(client, text, headers=HTMX, **fields):
    return client.post(
        "/chats/", {"id": uuid.uuid4(), "client_id": uuid.uuid4(), "text": text, **fields}, headers=headers
    )


class TestSwitching:
    def test_new_makes_a_named_persistent_session_and_goes_there(self, work, ada):
        message = work.receive("/session new Garden")
        garden = Chat.objects.for_user(ada).called("garden")
        assert (garden.title, garden.persistent, garden.named) == ("Garden", True, True)
        assert slash.leads_to(message) == garden

    @pytest.mark.parametrize("command", ["/session switch", "/switch", "/Session Switch", "/SWITCH"])
    def test_switch_goes_to_the_session_of_that_name(self, work, ada, command):
        garden = Chat.objects.start(ada, title="Garden")
        Chat.objects.start(ada, title="Garden house")
        assert slash.leads_to(work.receive(f"{command} GARDEN")) == garden

    def test_switch_finds_by_key_old_name_and_part_of_a_name(self, work, ada):
        garden = Chat.objects.start(ada, title="Greenhouse")
        garden.rename("Garden house", By(ada))
        for reference in (garden.key, "greenhouse", "den hou"):
            assert slash.leads_to(work.receive(f"/switch {reference}")) == garden

    def test_several_matches_are_a_list_of_links_without_the_one_that_is_open(self, work, ada):
        for title in ("Garden house", "Garden fence", "Workshop garden"):
            Chat.objects.start(ada, title=title)
        here = Chat.objects.start(ada, title="Garden party")
        message = here.receive("/switch garden")
        notice = message.versions.get()
        assert {offer["label"] for offer in notice.offers} == {"Garden house", "Garden fence", "Workshop garden"}
        assert {offer["offer"] for offer in notice.offers} == {"open"}
        assert slash.leads_to(message) is None

    def test_no_match_says_so_and_offers_the_page_of_all(self, work):
        notice = obey(work, "/switch nowhere")
        assert notice.text == "You have no session called “nowhere”."
        assert offers(notice) == ["sessions"]

    def test_the_session_that_is_open_is_not_switched_to(self, work):
        message = work.receive("/switch work")
        assert "already" in message.versions.get().text
        assert slash.leads_to(message) is None

    def test_sessions_of_others_and_in_the_trash_are_not_found(self, work, ada):
        Chat.objects.start(User.objects.create_user("bob"), title="Secret")
        gone = Chat.objects.start(ada, title="Gone")
        gone.trash(By(ada))
        for name in ("Secret", "Gone", gone.key):
            assert slash.leads_to(work.receive(f"/switch {name}")) is None

    @pytest.mark.parametrize("command", ["/session list", "/sessions"])
    def test_list_links_to_the_most_recent_twenty(self, work, ada, command):
        for number in range(25):
            Chat.objects.start(ada, title=f"Session {number}")
        notice = obey(work, command)
        assert offers(notice) == ["open"] * 20 + ["sessions"]

    def test_list_marks_the_one_that_is_open(self, work, ada):
        Chat.objects.start(ada, title="Garden")
        assert [o["label"] for o in obey(work, "/sessions").offers if o.get("here")] == ["Work"]

    @pytest.mark.parametrize(("command", "title"), [("/session fork", "Work"), ("/session fork Travel", "Travel")])
    def test_fork_goes_on_in_another_session(self, work, ada, command, title):
        fork = slash.leads_to(work.receive(command))
        assert (fork.title, fork.based_on, fork.pk != work.pk) == (title, work, True)
        fork.receive("When?")
        assert sent_for(fork)[1] == ["My train leaves at 7:42", "Noted.", "When?"]

    def test_the_gateway_is_asked_for_its_agents_before_the_transaction(self, work, monkeypatch):
        depths = []
        monkeypatch.setattr(tools, "agents", lambda: depths.append(len(connection.savepoint_ids)) or ["main"])
        work.receive("/session fork")
        assert depths[0] < depths[1]


class TestThisSession:
    @pytest.mark.parametrize("command", ["/session rename", "/rename", "/Rename"])
    def test_rename(self, work, command):
        notice = obey(work, f"{command} Job")
        assert Chat.objects.get(pk=work.pk).title == "Job"
        assert "“Job”" in notice.text

    def test_persist_on_and_off(self, work):
        obey(work, "/session persist on")
        assert Chat.objects.get(pk=work.pk).persistent
        obey(work, "/session persist OFF")
        assert not Chat.objects.get(pk=work.pk).persistent

    @pytest.mark.parametrize("command", ["/session status", "/status"])
    def test_status_tells_what_there_is_to_know(self, work, command):
        Message.objects.filter(role="assistant").update(usage={"total_tokens": 1234})
        told = dict(line.split(": ", 1) for line in obey(work, command).text.split("\n"))
        assert told["Name"] == "Work" and told["Key"] == work.key and told["Agent"] == work.agent
        assert (told["Messages"], told["Chapter"], told["Persistent"], told["Tokens"]) == (
            "2",
            "1",
            "no",
            "1,234 in this chapter, 1,234 of them for the last reply",
        )
        assert {"Created", "Last active"} < told.keys()

    def test_tokens_are_told_where_they_are_known_and_not_those_of_another_session(self, work):
        assert "Tokens" not in obey(work, "/status").text
        Message.objects.filter(role="assistant").update(usage={"total_tokens": 1234})
        assert "Tokens" not in obey(work.fork(By(work.owner)), "/status").text

    def test_export_offers_both_kinds(self, work):
        assert [(o["offer"], o["format"]) for o in obey(work, "/session export").offers] == [
            ("export", "markdown"),
            ("export", "json"),
        ]

    def test_delete_only_asks_and_says_what_goes(self, work):
        work.protect(True, By(work.owner))
        work.receive("Running")
        Chat.objects.update(created_at=timezone.now() - timedelta(days=3))
        notice = obey(work, "/session delete")
        assert Chat.objects.get(pk=work.pk).deleted_at is None
        assert (
            "“Work”" in notice.text
            and "4 messages" in notice.text
            and "begun 3 days ago" in notice.text.replace("\xa0", " ")
        )
        assert "being written is stopped" in notice.text
        assert offers(notice) == ["delete"]

    @pytest.mark.parametrize("command", ["/new", "/reset", "/New", "/RESET "])
    def test_new_begins_a_chapter_after_itself(self, work, command):
        notice = obey(work, command)
        work.refresh_from_db()
        assert (work.chapter, notice.chapter) == (2, 1)
        assert work.can_undo_reset
        work.receive("Fresh")
        assert sent_for(work) == (f"{work.key}-c2", ["Fresh"])

    def test_new_can_be_undone_with_commands_after_it_and_again(self, work):
        by = By(work.owner)
        for begin in (lambda: work.receive("/new"), lambda: work.reset(by), lambda: work.reset(by)):
            begin()
            work.receive("/help")
            work.undo_reset(by)
            assert (work.chapter, work.wire_key) == (1, work.key)

    def test_a_chapter_of_commands_is_empty(self, work):
        work.receive("/new")
        work.receive("/help")
        assert obey(work, "/new").text == str(errors.NothingToReset())
        assert Chat.objects.get(pk=work.pk).chapter == 2

    def test_commands_are_not_counted_as_messages_of_a_chapter(self, work):
        work.receive("/help")
        work.receive("/new")
        assert work.earlier_chapters()[1]["messages"] == 2

    def test_stop_acts_at_once_and_the_next_in_line_comes_after_it(self, work):
        work.receive("one")
        work.receive("two")
        notice = obey(work, "/stop")
        assert notice.text == "Stopped."
        told = [(m.text or m.role, m.state) for m in work.messages.shown().filter(seq__gt=2)]
        assert told == [
            ("one", "sent"),
            ("assistant", "stopped"),
            ("/stop", "sent"),
            ("Stopped.", "sent"),
            ("two", "sent"),
            ("assistant", "waiting"),
        ]

    def test_stop_without_a_reply_says_so(self, work):
        assert obey(work, "/stop").text == "No reply is being written."

    def test_help_has_every_command_with_what_it_does(self, work):
        lines = obey(work, "/help").text.split("\n")
        for command in slash.COMMANDS.values():
            assert command.help
            assert any(line.startswith(command.usage) and command.help in line for line in lines)
        assert "//new" in lines[-1]


def test_the_table_is_the_one_that_was_agreed():
    assert {c.usage for c in slash.COMMANDS.values()} == {
        *("/session new <name>", "/session switch <name>", "/session list", "/session rename <name>"),
        *("/session delete", "/session persist on|off", "/session fork [name]", "/session export", "/session status"),
        *("/new", "/stop", "/help"),
    }
    aliases = {c.alias: c.name for c in slash.COMMANDS.values() if c.alias}
    assert aliases == {
        "sessions": "session list",
        "rename": "session rename",
        "switch": "session switch",
        "status": "session status",
        "reset": "new",
    }


class TestMain:
    @pytest.fixture
    def main(self, ada):
        return Chat.objects.main_of(allow_main(ada), By(ada))

    @pytest.mark.parametrize("text", ["/new", "/reset"])
    def test_where_the_operator_protects_it_only_what_can_be_done_is_offered(self, main, settings, text):
        settings.SESSION_PROTECT_MAIN = True
        notice = obey(main, text)
        assert (notice.text, offers(notice)) == (str(errors.Protected("Main")), ["new-chat"])

    def test_elsewhere_it_asks_first(self, main):
        assert offers(obey(main, "/reset")) == ["reset-main"]


class TestWhatIsNoCommand:
    @pytest.mark.parametrize(
        "text",
        [
            *("/home/me", "/etc", "/", "//", "// a comment", "/newt", "/new-york", "/new, please", "say /new", " /new"),
            *(
                "/session/new",
                "/42",
                "/résumé",
                "／new",
                "/etc/hosts\nis a file",
                "/unknown\nand more\nlines",
                "//home",
            ),
        ],
    )
    def test_it_is_sent_as_it_is(self, work, text):
        assert is_text(work, text)
        assert sent_for(work)[1] == [text]

    @pytest.mark.parametrize("text", ["/new", "/session new x", "/NEW", "/model gpt", "/help\nme", "/new"])
    def test_a_second_slash_sends_a_command_as_text(self, work, text):
        assert is_text(work, f"/{text}")
        assert sent_for(work)[1] == [text]

    def test_a_third_slash_sends_two(self, work):
        assert is_text(work, "///new")
        assert sent_for(work)[1] == ["//new"]

    def test_text_that_reads_like_a_command_leads_nowhere(self, work):
        assert slash.leads_to(work.receive("//session new x")) is None
        assert Chat.objects.count() == 1


@pytest.mark.thorough
class TestNonsense:
    @pytest.mark.parametrize("text", ["/session", "/session frobnicate", "/Session  \n", "/session <b>"])
    def test_an_unknown_session_command_is_answered_with_those_there_are(self, work, text):
        said = obey(work, text).text
        for command in slash.COMMANDS.values():
            assert (command.usage in said) == command.name.startswith("session ")

    @pytest.mark.parametrize("text", ["/session new", "/session new ", "/switch", "/rename \n ", "/session persist"])
    def test_a_missing_argument_is_asked_for(self, work, text):
        assert "Something is missing. Type /session " in obey(work, text).text
        assert Chat.objects.count() == 1

    @pytest.mark.parametrize("text", ["/new idea: let us go", "/reset\nthe router, how?", "/session delete Garden"])
    def test_what_takes_no_argument_does_nothing_with_one(self, work, text):
        notice = obey(work, text)
        assert "takes nothing after it" in notice.text
        assert offers(notice) == ["send-as-text"]
        assert Chat.objects.get(pk=work.pk).chapter == 1

    @pytest.mark.parametrize("value", ["maybe", "1", "on off"])
    def test_persist_takes_on_and_off_only(self, work, value):
        assert "Type /session persist on" in obey(work, f"/session persist {value}").text
        assert not Chat.objects.get(pk=work.pk).persistent

    @pytest.mark.parametrize("word", ["model", "think", "compact", "verbose", "reasoning", "usage", "queue", "restart"])
    def test_openclaws_own_commands_are_said_to_do_nothing(self, work, word):
        text = f"/{word} high"
        notice = obey(work, text)
        assert f"/{word} is a command of OpenClaw's own" in notice.text
        (offer,) = notice.offers
        assert is_text(work, offer["text"])
        assert sent_for(work)[1] == [text]

    def test_no_word_is_both_ours_and_openclaws(self):
        assert not {word for c in slash.COMMANDS.values() for word in (c.name, c.alias)} & slash.OPENCLAWS_OWN

    @pytest.mark.parametrize("name", NAUGHTY)
    def test_a_naughty_name_is_a_name(self, client, work, name):
        obey(work, f"/rename {name}")
        assert Chat.objects.get(pk=work.pk).title == name
        page = client.get(f"/chat/?session={work.key}").content.decode()
        assert "<script>alert" not in page

    def test_a_name_over_two_lines_becomes_one(self, work):
        obey(work, "/rename One\n  two")
        assert Chat.objects.get(pk=work.pk).title == "One two"

    @pytest.mark.parametrize("name", ["x" * 101, "\u200b", "main", "WORK"])
    @pytest.mark.parametrize("command", ["/session new", "/rename", "/session fork"])
    def test_a_name_that_cannot_be_is_refused_in_the_words_of_the_domain(self, work, ada, command, name):
        here = Chat.objects.start(ada, title="Here", persistent=False)
        with pytest.raises(errors.BadName) as refusal:
            Chat.objects.start(ada, title=name)
        assert obey(here, f"{command} {name}").text == str(refusal.value)
        assert set(Chat.objects.values_list("title", flat=True)) == {"Work", "Here"}
        assert here.title == "Here", "not even in memory"

    @pytest.mark.parametrize("name", ["%", "_", "x" * 5000, "\u200b", *NAUGHTY])
    def test_switching_to_nonsense_finds_nothing(self, work, name):
        notice = obey(work, f"/switch {name}")
        assert "no session called" in notice.text and len(notice.text) < 200


class TestRefused:
    def test_a_persistent_session_is_not_reset_and_the_words_are_the_domains(self, client, work):
        work.protect(True, By(work.owner))
        notice = obey(work, "/new")
        assert notice.text == str(errors.Protected("Work"))
        assert notice.text.startswith("This is a persistent session “Work”. Use /session delete to clear it")
        assert tuple(notice.offers) == errors.Protected.offers
        assert offers(notice) == ["new-chat", "unprotect-and-reset"]
        page = client.get(f"/chat/?session={work.key}").content.decode()
        assert "Start a new chat" in page and "Unprotect and start a new chapter" in page
        client.post(f"/chats/{work.pk}/reset/", {"unprotect": "1"})
        assert Chat.objects.get(pk=work.pk).chapter == 2

    def test_the_main_session_is_reset_only_after_a_confirmation(self, client, ada):
        ada.user_permissions.add(Permission.objects.get(codename="use_main_session"))
        main = Chat.objects.main_of(User.objects.get(pk=ada.pk), By(ada))
        notice = obey(main, "/new")
        assert notice.text == str(errors.SharedByAll(main.agent))
        assert offers(notice) == ["reset-main"]
        page = client.get("/chat/?session=main").content.decode()
        assert f'action="/chats/{main.pk}/reset/"' in page and 'name="confirm" value="1"' in page

    def test_what_a_refused_verb_had_begun_is_undone(self, work, ada):
        untitled = Chat.objects.start(ada)
        notice = obey(untitled, "/session persist on")
        assert "needs a name" in notice.text
        assert not ChatEvent.objects.filter(verb="protected").exists()


class TestInTheConversation:
    def test_the_agent_never_hears_of_it(self, work):
        for text in ("/help", "/status", "/model x", "/session frobnicate"):
            obey(work, text)
        assert not work.messages.running().exists()
        work.receive("Hello")
        assert sent_for(work)[1] == ["Hello"]
        work.stop()
        work.receive("/help")
        work.receive("Again")
        assert sent_for(work)[1] == ["Hello", "Again"]

    def test_it_stands_where_it_was_typed_and_never_waits(self, work):
        work.receive("one")
        work.receive("waits")
        asked = work.receive("/help")
        assert (asked.role, asked.state, asked.seq) == ("user", "sent", 5)
        assert (asked.versions.get().seq, asked.versions.get().state) == (6, "sent")
        for _ in range(4):
            work.receive("waits")
        assert obey(work, "/help"), "also when the line is full"

    def test_it_is_no_title_and_no_activity(self, ada):
        chat = Chat.objects.start(ada)
        chat.archive(True, By(ada))
        before = Chat.objects.get(pk=chat.pk)
        chat.receive("/help")
        after = Chat.objects.get(pk=chat.pk)
        assert after.title == ""
        assert (after.last_active_at, after.archived_at) == (before.last_active_at, before.archived_at)

    def test_a_draft_that_it_was_not_stays(self, work):
        work.keep_draft("Half a thought")
        work.receive("/help")
        assert Chat.objects.get(pk=work.pk).draft == "Half a thought"

    def test_the_draft_that_it_was_is_gone(self, work):
        work.keep_draft("/help")
        work.receive("/help")
        assert Chat.objects.get(pk=work.pk).draft == ""

    def test_a_failed_reply_can_still_be_asked_again(self, work):
        work.receive("one")
        work.messages.running().get().settle("failed")
        work.receive("/help")
        failed = next(m for m in work.conversation() if m.state == "failed")
        assert failed.offers_retry
        work.retry(failed)

    @pytest.mark.parametrize("text", ["/session new Garden", "/new", "/session fork Two", "/stop", "/help"])
    def test_the_same_message_again_does_nothing_and_leads_to_the_same(self, client, work, text):
        work.receive("Running")
        client_id = uuid.uuid4()
        posts = [send(client, work, text, HTMX, client_id=client_id) for _ in range(3)]
        assert {post.status_code for post in posts} == {200}
        assert len({post.headers.get("HX-Redirect") for post in posts}) == 1
        assert work.messages.filter(text=text).count() == 1
        assert work.messages.filter(role="notice", parent__text=text).count() == 1
        assert Chat.objects.exclude(pk=work.pk).count() == text.startswith(("/session new", "/session fork"))
        assert Chat.objects.get(pk=work.pk).chapter == (2 if text == "/new" else 1)

    @pytest.mark.parametrize("text", ["/session rename Job", "/new", "/session persist on", "/session new Garden"])
    def test_the_history_says_who_from_where(self, client, work, ada, text):
        send(client, work, text, HTMX)
        event = ChatEvent.objects.order_by("pk").last()
        assert (event.source, event.actor) == ("slash", ada)

    def test_limits_apply_to_sessions_made_by_commands(self, work, settings):
        settings.SESSION_CREATE_RATE = [(1, 60)]
        obey(work, "/session new One")
        assert "too many new sessions" in obey(work, "/session new Two").text


class TestPages:
    def test_with_javascript_a_switch_answers_where_to_go(self, client, work, ada):
        garden = Chat.objects.start(ada, title="Garden")
        answer = send(client, work, "/switch garden", HTMX)
        assert answer["HX-Redirect"] == f"/chat/?session={garden.key}"
        assert send(client, work, "/switch garden").url == f"/chat/?session={garden.key}"

    def test_a_session_that_is_gone_since_is_not_gone_to(self, client, work, ada):
        client_id = uuid.uuid4()
        send(client, work, "/session new Garden", HTMX, client_id=client_id)
        Chat.objects.for_user(ada).called("garden").trash(By(ada))
        assert "HX-Redirect" not in send(client, work, "/session new Garden", HTMX, client_id=client_id).headers

    def test_an_answer_is_part_of_the_updates_and_of_the_page(self, client, work):
        fragment = send(client, work, "/status", HTMX, after=2).content.decode()
        assert 'data-role="notice"' in fragment and f"Key: {work.key}" in fragment
        assert f"Key: {work.key}" in client.get(f"/chat/?session={work.key}").content.decode()

    def test_every_offer_is_a_link_or_a_form(self, client, work, ada):
        Chat.objects.start(ada, title="Garden & <b>house</b>")
        commands = ("/sessions", "/session export", "/session delete", "/model x\ny")
        page = "".join(render_to_string("chat/_offers.html", {"message": obey(work, text)}) for text in commands)
        assert f'href="/chat/?session={work.key}" aria-current="page"' in page
        assert "Garden &amp; &lt;b&gt;house&lt;/b&gt;</bdi></a>" in page and 'href="/sessions/"' in page
        assert page.count(f'action="/chats/{work.pk}/export/"') == 2 and 'value="markdown"' in page
        assert f'action="/chats/{work.pk}/delete/"' in page
        assert 'name="text" value="//model x\ny"' in page

    def test_sending_as_text_twice_sends_once(self, client, work):
        (offer,) = obey(work, "/think hard").offers
        for _ in range(2):
            send(client, work, offer["text"], HTMX, client_id=offer["client_id"])
        assert work.messages.filter(role="user", text="/think hard").count() == 2, "the command, and the text"


class TestEmptyPage:
    def test_a_new_session_is_made_once_and_gone_to(self, client, ada):
        fields = {"id": uuid.uuid4(), "client_id": uuid.uuid4()}
        answers = [on_empty_page(client, "/session new Garden", **fields) for _ in range(3)]
        garden = Chat.objects.get()
        assert {a["HX-Redirect"] for a in answers} == {f"/chat/?session={garden.key}"}
        assert not garden.messages.exists()
        assert ChatEvent.objects.get().source == "slash"
        assert on_empty_page(client, "/switch gard", headers=None).url == f"/chat/?session={garden.key}"

    @pytest.mark.parametrize(
        "text", ["/help", "/sessions", "/switch nowhere", "/session x", "/session new", "/model x"]
    )
    def test_what_needs_no_session_is_answered_without_making_one(self, client, ada, text):
        client_id = uuid.uuid4()
        fragment = on_empty_page(client, text, client_id=client_id, after=4).content.decode()
        assert f'data-client-id="{client_id}"' in fragment
        assert 'data-role="notice"' in fragment and 'data-seq="5"' in fragment and 'data-seq="6"' in fragment
        assert "message-None" not in fragment and "<html" not in fragment
        page = on_empty_page(client, text, headers=None).content.decode()
        assert 'data-role="notice"' in page and 'id="composer"' in page and 'id="empty"' not in page
        assert not Chat.objects.exists()

    @pytest.mark.parametrize(
        "text", ["/new", "/stop", "/rename x", "/rename", "/status", "/session delete", "/session persist on"]
    )
    def test_what_needs_one_is_refused_and_the_text_kept(self, client, ada, text):
        answer = on_empty_page(client, text)
        assert (answer.status_code, answer.content.decode()) == (409, str(errors.NoSessionYet()))
        page = on_empty_page(client, text, headers=None)
        assert page.status_code == 409 and f"{text}</textarea>" in page.content.decode()
        assert not Chat.objects.exists()

    def test_a_bad_name_is_refused_there_and_the_text_kept(self, client, ada):
        answer = on_empty_page(client, "/session new main")
        assert answer.status_code == 400 and "reserved" in answer.content.decode()

    def test_the_escape_makes_a_chat_with_the_text(self, client, ada):
        on_empty_page(client, "//new")
        assert Chat.objects.get().messages.get(role="user").text == "/new"

    def test_a_command_behind_the_first_message_belongs_to_the_chat_it_made(self, client, ada):
        pk = uuid.uuid4()
        on_empty_page(client, "Hello", id=pk)
        answer = on_empty_page(client, "/rename Greetings", id=pk)
        assert answer["HX-Redirect"] == f"/chat/?session=webchat-{pk}"
        assert Chat.objects.get().title == "Greetings"


class TestMenu:
    def menu(self, client, **query):
        return client.get("/chats/commands/", query).content.decode()

    def test_it_has_each_command_with_its_argument_and_help(self, client, work):
        work.receive("Running")
        menu = self.menu(client, session=work.key)
        for command in slash.COMMANDS.values():
            assert f'data-names="{"|".join(command.names)}"' in menu and command.help in menu

    def test_only_what_applies_is_there(self, client, work):
        assert 'data-names="/stop"' not in self.menu(client, session=work.key)
        empty = self.menu(client)
        assert "/session new" in empty and "/help" in empty
        assert "/session rename" not in empty and "/new|/reset" not in empty and "/stop" not in empty

    def test_new_is_said_to_be_refused_in_a_persistent_session(self, client, work, ada):
        assert "protected" not in self.menu(client, session=work.key)
        work.protect(True, By(ada))
        assert "this session is protected" in self.menu(client, session=work.key)

    def test_arguments_are_the_names_of_the_other_sessions(self, client, work, ada):
        Chat.objects.start(ada, title='"Quoted" <b>')
        Chat.objects.start(User.objects.create_user("bob"), title="Secret")
        menu = self.menu(client, session=work.key)
        assert 'data-value="&quot;Quoted&quot; &lt;b&gt;"' in menu and 'data-value="on"' in menu
        assert 'data-value="Work"' not in menu and "Secret" not in menu

    def test_a_foreign_session_has_none(self, client, ada):
        foreign = Chat.objects.start(User.objects.create_user("bob"), title="Secret")
        assert client.get("/chats/commands/", {"session": foreign.key}).status_code == 404
