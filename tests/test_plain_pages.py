"""What the pages and commands offer in front of a plain server: nothing that only an OpenClaw gateway has."""

import uuid

import pytest

from sessions_core import errors
from sessions_core.gateway import tools
from sessions_core.models import By, Chat, User
from tests.test_session_verbs import allow_main
from tests.test_sessions import answered


@pytest.fixture(autouse=True)
def plain_server(settings, fake_gateway):
    settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.url, fake_gateway.token
    settings.GATEWAY_KIND, settings.GATEWAY_MODEL = "openai", "llama"
    fake_gateway.agents = ["main", "second"]
    tools.forget_agents()
    yield
    tools.forget_agents()


@pytest.fixture
def ada(client, db):
    user = allow_main(User.objects.create_user("ada"))
    client.force_login(user)
    return user


@pytest.fixture
def chat(ada):
    chat = Chat.objects.start(ada, title="Work", persistent=False)
    answered(chat, "My train leaves at 7:42", "Noted.")
    return chat


def page(client, path):
    return client.get(path).content.decode()


def said(chat, text):
    return chat.receive(text).versions.get()


def test_a_new_session_has_no_agent_to_choose_and_no_main_session(client, ada, settings, fake_gateway):
    form = page(client, "/chats/new/")
    assert 'name="title"' in form
    assert 'name="agent"' not in form and 'name="main"' not in form
    assert not fake_gateway.requests
    settings.GATEWAY_KIND = "openclaw"
    form = page(client, "/chats/new/")
    assert 'name="agent"' in form and 'name="main"' in form


def test_the_list_and_the_table_show_no_agent_and_no_session_on_a_gateway(client, chat, settings):
    shown = page(client, "/chat/") + page(client, "/sessions/")
    assert "Work" in shown
    assert 'data-badge="oc"' not in shown and "table__agent" not in shown and 'name="main"' not in shown
    settings.GATEWAY_KIND = "openclaw"
    shown = page(client, "/chat/") + page(client, "/sessions/")
    assert 'data-badge="oc"' in shown and "table__agent" in shown and 'name="main"' in shown


def test_the_main_session_cannot_be_opened(client, ada):
    with pytest.raises(errors.NotAllowed, match="no agents"):
        Chat.objects.main_of(ada, By(ada))
    answer = client.post("/chats/", {"main": "1"})
    assert answer.status_code == 403 and not Chat.objects.exists()
    assert 'name="main"' not in page(client, "/chat/?session=main")


def test_one_of_the_gateways_from_before_can_be_read_and_nothing_can_be_sent_there(client, ada, settings):
    settings.GATEWAY_KIND = "openclaw"
    main = Chat.objects.main_of(ada, By(ada))
    adopted = Chat.objects.create(owner=ada, openclaw_session_key="agent:main:telegram:direct:1")
    settings.GATEWAY_KIND = "openai"
    for chat in (main, adopted):
        for act in (lambda chat=chat: chat.receive("Hello"), lambda chat=chat: chat.reset(By(ada), confirmed=True)):
            with pytest.raises(errors.NotAllowed, match="can only be read"):
                act()
        answer = client.post(f"/chats/{chat.pk}/messages/", {"text": "Hello"}, headers={"HX-Request": "true"})
        assert answer.status_code == 403 and "can only be read" in answer.content.decode()
        assert answer["Content-Type"].startswith("text/plain"), "which the page shows as it is"


def test_a_session_of_another_agent_from_before_goes_on_and_can_be_forked(ada, fake_gateway):
    chat = Chat.objects.start(ada, agent="second")
    answered(chat, "Hello", "Hi.")
    assert chat.fork(By(ada)).agent == "second"
    assert not fake_gateway.requests


def test_status_names_the_model(chat):
    status = said(chat, "/status").text
    assert "Model: llama" in status and "Agent" not in status


def test_openclaws_own_commands_are_simply_unknown(chat):
    notice = said(chat, "/model gpt-9")
    assert notice.text == "There is no command /model. The model would read it as text."
    assert notice.offers[0]["offer"] == "send-as-text"


def test_a_command_that_asks_for_agents_elsewhere_asks_nobody_here(chat, fake_gateway):
    said(chat, "/session fork Travel")
    assert chat.owner.chats.filter(title="Travel").exists()
    assert not fake_gateway.requests


def test_a_message_that_cannot_fit_is_refused_with_its_text_kept(client, chat, settings):
    settings.GATEWAY_CONTEXT_TOKENS = 1000
    fields = {"text": "amber " * 1000, "client_id": uuid.uuid4()}
    answer = client.post(f"/chats/{chat.pk}/messages/", fields)
    assert answer.status_code == 400 and "Shorten it" in answer.content.decode()
