"""Signing in and out, the first account, invitations and new passwords."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from sessions_core import links
from sessions_core.hub import hub
from sessions_core.models import Chat, ChatEvent, User

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse 9 battery"


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password=PASSWORD)


@pytest.fixture
def heard(monkeypatch):
    events = []
    monkeypatch.setattr(hub, "publish", lambda topic, event: events.append((topic, event["type"])))
    return events


def login(client, name="ada", password=PASSWORD, **fields):
    return client.post("/login/", {"username": name, "password": password, **fields})


def test_the_right_password_signs_in(client, ada):
    assert login(client).url == "/chat/"
    assert ChatEvent.objects.get().verb == "signed in"


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(client, ada):
    answers = [login(client, "ada", "wrong"), login(client, "nobody", "wrong")]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert len({answer.context["form"].non_field_errors()[0] for answer in answers}) == 1


def test_who_signed_in_in_another_tab_is_led_on_and_not_told_of_an_old_page(ada):
    client = Client(enforce_csrf_checks=True)
    old = client.get("/login/?next=/sessions/").context["csrf_token"]
    fields = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": str(old)}
    assert client.post("/login/", fields).url == "/chat/"
    other_tab = client.post("/login/?next=/sessions/", fields)
    assert (other_tab.status_code, other_tab.url) == (302, "/sessions/")
    assert client.get("/login/?next=/sessions/").url == "/sessions/"
    assert client.post("/login/", fields | {"words": "typed"}).status_code == 403
    assert client.post("/chats/", fields).status_code == 403


def test_without_a_token_nobody_is_signed_in(ada):
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/login/", {"username": "ada", "password": PASSWORD})
    assert answer.status_code == 403 and "Please reload" in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_the_sixth_attempt_within_a_minute_is_refused_even_with_the_right_password(client, ada):
    for _ in range(5):
        login(client, password="wrong")
    answer = login(client)
    assert answer.status_code == 429
    assert "Too many attempts" in answer.content.decode()
    assert login(client, "bob", "wrong").status_code == 400


def test_a_forged_forwarded_address_does_not_help(client, ada):
    for n in range(6):
        answer = client.post(
            "/login/", {"username": "ada", "password": "x"}, headers={"X-Forwarded-For": f"10.0.0.{n}"}
        )
    assert answer.status_code == 429


@pytest.mark.parametrize("wanted", ["//evil.example", "https:evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_the_way_back_stays_on_this_site(client, ada, wanted):
    assert login(client, next=wanted).url == "/chat/"


def test_the_way_back_is_kept(client, ada):
    assert client.post("/login/?next=/chat/%3Fsession%3Dmain", {"username": "ada", "password": PASSWORD}).url == (
        "/chat/?session=main"
    )


def test_signing_in_changes_the_session(client, ada):
    client.get("/login/")
    client.session["x"] = 1
    before = client.session.session_key
    login(client)
    assert client.session.session_key != before


def test_signing_out_closes_the_sockets_of_that_session(client, ada, heard):
    login(client)
    session = client.session.session_key
    answer = client.post("/logout/")
    assert (("session", session), "signed_out") in heard
    assert answer["Clear-Site-Data"] == '"storage"'
    assert client.get("/chat/").status_code == 302


def test_a_changed_password_keeps_this_session_and_ends_the_others(client, ada, heard):
    from django.test import Client

    other = Client()
    other.force_login(ada)
    login(client)
    new = "another horse 8 battery"
    fields = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post("/account/", fields).url == "/account/"
    assert (("user", ada.pk), "signed_out") in heard
    assert client.get("/chat/").status_code == 200
    assert other.get("/chat/").status_code == 302


def test_a_weak_password_is_refused_in_words(client, ada):
    login(client)
    assert "<li></li>" not in client.get("/account/").content.decode()
    answer = client.post("/account/", {"old_password": PASSWORD, "new_password1": "short", "new_password2": "short"})
    assert answer.status_code == 400
    assert "at least 12 characters" in answer.content.decode()


def test_the_account_page_keeps_theme_and_zone_and_refuses_unknown_zones(client, ada):
    login(client)
    assert client.post("/account/", {"theme": "dark", "time_zone": "Mars/Base"}).status_code == 400
    client.post("/account/", {"theme": "dark", "time_zone": "Europe/Berlin"})
    ada.refresh_from_db()
    assert (ada.theme, ada.time_zone) == ("dark", "Europe/Berlin")
    assert 'data-theme="dark"' in client.get("/chat/").content.decode()


class TestFirstAccount:
    fields = {"username": "root", "password1": PASSWORD, "password2": PASSWORD}

    def test_the_printed_link_makes_one_administrator(self, client):
        path = links.first_account_path()
        assert client.get(path).status_code == 200
        assert client.post(path, self.fields).url == "/chat/"
        assert User.objects.get().is_superuser
        assert client.get("/chat/").status_code == 200

    def test_it_is_over_once_there_is_a_user(self, client, ada):
        path = links.first_account_path()
        assert client.get(path).status_code == client.post(path, self.fields).status_code == 404

    def test_a_guessed_link_is_none(self, client):
        assert client.get("/first-account/guess/").status_code == 404


class TestLinks:
    def test_an_invitation_makes_an_account_whose_owner_chooses_the_password(self, client):
        out = io.StringIO()
        call_command("users", "invite", "bob", stdout=out)
        path = "/" + out.getvalue().strip().split("/", 3)[3]
        assert "bob" in client.get(path).content.decode()
        client.post(path, {"new_password1": PASSWORD, "new_password2": PASSWORD})
        assert client.get("/chat/").status_code == 200
        assert client.get(path).status_code == 404
        client.logout()
        assert login(client, "bob").url == "/chat/"

    def test_a_link_ends_when_it_is_used_or_forged_or_its_owner_is_deactivated(self, client, ada):
        path = links.password_path(ada)
        assert client.get(path[:-2] + "x/").status_code == 404
        assert client.get("/account/link/x/y/").status_code == 404
        ada.deactivate()
        assert client.get(path).status_code == 404

    @pytest.mark.parametrize("name", ["ada", "", "with space", "x" * 151])
    def test_a_name_that_cannot_be_is_refused_in_a_sentence(self, ada, name):
        with pytest.raises(CommandError) as refusal:
            call_command("users", "invite", name)
        assert str(refusal.value)

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(CommandError, match="There is no account 'nobody'"):
            call_command("users", "reset-link", "nobody")

    def test_deactivating_locks_out_at_once(self, client, ada, heard):
        login(client)
        call_command("users", "deactivate", "ada", stdout=io.StringIO())
        assert (("user", ada.pk), "signed_out") in heard
        assert client.get("/chat/").status_code == 302
        with pytest.raises(CommandError, match="deactivated"):
            call_command("users", "reset-link", "ada")

    def test_the_list_is_for_people_and_for_machines(self, ada):
        out = io.StringIO()
        call_command("users", "list", stdout=out)
        call_command("users", "list", "--json", stdout=out)
        assert "ada  never signed in" in out.getvalue()
        assert '"name": "ada"' in out.getvalue()


def test_what_was_typed_when_the_session_had_ended_is_in_the_box_after_signing_in(client, ada):
    chat = Chat.objects.start(ada, title="Work")
    page = client.post(f"/chats/{chat.pk}/messages/", {"text": "Half an hour's <work>"})
    assert page.status_code == 401
    assert "Half an hour&#x27;s &lt;work&gt;" in page.content.decode()
    kept = {"words": "Half an hour's <work>", "next": f"/chats/{chat.pk}/messages/"}
    wrong = client.post("/login/", kept | {"username": "ada", "password": "wrong"})
    assert "Half an hour&#x27;s &lt;work&gt;" in wrong.content.decode()
    back = client.post("/login/", kept | {"username": "ada", "password": PASSWORD}, follow=True)
    assert back.request["QUERY_STRING"] == f"session={chat.key}"
    assert "Half an hour&#x27;s &lt;work&gt;</textarea>" in back.content.decode()
    assert "Half an hour" not in client.get(f"/chat/?session={chat.key}").content.decode()
    assert not chat.messages.exists()
