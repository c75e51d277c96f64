"""The dialog that makes a named session, and the form behind it; the reset of the main session, which asks."""

import re
import uuid

import pytest
from django.contrib.auth.models import Permission

from sessions_core.gateway import Unreachable, tools
from sessions_core.models import By, Chat, Message, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client):
    ada = User.objects.create_user("ada")
    client.force_login(ada)
    return ada


@pytest.fixture
def work(ada):
    work = Chat.objects.start(ada, title="Work")
    work.receive("My train leaves at 7:42").versions.get().settle("done")
    return work


@pytest.fixture
def two_agents(monkeypatch):
    monkeypatch.setattr(tools, "agents", lambda: ["main", "ops"])


def dialog(client, query="", **headers):
    return client.get(f"/chats/new/{query}", headers=headers).content.decode()


def create(client, **fields):
    return client.post("/chats/", {"title": "New", "persistent": "on"} | fields)


def chosen(page):
    return re.findall(r"<option[^>]* selected>([^<]+)</option>", page)


def test_the_form_asks_for_what_there_is_to_choose(client, ada, work):
    page = dialog(client)
    assert 'id="session-persistent" name="persistent" checked' in page
    assert re.search(rf'<option value="{work.pk}"[^>]*>Work</option>', page)
    assert 'name="agent"' not in page


def test_agents_are_offered_where_there_are_several(client, ada, two_agents):
    ada.default_agent = "ops"
    ada.save()
    assert chosen(dialog(client)) == ["ops"]
    create(client, agent="main")
    assert Chat.objects.get().agent == "main"


def test_opened_from_a_session_it_is_based_on_that(client, ada, work, two_agents):
    Chat.objects.filter(pk=work.pk).update(agent="ops", archived_at="2026-01-01T00:00Z")
    page = dialog(client, f"?based_on={work.key}", **{"HX-Request": "true"})
    assert chosen(page) == ["Work", "ops"] and "<dialog" in page


def test_what_was_said_there_goes_along(client, ada, work):
    create(client, based_on=work.pk)
    made = Chat.objects.get(title="New")
    assert made.based_on == work
    assert made.messages.said().first().text == "My train leaves at 7:42"


@pytest.mark.parametrize("kind", ["foreign", "deleted", "missing"])
def test_a_session_that_is_not_mine_is_no_base(client, ada, work, kind):
    other = Chat.objects.start(User.objects.create_user("bob"), title="Secret")
    work.trash(By(ada))
    pk = {"foreign": other.pk, "deleted": work.pk, "missing": uuid.uuid4()}[kind]
    assert create(client, based_on=pk).status_code == 404
    assert client.get(f"/chats/new/?based_on=webchat-{pk}").status_code == 404
    assert not Chat.objects.filter(title="New").exists()
    assert "Secret" not in dialog(client) and "Work" not in dialog(client)


def test_a_form_that_is_sent_twice_makes_one_session(client, ada):
    pk = re.search(r'name="id" value="([^"]+)"', dialog(client))[1]
    assert create(client, id=pk).url == create(client, id=pk).url
    assert str(Chat.objects.get().pk) == pk


@pytest.mark.parametrize(
    ("fields", "settings_", "place", "words"),
    [
        ({"title": "WORK"}, {}, "session-title-error", "already"),
        ({"title": "\u200b"}, {}, "session-title-error", "no visible characters"),
        ({}, {"SESSION_MAX_PER_USER": 1}, "session-title-error", "1 named session"),
        ({"agent": "nobody"}, {}, "session-agent-error", "no agent “nobody”"),
        ({}, {"SESSION_CREATE_RATE": [(0, 60)]}, None, "Wait a while"),
    ],
)
def test_what_is_refused_stands_beside_its_field_and_all_is_kept(
    client, ada, work, two_agents, settings, fields, settings_, place, words
):
    for name, value in settings_.items():
        setattr(settings, name, value)
    fields = {"title": "New", "agent": "ops", "based_on": str(work.pk), "id": str(uuid.uuid4())} | fields
    answer = client.post("/chats/", fields)
    page = answer.content.decode()
    assert answer.status_code in (400, 409, 429)
    error = re.search(
        rf'<p{f" id={chr(34)}{place}{chr(34)}" if place else ""} class="field__error" role="alert">([^<]+)<', page
    )
    assert words in error[1]
    assert 'name="title" maxlength="200" required' in page and f'value="{fields["title"]}"' in page
    assert f'value="{fields["id"]}"' in page and "Work" in chosen(page)
    assert "checked" not in page
    assert fields["agent"] == "nobody" or "ops" in chosen(page)
    assert Chat.objects.count() == 1


def test_in_the_dialog_a_refusal_takes_its_place(client, ada, work):
    answer = client.post("/chats/", {"title": "Work"}, headers={"HX-Request": "true"})
    assert answer.status_code == 200 and "<dialog" in answer.content.decode()


class TestResetOfMain:
    @pytest.fixture
    def main(self, ada):
        ada.user_permissions.add(Permission.objects.get(codename="use_main_session"))
        return Chat.objects.main_of(User.objects.get(pk=ada.pk), By(ada))

    @pytest.fixture
    def asked(self, monkeypatch):
        asked = []
        monkeypatch.setattr(tools, "reset_session", lambda *args: asked.append(args))
        return asked

    def test_it_says_who_shares_it_before_anything_is_done(self, client, main, asked):
        answer = client.post(f"/chats/{main.pk}/reset/")
        assert answer.status_code == 409
        assert "shared by everybody and every channel" in answer.content.decode()
        assert 'name="confirm" value="1"' in answer.content.decode()
        assert not asked

    def test_with_htmx_it_asks_in_a_dialog(self, client, main, asked):
        answer = client.post(f"/chats/{main.pk}/reset/", headers={"HX-Request": "true"})
        assert (answer.status_code, answer["HX-Retarget"], answer["HX-Reswap"]) == (200, "#dialog", "innerHTML")
        assert "<dialog" in answer.content.decode() and not asked

    def test_confirmed_it_is_done(self, client, main, asked):
        assert client.post(f"/chats/{main.pk}/reset/", {"confirm": "1"}).url == "/chat/?session=main"
        assert asked == [("main", "main")]

    def test_a_gateway_that_refuses_is_told(self, client, main, monkeypatch):
        def refuse(*args):
            raise Unreachable("The gateway cannot be reached.")

        monkeypatch.setattr(tools, "reset_session", refuse)
        answer = client.post(f"/chats/{main.pk}/reset/", {"confirm": "1"})
        assert answer.status_code == 502 and "cannot be reached" in answer.content.decode()

    def test_protected_by_the_operator_it_offers_only_what_helps(self, client, main, asked, settings):
        settings.SESSION_PROTECT_MAIN = True
        client.post(f"/chats/{main.pk}/reset/", {"confirm": "1", "unprotect": "1"})
        notice = main.messages.get(role=Message.Role.NOTICE)
        assert notice.offers == [{"offer": "new-chat"}] and not asked
