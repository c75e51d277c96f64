"""Every address and who may use it: a new route fails here until it is listed."""

import re
import uuid

import pytest
from django.urls import URLPattern, get_resolver

from sessions_core.models import Chat, User

pytestmark = pytest.mark.django_db

OPEN = {"home", "login", "admin-login", "logout", "choose-password", "first-account", "readyz", "metrics"}
OWN_PAGES = {
    "chat",
    "sessions",
    "adopt",
    "bulk",
    "import",
    "create",
    "new",
    "list",
    "switcher",
    "search",
    "account",
    "make-token",
    "commands",
}
OF_A_CHAT = {
    *("messages", "stop", "retry", "regenerate", "edit", "queue", "read", "source"),
    *("rename", "persist", "pin", "archive", "fork", "reset", "unreset", "remind", "delete", "menu", "draft"),
    *("export", "history"),
}
OF_THE_TRASH = {"restore", "purge"}
OF_A_TOKEN = {"revoke-token"}
API = {"api"}  # and what is under it, below
POSTS = {
    *("create", "stop", "retry", "regenerate", "queue", "read", "logout", "make-token", "revoke-token"),
    *("rename", "persist", "pin", "archive", "fork", "reset", "unreset", "remind", "restore", "draft"),
    *("bulk", "import", "export"),
}


def routes():
    return {p.name: p for p in get_resolver().url_patterns if isinstance(p, URLPattern)}


def address(name, pk=None):
    route = str(routes()[name].pattern)
    return "/" + re.sub(r"<\w+:\w+>", lambda part: {"<uuid:pk>": str(pk), "<int:pk>": "1"}.get(part[0], "x"), route)


def call(client, name, pk=None):
    return (client.post if name in POSTS else client.get)(address(name, pk))


def test_every_route_is_listed_here():
    assert set(routes()) == OPEN | OWN_PAGES | OF_A_CHAT | OF_THE_TRASH | OF_A_TOKEN | API


@pytest.mark.parametrize("name", sorted(OWN_PAGES | OF_A_CHAT | OF_A_TOKEN))
def test_a_visitor_sees_only_the_login(client, name):
    answer = call(client, name, uuid.uuid4())
    assert answer.status_code == 302
    assert answer.url.startswith("/login/")


@pytest.mark.parametrize("name", sorted(OF_A_CHAT))
def test_foreign_deleted_and_missing_are_the_same_404(client, name, django_assert_num_queries):
    ada, bob = User.objects.create_user("ada"), User.objects.create_user("bob")
    foreign, deleted = Chat.objects.start(bob), Chat.objects.start(ada)
    Chat.objects.filter(pk=deleted.pk).update(deleted_at="2026-01-01T00:00Z")
    client.force_login(ada)
    answers = [call(client, name, pk) for pk in (foreign.pk, deleted.pk, uuid.uuid4())]
    assert {answer.status_code for answer in answers} == {404}
    assert len({hide_token(answer.content) for answer in answers}) == 1
    assert not Chat.objects.exclude(rev=1).exists()


@pytest.mark.parametrize("name", sorted(OF_THE_TRASH))
def test_foreign_living_and_missing_are_not_in_the_trash(client, name):
    ada, bob = User.objects.create_user("ada"), User.objects.create_user("bob")
    foreign, living = Chat.objects.start(bob), Chat.objects.start(ada)
    Chat.objects.filter(pk=foreign.pk).update(deleted_at="2026-01-01T00:00Z")
    client.force_login(ada)
    assert {call(client, name, pk).status_code for pk in (foreign.pk, living.pk, uuid.uuid4())} == {404}
    assert Chat.objects.filter(deleted_at=None).count() == 1


def hide_token(page: bytes) -> bytes:
    import re

    return re.sub(rb"[\w-]{64}", b"", page)


@pytest.mark.parametrize("reference", ["key", "title"])
def test_a_foreign_session_is_not_found_by_key_or_name(client, reference):
    ada, bob = User.objects.create_user("ada"), User.objects.create_user("bob")
    foreign = Chat.objects.start(bob, title="Secret plans")
    client.force_login(ada)
    answer = client.get("/chat/", {"session": foreign.key if reference == "key" else "Secret plans"})
    assert answer.status_code == 404
    assert "Secret plans" not in answer.content.decode()


@pytest.mark.parametrize("name", sorted(POSTS))
def test_a_post_without_the_csrf_token_is_refused(name):
    from django.test import Client

    ada = User.objects.create_user("ada")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    assert strict.post(address(name, Chat.objects.start(ada).pk)).status_code == 403


@pytest.mark.parametrize("name", sorted(POSTS))
def test_what_changes_something_is_not_done_by_a_get(client, name):
    ada = User.objects.create_user("ada")
    client.force_login(ada)
    answer = client.get(address(name, Chat.objects.start(ada).pk))
    assert answer.status_code == 405 or answer.url in ("/chat/", "/account/")
    assert Chat.objects.count() == 1


def test_a_get_changes_nothing(client):
    ada = User.objects.create_user("ada")
    client.force_login(ada)
    chat = Chat.objects.start(ada, title="Work")
    chat.receive("Hello").versions.get().settle("done")
    before = snapshot()
    for name in (OWN_PAGES | OF_A_CHAT | {"home"}) - POSTS:
        client.get(address(name, chat.pk))
    client.get(f"/chat/?session={chat.key}")
    assert snapshot() == before


def snapshot():
    from django.apps import apps

    ours = apps.get_app_config("sessions_core").get_models()
    return {model: list(model.objects.order_by("pk").values()) for model in ours}


def api_routes(patterns=None):
    for pattern in get_resolver("chatapp.api.urls").url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLPattern):
            yield "/api/" + str(pattern.pattern).replace("<key>", "x")
        else:
            yield from api_routes(pattern.url_patterns)


def test_every_route_of_the_api_tells_a_visitor_to_come_with_a_token(client):
    paths = set(api_routes()) - {"/api/"}  # a 404
    assert {"/api/docs", "/api/openapi.json", "/api/sessions", "/api/sessions/x/reset"} <= paths
    for path in paths - {"/api/docs"}:
        answers = [client.generic(method, path).status_code for method in ("GET", "POST", "PATCH", "PUT", "DELETE")]
        assert set(answers) <= {401, 405} and 401 in answers, path


@pytest.mark.parametrize("path", ["/chat/", "/login/", "/nothing"])
def test_every_page_carries_the_policy(client, path):
    client.force_login(User.objects.create_user("ada"))
    answer = client.get(path)
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert answer["Cache-Control"] == "no-store"
    assert answer["X-DNS-Prefetch-Control"] == "off"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"


def test_templates_hold_no_code_and_nothing_from_elsewhere():
    import re
    from pathlib import Path

    for template in Path("templates").rglob("*.html"):
        text = template.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|hx-on|js:|\|safe|https?://", text), (
            template
        )
