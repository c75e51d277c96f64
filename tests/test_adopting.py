"""Sessions of the gateway that become chats: which there are, what comes along, and how such a chat goes on."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command

from sessions_core import errors
from sessions_core.gateway import OpenClaw, Rejected, tools, transcript
from sessions_core.models import AgentGrant, ApiToken, By, Chat, ChatEvent, Leftover, User
from sessions_core.models.adopting import MOST_TOLD, adoptable
from tests.fake_gateway import TOOLS, tool_refused

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
BY = By(None, "cli")
TELEGRAM = "agent:main:telegram:direct:1"
OURS = "webchat-0b1e7a52-0000-4000-8000-000000000001"


@pytest.fixture
def gateway(fake_gateway, settings):
    settings.OPENCLAW_GATEWAY_URL = fake_gateway.url
    settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.token
    tools.forget_agents()
    fake_gateway.sessions.add(TELEGRAM, channel="telegram", derivedTitle="What is the weather")
    fake_gateway.sessions.told[TELEGRAM] = [
        ("user", "What is the weather?"),
        ("assistant", "Fine."),
        ("user", "And tomorrow?"),
        ("assistant", "Rain."),
    ]
    yield fake_gateway
    tools.forget_agents()


@pytest.fixture
def adopted(gateway, ada):
    return Chat.objects.adopt(ada, TELEGRAM, BY)


def keys(owner, search=""):
    return [found.key for found in adoptable(owner, search)]


# --- which there are


def test_those_that_are_no_chat_are_listed_the_last_used_first(gateway, ada, bob):
    mine, thrown_away = Chat.objects.start(ada), Chat.objects.start(bob)
    thrown_away.trash(BY)
    for key in (mine.key, f"{mine.key}-c2", thrown_away.key, OURS):
        gateway.sessions.add(f"agent:main:{key}")
    gateway.sessions.add("agent:main:discord:channel:7", updatedAt=9_999_999_999_999, label="Guild")
    gateway.sessions.rows[TELEGRAM]["updatedAt"] = 1
    assert keys(ada) == ["agent:main:discord:channel:7", f"agent:main:{OURS}", TELEGRAM]
    assert adoptable(ada)[0].name == "Guild"


@pytest.mark.parametrize(
    "key",
    [
        *("agent:main:main", "agent:main:subagent:7", "agent:main:cron:7", "agent:main:acp:7", "global"),
        *("agent:main:webchat-title-12", "agent:main:webchat-doctor-12", "agent:main:ä", "agent:main:a b", ""),
    ],
)
def test_what_is_nobodys_to_have_is_not_listed_and_not_adopted(gateway, ada, key):
    gateway.sessions.add(key)
    assert keys(ada) == [TELEGRAM]
    with pytest.raises(errors.NoSuchSession):
        Chat.objects.adopt(ada, key, BY)


def test_all_pages_of_the_list_are_read_and_it_can_be_searched(gateway, ada):
    gateway.sessions.page = 2
    for number in range(5):
        gateway.sessions.add(f"agent:main:irc:{number}")
    assert len(keys(ada)) == 6
    assert keys(ada, "irc:3") == ["agent:main:irc:3"]


def test_a_gateway_that_lists_none_says_why(gateway, ada):
    gateway.instead[TOOLS] = [tool_refused(404, "Tool not available")]
    with pytest.raises(errors.GatewayRefused, match="alsoAllow"):
        adoptable(ada)


def test_sessions_of_an_agent_that_is_not_open_to_a_person_are_not_hers(gateway, ada, bob):
    group = Group.objects.create(name="ops")
    AgentGrant.objects.create(group=group, agent="main")
    bob.groups.add(group)
    gateway.agents = ["main", "work"]
    assert keys(ada) == [] and keys(bob) == [TELEGRAM]
    with pytest.raises(errors.NotAllowed):
        Chat.objects.adopt(ada, TELEGRAM, BY)


# --- what comes along


def test_the_chat_has_the_gateways_key_its_title_and_what_was_said(adopted, ada):
    chat = Chat.objects.for_user(ada).get()
    assert (chat.key, chat.wire_key, chat.agent) == (TELEGRAM, TELEGRAM, "main")
    assert (chat.title, chat.named) == ("What is the weather", False)
    told = list(chat.messages.shown())
    assert [(one.role, one.state, one.text, one.origin) for one in told] == [
        ("user", "sent", "What is the weather?", "Telegram"),
        ("assistant", "done", "Fine.", "Telegram"),
        ("user", "sent", "And tomorrow?", "Telegram"),
        ("assistant", "done", "Rain.", "Telegram"),
    ]
    assert told[0].created_at.year == 2026 and len({one.transcript_id for one in told}) == 4
    assert chat.messages.said().count() == 4 and chat.read_seq == 4
    assert ChatEvent.objects.get(verb="adopted").detail == {"key": TELEGRAM, "messages": 4}


def test_a_label_is_a_name_that_is_free(gateway, ada):
    Chat.objects.start(ada, title="Family")
    gateway.sessions.add(TELEGRAM, label="Family")
    chat = Chat.objects.adopt(ada, TELEGRAM, BY)
    assert (chat.title, chat.named, chat.persistent) == ("Family (2)", True, False)


@pytest.mark.parametrize("label", ["main", "webchat-1"])
def test_a_reserved_label_is_put_in_quotation_marks(gateway, ada, label):
    gateway.sessions.add(TELEGRAM, label=label)
    assert Chat.objects.adopt(ada, TELEGRAM, BY).title == f"“{label}”"


def test_of_a_long_history_the_last_two_thousand_come(gateway, ada):
    gateway.sessions.told[TELEGRAM] = [("user", f"number {n}") for n in range(MOST_TOLD + 30)]
    chat = Chat.objects.adopt(ada, TELEGRAM, BY)
    assert chat.messages.count() == MOST_TOLD
    assert chat.messages.shown().last().text == f"number {MOST_TOLD + 29}"


def test_a_session_of_this_app_comes_back_under_its_own_key(gateway, ada):
    gateway.sessions.add(f"agent:main:{OURS}")
    gateway.sessions.told[f"agent:main:{OURS}"] = [("user", "Hello"), ("assistant", "Hi."), ("user", "Are you there?")]
    chat = Chat.objects.adopt(ada, f"agent:main:{OURS}", BY)
    assert (chat.key, str(chat.pk)) == (OURS, OURS.removeprefix("webchat-")) and chat.has_own_keys
    hello, hi, unanswered = chat.messages.shown()
    assert hi.parent == hello and {hello.origin, hi.origin, unanswered.origin} == {""}
    assert chat.regenerate(hi).turns() == [{"role": "user", "content": "Hello"}]


def test_one_with_later_chapters_there_keeps_the_gateways_key(gateway, ada):
    """A reset would go on in the old second chapter."""
    for key in (OURS, f"{OURS}-c2"):
        gateway.sessions.add(f"agent:main:{key}")
    chat = Chat.objects.adopt(ada, f"agent:main:{OURS}", BY)
    assert chat.key == f"agent:main:{OURS}"
    assert Chat.objects.adopt(ada, f"agent:main:{OURS}-c2", BY).key == f"agent:main:{OURS}-c2"


def test_what_somebody_has_already_is_refused(adopted, bob, ada):
    for who in (bob, ada):
        with pytest.raises(errors.IsAChat, match="is a chat already"):
            Chat.objects.adopt(who, TELEGRAM, BY)
    adopted.trash(BY)
    with pytest.raises(errors.IsAChat):
        Chat.objects.adopt(bob, TELEGRAM, BY)


def test_what_is_about_to_be_deleted_there_is_not_to_be_had(gateway, ada):
    gateway.sessions.add(f"agent:main:{OURS}")
    Leftover.objects.create(key=OURS, agent="main")
    assert keys(ada) == [TELEGRAM]
    with pytest.raises(errors.IsAChat):
        Chat.objects.adopt(ada, f"agent:main:{OURS}", BY)


# --- how it goes on


def test_on_the_wire_it_is_the_gateways_own_session():
    assert OpenClaw().address("agent:work:telegram:direct:1", "main") == (
        "openclaw/work",
        {"x-openclaw-agent-id": "work", "x-openclaw-session-key": "agent:work:telegram:direct:1"},
    )


@pytest.mark.parametrize(
    "key", ["agent:main:subagent:1", "agent:main:cron:1", "agent:main:acp:1", "agent:main:ü", "a:b"]
)
def test_reserved_and_strange_keys_are_not_sent(key):
    with pytest.raises(Rejected):
        OpenClaw().address(key, "main")


def test_only_the_new_message_is_sent(adopted):
    message = adopted.receive("And on Sunday?")
    assert message.versions.get().turns() == [{"role": "user", "content": "And on Sunday?"}]


def test_it_is_found_by_its_key_and_by_its_name(adopted, ada):
    assert ada.chats.called(TELEGRAM) == adopted
    assert ada.chats.called("what is the weather") == adopted
    with pytest.raises(Chat.DoesNotExist):
        ada.chats.called("agent:main:telegram:direct:2")


def test_nothing_can_be_said_anew_in_it(adopted):
    reply = adopted.messages.replies().last()
    with pytest.raises(errors.NotAllowed, match="the gateway's own"):
        adopted.regenerate(reply)
    with pytest.raises(errors.NotAllowed):
        adopted.edit(reply.parent, "Otherwise")
    page = adopted.conversation()
    assert not any(one.offers_edit or one.offers_regenerate for one in page)


def test_a_reset_is_the_gateways_own_and_asks_first(adopted, gateway):
    with pytest.raises(errors.SharedByAll, match="every channel that leads to it"):
        adopted.reset(BY)
    assert not [call for call in gateway.tool_calls if call["args"].get("action") == "reset"]
    adopted.reset(BY, confirmed=True)
    call = gateway.tool_calls[-1]
    assert call["args"] == {"action": "reset", "sessionKey": TELEGRAM} and call["agentId"] == "main"
    assert (adopted.wire_key, adopted.chapter) == (TELEGRAM, 1)
    message = adopted.receive("Hello again")
    assert len(message.versions.get().turns()) == 1, "what was said before is not told again"


def test_a_protected_one_is_not_reset_and_the_main_sessions_protection_is_not_its(adopted, settings):
    settings.SESSION_PROTECT_MAIN = True
    with pytest.raises(errors.SharedByAll):
        adopted.reset(BY)
    adopted.protect(True, BY)
    with pytest.raises(errors.Protected):
        adopted.reset(BY, confirmed=True)


@pytest.mark.parametrize("key", [TELEGRAM, f"agent:main:{OURS}"])
def test_what_came_along_is_not_heard_again_and_what_follows_is(gateway, ada, key):
    gateway.sessions.add(key)
    gateway.sessions.told[key] = [("user", "Hello"), ("assistant", "Hi."), ("user", "Are you there?")]
    chat = Chat.objects.adopt(ada, key, BY)
    assert not chat.hear(transcript.read(chat.wire_key, chat.agent)) and chat.messages.count() == 3
    gateway.sessions.told[key] += [("user", "And now?"), ("assistant", "Now too.")]
    assert chat.hear(transcript.read(chat.wire_key, chat.agent))
    assert [one.text for one in chat.messages.shown()][3:] == ["And now?", "Now too."]


def test_it_can_be_forked_and_the_fork_has_keys_of_its_own(adopted):
    made = adopted.fork(BY)
    assert made.has_own_keys and made.messages.said().count() == 4
    turns = made.receive("Go on").versions.get().turns()
    assert [turn["content"] for turn in turns] == ["What is the weather?", "Fine.", "And tomorrow?", "Rain.", "Go on"]


def test_deleting_it_for_good_leaves_the_gateways_session_alone(adopted):
    adopted.trash(BY)
    adopted.purge(BY)
    assert not Leftover.objects.exists()


# --- on the server


def run(capsys, *words):
    call_command("sessions", "adopt", *words)
    return capsys.readouterr().out


def test_an_operator_lists_and_adopts(gateway, ada, capsys):
    assert TELEGRAM in run(capsys, "--user", "ada", "--list")
    assert "Would adopt: What is the weather" in run(capsys, "--user", "ada", TELEGRAM, "--dry-run")
    assert not Chat.objects.exists()
    assert "Adopted: “What is the weather” of ada" in run(capsys, "--user", "ada", TELEGRAM)
    assert "no session that is not a chat already" in run(capsys, "--user", "ada", "--list")
    assert run(capsys, "--user", "ada", "--list", "--json").strip() == "[]"


@pytest.mark.parametrize(
    "words", [("--user", "ada"), ("--user", "ada", TELEGRAM, "--list"), ("--list",), ("--user", "ada", "x")]
)
def test_what_an_operator_gets_wrong_is_said(gateway, ada, words):
    with pytest.raises(CommandError):
        call_command("sessions", "adopt", *words)


# --- in the browser


@pytest.fixture
def allowed(ada):
    ada.user_permissions.add(Permission.objects.get(codename="adopt_sessions"))
    return User.objects.get(pk=ada.pk)


def test_who_has_not_the_right_finds_no_such_page(gateway, client, ada):
    client.force_login(ada)
    assert client.get("/sessions/adopt/").status_code == client.post("/sessions/adopt/").status_code == 404
    assert "/sessions/adopt/" not in client.get("/sessions/").content.decode()


def test_who_has_it_chooses_there(gateway, client, allowed):
    client.force_login(allowed)
    assert "/sessions/adopt/" in client.get("/sessions/").content.decode()
    page = client.get("/sessions/adopt/").content.decode()
    assert f'value="{TELEGRAM}"' in page and "Telegram" in page
    answer = client.post("/sessions/adopt/", {"keys": TELEGRAM})
    assert answer.status_code == 302 and answer.url.startswith("/chat/?session=agent")
    shown = client.get(answer.url).content.decode()
    assert "And tomorrow?" in shown and TELEGRAM in shown
    assert f'value="{TELEGRAM}"' not in client.get("/sessions/adopt/").content.decode()


def test_the_page_asks_before_the_gateway_forgets(gateway, client, adopted, ada):
    client.force_login(ada)
    asked = client.post(f"/chats/{adopted.pk}/reset/")
    assert asked.status_code == 409 and "Reset the session on the gateway?" in asked.content.decode()
    client.post(f"/chats/{adopted.pk}/reset/", {"confirm": "1"})
    assert "This session was reset on the gateway" in client.get(f"/chat/?session={TELEGRAM}").content.decode()


def test_a_command_asks_with_a_button(adopted):
    notice = adopted.receive("/reset").versions.get()
    assert "every channel that leads to it" in notice.text
    assert notice.offers == [{"offer": "reset-main", "label": "Reset it on the gateway"}]


def test_what_becomes_of_the_gateways_session_is_said_before_a_chat_goes_for_good(gateway, client, adopted, ada):
    own = Chat.objects.start(ada, title="Own")
    client.force_login(ada)
    pages = []
    for chat in (adopted, own):
        chat.trash(BY)
        pages.append(client.get(f"/chats/{chat.pk}/purge/").content.decode())
    assert "The session on the gateway stays as it is." in pages[0] and "The agent forgets it too." in pages[1]


def test_several_at_once_and_what_is_refused_is_told(gateway, client, allowed):
    gateway.sessions.add("agent:main:irc:1")
    client.force_login(allowed)
    answer = client.post("/sessions/adopt/", {"keys": [TELEGRAM, "agent:main:irc:1", "agent:main:irc:2"]}, follow=True)
    said = answer.content.decode()
    assert "2 sessions are yours now." in said and "The gateway has no session agent:main:irc:2" in said


def test_a_gateway_that_is_away_is_told_on_the_page(gateway, client, allowed, settings):
    settings.OPENCLAW_GATEWAY_URL = "http://127.0.0.1:9"
    client.force_login(allowed)
    answer = client.get("/sessions/adopt/")
    assert answer.status_code == 200 and "cannot be reached" in answer.content.decode()


def test_a_program_finds_it_by_its_key(gateway, adopted, client, ada):
    _, secret = ApiToken.make(ada, "program", By(ada))
    token = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
    assert client.get(f"/api/sessions/{TELEGRAM}", **token).json()["key"] == TELEGRAM
    reset = client.post(f"/api/sessions/{TELEGRAM}/reset", "{}", content_type="application/json", **token)
    assert reset.status_code == 409 and reset.json()["error"]["code"] == "shared_by_all"
