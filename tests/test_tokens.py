"""API tokens: made and shown once, listed, revoked; on the account page and by an operator."""

import io
import json
import re

import pytest
from django.core.management import CommandError, call_command

from sessions_core import errors, links
from sessions_core.models import ApiToken, By, ChatEvent, User

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse 9 battery"
NEW = {"new_password1": "another horse 8 battery", "new_password2": "another horse 8 battery"}


@pytest.fixture
def ada():
    return User.objects.create_user("ada", password=PASSWORD)


@pytest.fixture
def signed_in(client, ada):
    client.force_login(ada)
    return client


def make(user, name="Script"):
    return ApiToken.make(user, name, By(user))


def opens(secret):
    return ApiToken.objects.with_secret(secret) is not None


def history():
    return [(event.verb, event.source, event.detail["token"]) for event in ChatEvent.objects.order_by("pk")]


class TestOnThePage:
    def test_the_secret_is_shown_once(self, signed_in, ada):
        page = signed_in.post("/account/tokens/", {"name": "Script"}).content.decode()
        secret = re.search(r"<code>(webchat_[\w-]{43})</code>", page)[1]
        assert ApiToken.objects.with_secret(secret).owner == ada
        assert page.count(secret) == 1 and "<copy-button" in page
        again = signed_in.get("/account/")
        assert secret not in again.content.decode()
        assert "Script" in again.content.decode() and "never used" in again.content.decode()
        assert secret not in str(dict(signed_in.session)) + str(list(ApiToken.objects.values()))
        assert secret not in str(signed_in.cookies)

    def test_a_reload_of_the_answer_by_its_address_leads_to_the_account(self, signed_in):
        assert signed_in.get("/account/tokens/").url == "/account/"

    @pytest.mark.parametrize("name", ["", " ", "\u200b"])
    def test_one_without_a_visible_name_is_refused_on_the_page(self, signed_in, name):
        answer = signed_in.post("/account/tokens/", {"name": name})
        assert answer.status_code == 400
        assert "The token needs a name" in answer.content.decode()
        assert not ApiToken.objects.exists()

    def test_names_are_cleaned_and_shown_literally(self, signed_in):
        page = signed_in.post("/account/tokens/", {"name": "<b>\u202eevil</b>\n" + "x" * 200}).content.decode()
        assert ApiToken.objects.get().name == ("<b>evil</b> " + "x" * 200)[:100]
        assert "&lt;b&gt;evil&lt;/b&gt;" in page and "<b>evil" not in page

    def test_twenty_is_the_most(self, signed_in, ada):
        for number in range(20):
            make(ada, str(number))
        answer = signed_in.post("/account/tokens/", {"name": "One more"})
        assert answer.status_code == 409
        assert "You have 20 API tokens, which is the most." in answer.content.decode()
        assert 'value="One more"' in answer.content.decode()

    def test_a_revoked_one_opens_nothing(self, signed_in, ada):
        token, secret = make(ada)
        assert signed_in.post(f"/account/tokens/{token.pk}/revoke/").url == "/account/"
        assert not opens(secret)
        assert "is revoked" in signed_in.get("/account/").content.decode()
        assert history() == [("token made", "ui", "Script"), ("token revoked", "ui", "Script")]

    def test_somebody_elses_is_not_there(self, signed_in):
        token, secret = make(User.objects.create_user("bob"), "Bob's")
        foreign = signed_in.post(f"/account/tokens/{token.pk}/revoke/")
        missing = signed_in.post(f"/account/tokens/{token.pk + 1}/revoke/")
        assert foreign.status_code == missing.status_code == 404
        assert opens(secret)
        assert "Bob" not in signed_in.get("/account/").content.decode()


class TestEnd:
    def test_a_new_password_on_the_page_revokes_all_and_the_page_says_so(self, signed_in, ada):
        _, secret = make(ada)
        assert "revokes all API tokens" in signed_in.get("/account/").content.decode()
        signed_in.post("/account/", {"old_password": PASSWORD, **NEW})
        assert not opens(secret)
        assert "API tokens revoked" in signed_in.get("/account/").content.decode()
        assert ("token revoked", "ui", "Script") in [
            (e.verb, e.source, e.detail.get("token")) for e in ChatEvent.objects.all()
        ]

    def test_a_new_password_by_a_link_revokes_all(self, client, ada):
        _, secret = make(ada)
        client.post(links.password_path(ada), NEW)
        assert not opens(secret)

    def test_a_new_password_by_an_admin_revokes_all(self, client, ada):
        _, secret = make(ada)
        client.force_login(User.objects.create_superuser("root"))
        fields = {"password1": NEW["new_password1"], "password2": NEW["new_password1"], "usable_password": "true"}
        assert client.post(f"/admin/sessions_core/user/{ada.pk}/password/", fields).status_code == 302
        assert not opens(secret)

    def test_a_refused_password_and_signing_in_revoke_none(self, client, ada, settings):
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
        _, secret = make(ada)
        client.post("/login/", {"username": "ada", "password": PASSWORD})
        assert User.objects.get().password.startswith("pbkdf2"), "signing in has stored a better hash"
        client.post("/account/", {"old_password": "wrong", **NEW})
        client.post("/logout/")
        assert opens(secret)

    def test_a_deactivated_account_has_useless_tokens_until_it_is_back(self, ada):
        _, secret = make(ada)
        ada.deactivate()
        assert not opens(secret)
        User.objects.update(is_active=True)
        assert opens(secret)


class TestCommand:
    def said(self, *arguments):
        out = io.StringIO()
        call_command("tokens", *arguments, "--user", "ada", stdout=out)
        return out.getvalue()

    def test_one_is_made_listed_and_revoked(self, ada):
        secret = self.said("make", "Script").split()[-1]
        token = ApiToken.objects.with_secret(secret)
        assert self.said("list").startswith(f"{token.pk}  Script  made ")
        assert self.said("revoke", str(token.pk)) == "The token “Script” is revoked.\n"
        assert self.said("list") == ""
        assert history() == [("token made", "cli", "Script"), ("token revoked", "cli", "Script")]

    def test_programs_read_json(self, ada):
        made = json.loads(self.said("make", "Script", "--json"))
        secret = made.pop("token")
        assert opens(secret)
        assert json.loads(self.said("list", "--json")) == [made]
        assert json.loads(self.said("revoke", str(made["id"]), "--json")) == made
        assert json.loads(self.said("list", "--json")) == []

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("make", " "), "The token needs a name"),
            (("revoke", "999"), "ada has no token 999."),
            (("list", "--user", "nobody"), "There is no account 'nobody'"),
        ],
    )
    def test_a_refusal_is_a_sentence(self, ada, arguments, words):
        with pytest.raises(CommandError, match=words):
            call_command("tokens", *arguments[:1], "--user", "ada", *arguments[1:])

    def test_somebody_elses_is_not_revoked(self, ada):
        token, secret = make(User.objects.create_user("bob"))
        with pytest.raises(CommandError, match="ada has no token"):
            self.said("revoke", str(token.pk))
        assert opens(secret)

    def test_none_is_made_for_a_deactivated_account(self, ada):
        ada.deactivate()
        with pytest.raises(CommandError, match="is deactivated"):
            self.said("make", "Script")


def test_the_limit_is_told_in_words(ada):
    for number in range(ApiToken.MOST):
        make(ada, str(number))
    with pytest.raises(errors.NoRoomForTokens, match="Revoke one"):
        make(ada)
