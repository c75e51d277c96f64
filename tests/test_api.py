"""The JSON API: the verbs of the pages for programs, in the same words and within the same limits."""

import json
import logging
import re
import subprocess
import sys
import uuid

import pytest
from django.contrib.auth.models import Permission
from django.db import OperationalError
from django.test import Client

from chatapp.api import auth
from chatapp.api.calls import schema
from sessions_core import errors
from sessions_core.gateway import tools
from sessions_core.models import ApiToken, By, Chat, ChatEvent, Message, Throttle, User
from tests.server import own_environment
from tests.test_sessions import answered

pytestmark = pytest.mark.django_db

BODIES = {  # what each call is sent; a new call fails here until it is listed
    ("get", "/api/sessions"): None,
    ("post", "/api/sessions"): {"name": "New"},
    ("get", "/api/sessions/{key}"): None,
    ("patch", "/api/sessions/{key}"): {"pinned": True},
    ("delete", "/api/sessions/{key}"): None,
    ("post", "/api/sessions/{key}/reset"): {},
    ("post", "/api/sessions/{key}/undo-reset"): None,
    ("post", "/api/sessions/{key}/restore"): None,
    ("get", "/api/sessions/{key}/messages"): None,
    ("post", "/api/sessions/{key}/messages"): {"text": "Hello"},
}
CALLS = sorted(BODIES)
OF_A_SESSION = [call for call in CALLS if "{key}" in call[1]]
CHANGES = [call for call in CALLS if call[0] != "get"]
NOT_FOUND = {"error": {"code": "not_found", "message": "There is no such session.", "field": None}}


def named(call):
    return f"{call[0]} {call[1]}"


every_call = pytest.mark.parametrize("call", CALLS, ids=named)


class Caller:
    """A program with a token, a browser with a session, or nobody."""

    def __init__(self, client=None, **headers):
        self.client = client or Client()
        self.headers = headers

    def __call__(self, method, path, body=None, **headers):
        content = ("", "") if body is None else (json.dumps(body), "application/json")
        return self.client.generic(method.upper(), path, *content, headers=self.headers | headers)

    def said(self, *call):
        answer = self(*call)
        assert answer.status_code < 300, answer.content
        return answer.json()


def by_token(user):
    _, secret = ApiToken.make(user, "test", By(user))
    return Caller(Authorization=f"Bearer {secret}")


def by_session(user):
    client = Client()
    client.force_login(user)
    return Caller(client)


@pytest.fixture
def work(ada):
    return Chat.objects.start(ada, title="Work", persistent=False)


@pytest.fixture(params=[by_token, by_session])
def caller(request, ada):
    """Each call does the same for a program and for a browser."""
    return request.param(ada)


@pytest.fixture
def program(ada):
    return by_token(ada)


def error_of(answer, status, code):
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.content
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message", "field"}
    return answer.json()["error"]


def test_every_call_is_listed_here():
    described = {(method, path) for path, methods in schema()["paths"].items() for method in methods}
    assert described == set(BODIES)


class TestSessions:
    def test_one_is_made_by_name_and_found_by_key_name_and_old_name(self, caller):
        made = caller("post", "/api/sessions", {"name": "Travel"})
        assert made.status_code == 201
        session = made.json()
        assert session["key"] == f"webchat-{session['sessionId']}"
        assert (session["name"], session["label"], session["persistent"]) == ("Travel", "Travel", True)
        caller.said("patch", f"/api/sessions/{session['key']}", {"label": "Trips"})
        for reference in (session["key"], "Trips", "trips", "Travel"):
            assert caller.said("get", f"/api/sessions/{reference}")["sessionId"] == session["sessionId"]

    def test_label_says_the_same_as_name(self, program):
        assert program.said("post", "/api/sessions", {"label": "Travel"})["name"] == "Travel"
        program.said("post", "/api/sessions", {"label": "Same", "name": "Same"})
        error = error_of(program("post", "/api/sessions", {"label": "A", "name": "B"}), 422, "invalid")
        assert error["message"] == "name and label say the same; give one of them."

    def test_one_without_a_name_has_no_label_and_takes_the_title_of_its_first_message(self, program):
        session = program.said("post", "/api/sessions", {})
        assert (session["name"], session["label"], session["persistent"]) == ("New chat", None, False)
        program.said("post", f"/api/sessions/{session['key']}/messages", {"text": "When does my train leave?"})
        session = program.said("get", f"/api/sessions/{session['key']}")
        assert (session["name"], session["label"], session["running"]) == ("When does my train leave?", None, True)

    def test_the_same_id_again_makes_no_second_one(self, program):
        body = {"sessionId": str(uuid.uuid4()), "name": "Travel"}
        first, second = program("post", "/api/sessions", body), program("post", "/api/sessions", body)
        assert first.json() == second.json()
        assert first.json()["sessionId"] == body["sessionId"]
        assert Chat.objects.count() == 1

    def test_the_id_of_somebody_elses_session_gives_a_new_one(self, program, bob):
        foreign = Chat.objects.start(bob, title="Secret")
        session = program.said("post", "/api/sessions", {"sessionId": str(foreign.pk)})
        assert session["sessionId"] != str(foreign.pk)

    @pytest.mark.parametrize("reference", ["key", "name"])
    def test_one_goes_on_from_another(self, program, work, reference):
        answered(work, "My train leaves at 7:42", "Noted.")
        session = program.said("post", "/api/sessions", {"basedOn": getattr(work, reference), "name": "Next"})
        assert session["basedOn"] == work.key
        texts = [turn["text"] for turn in program.said("get", "/api/sessions/Next/messages")["messages"]]
        assert texts[:2] == ["My train leaves at 7:42", "Noted."]

    def test_what_it_goes_on_from_must_be_ones_own(self, program, bob):
        foreign = Chat.objects.start(bob, title="Secret")
        for reference in (foreign.key, "Secret", "nothing", ""):
            answer = program("post", "/api/sessions", {"basedOn": reference})
            assert (answer.status_code, answer.json()) == (404, NOT_FOUND)

    def test_where_it_came_from_is_told_only_while_it_is_ones_own(self, program, work, ada, bob):
        Chat.objects.start(ada, title="Next", based_on=work)
        work.give(bob, By(ada))
        assert program.said("get", "/api/sessions/Next")["basedOn"] is None

    def test_an_agent_must_be_one_that_there_is(self, program, monkeypatch):
        monkeypatch.setattr(tools, "agents", lambda: ["main", "writer"])
        assert program.said("post", "/api/sessions", {"agent": "writer"})["agent"] == "writer"
        error = error_of(program("post", "/api/sessions", {"agent": "nobody"}), 400, "bad_agent")
        assert error["field"] == "agent"

    def test_all_changes_are_made_or_none(self, caller, work, ada):
        Chat.objects.start(ada, title="Home")
        changed = caller.said(
            "patch", "/api/sessions/Work", {"name": "Job", "persistent": True, "pinned": True, "archived": True}
        )
        assert [changed[name] for name in ("name", "persistent", "pinned", "archived")] == ["Job", True, True, True]
        Chat.objects.start(ada)
        untitled = Chat.objects.get(title="")
        answer = caller("patch", f"/api/sessions/{untitled.key}", {"pinned": True, "persistent": True})
        error_of(answer, 400, "bad_name")
        assert not Chat.objects.get(pk=untitled.pk).pinned
        error = error_of(caller("patch", "/api/sessions/Job", {"name": "home", "pinned": False}), 409, "name_taken")
        assert error["field"] == "name"
        assert Chat.objects.get(pk=work.pk).pinned

    def test_nothing_sent_changes_nothing(self, program, work):
        assert program.said("patch", "/api/sessions/Work", {})["name"] == "Work"
        assert Chat.objects.get(pk=work.pk).rev == work.rev

    def test_a_deleted_one_waits_in_the_trash(self, caller, work):
        assert caller("delete", "/api/sessions/Work").status_code == 204
        assert caller("get", "/api/sessions/Work").json() == NOT_FOUND
        assert caller("post", "/api/sessions/Work/restore").json() == NOT_FOUND
        assert caller.said("post", f"/api/sessions/{work.key}/restore")["name"] == "Work"
        assert caller("post", f"/api/sessions/{work.key}/restore").json() == NOT_FOUND

    def test_a_reset_begins_a_chapter_and_is_undone(self, caller, work):
        error_of(caller("post", "/api/sessions/Work/reset"), 409, "nothing_to_reset")
        answered(work)
        assert caller.said("post", "/api/sessions/Work/reset")["chapter"] == 2
        assert caller.said("post", "/api/sessions/Work/undo-reset")["chapter"] == 1
        error_of(caller("post", "/api/sessions/Work/undo-reset"), 409, "nothing_to_undo")

    def test_a_persistent_one_refuses_a_reset_in_the_words_of_the_page(self, caller, work, ada):
        work.protect(True, By(ada))
        error = error_of(caller("post", "/api/sessions/Work/reset"), 409, "protected")
        assert (
            error["message"]
            == str(errors.Protected("Work"))
            == ("This is a persistent session “Work”. Use /session delete to clear it, or switch to another session.")
        )
        assert Chat.objects.get(pk=work.pk).chapter == 1

    def test_main_is_reset_only_when_confirmed(self, ada, monkeypatch):
        asked = []
        monkeypatch.setattr(tools, "reset_session", lambda *args: asked.append(args))
        ada.user_permissions.add(Permission.objects.get(codename="use_main_session"))
        ada = User.objects.get(pk=ada.pk)
        program = by_token(ada)
        assert program("get", "/api/sessions/main").json() == NOT_FOUND
        Chat.objects.main_of(ada, By(ada))
        for body in (None, {}, {"confirm": False}):
            error_of(program("post", "/api/sessions/main/reset", body), 409, "shared_by_all")
        assert not asked
        assert program.said("post", "/api/sessions/main/reset", {"confirm": True})["key"] == "main"
        assert len(asked) == 1
        program("delete", "/api/sessions/main")
        assert program.said("post", "/api/sessions/main/restore")["key"] == "main"

    def test_the_list_is_ones_own_by_pages(self, caller, ada, bob):
        Chat.objects.start(bob, title="Secret")
        for number in range(5):
            Chat.objects.start(ada, title=f"Trip {number}", persistent=number % 2 == 0)
        Chat.objects.start(ada, title="Old").archive(True, By(ada))
        first = caller.said("get", "/api/sessions?limit=2")
        rest = caller.said("get", "/api/sessions?limit=200&offset=2")
        assert (first["total"], first["limit"], first["offset"]) == (5, 2, 0)
        names = [session["name"] for session in first["sessions"] + rest["sessions"]]
        assert names == ["Trip 4", "Trip 3", "Trip 2", "Trip 1", "Trip 0"]

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("q=RAI", ["Trains"]),
            ("q=%25", []),
            ("persistent=true", ["Trains"]),
            ("persistent=false", ["Work"]),
            ("archived=true", ["Old"]),
            ("offset=5", []),
        ],
    )
    def test_the_list_is_narrowed(self, program, ada, work, query, names):
        Chat.objects.start(ada, title="Trains")
        Chat.objects.start(ada, title="Old").archive(True, By(ada))
        assert [session["name"] for session in program.said("get", f"/api/sessions?{query}")["sessions"]] == names

    def test_a_list_costs_the_same_whatever_is_in_it(self, program, ada, django_assert_max_num_queries):
        for number in range(10):
            Chat.objects.start(ada, title=f"Trip {number}")
        with django_assert_max_num_queries(6):
            program.said("get", "/api/sessions")

    def test_the_history_says_that_it_was_the_api(self, caller, ada):
        caller.said("post", "/api/sessions", {"name": "Travel"})
        caller.said("patch", "/api/sessions/Travel", {"name": "Trips"})
        events = ChatEvent.objects.exclude(chat=None)
        assert {(event.verb, event.source, event.actor) for event in events} == {
            ("created", "api", ada),
            ("renamed", "api", ada),
        }


class TestMessages:
    def test_one_is_taken_and_its_reply_is_read_meanwhile(self, caller, work):
        sent = caller("post", "/api/sessions/Work/messages", {"text": "Hello"})
        assert sent.status_code == 202
        assert (sent.json()["message"]["state"], sent.json()["reply"]["state"]) == ("sent", "waiting")
        reply = Message.objects.get(pk=sent.json()["reply"]["id"])
        reply.deltas.create(seq=1, text="Goo")
        read = caller.said("get", "/api/sessions/Work/messages")["messages"]
        assert [(turn["role"], turn["text"]) for turn in read] == [("user", "Hello"), ("assistant", "Goo")]
        assert read[1]["replyTo"] == read[0]["id"] == sent.json()["message"]["id"]
        reply.settle("failed", code="busy", error="Busy.")
        last = caller.said("get", "/api/sessions/Work/messages?limit=1")["messages"]
        assert [(turn["state"], turn["error"]) for turn in last] == [("failed", {"code": "busy", "message": "Busy."})]

    def test_the_same_id_again_is_the_same_message(self, caller, work):
        body = {"text": "Hello", "clientId": str(uuid.uuid4())}
        answers = [caller.said("post", "/api/sessions/Work/messages", body) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0]["message"]["clientId"] == body["clientId"]
        assert Message.objects.count() == 2

    def test_what_is_sent_meanwhile_waits_in_line_and_the_line_has_an_end(self, program, work):
        program.said("post", "/api/sessions/Work/messages", {"text": "0"})
        for number in range(1, 6):
            sent = program.said("post", "/api/sessions/Work/messages", {"text": str(number)})
            assert (sent["message"]["state"], sent["message"]["seq"], sent["reply"]) == ("queued", None, None)
        error = error_of(program("post", "/api/sessions/Work/messages", {"text": "6"}), 409, "queue_full")
        assert error["field"] == "text"
        read = program.said("get", "/api/sessions/Work/messages")
        assert [turn["text"] for turn in read["pending"]] == ["1", "2", "3", "4", "5"]

    @pytest.mark.parametrize(("text", "code"), [("", "empty_message"), ("​", "empty_message")])
    def test_an_empty_one_is_refused(self, program, work, text, code):
        error_of(program("post", "/api/sessions/Work/messages", {"text": text}), 400, code)
        assert not Message.objects.exists()

    def test_one_that_is_too_long_is_refused(self, program, work):
        answer = program("post", "/api/sessions/Work/messages", {"text": "x" * 100_001})
        assert "100,000 is the most" in error_of(answer, 400, "message_too_long")["message"]
        program.said("post", "/api/sessions/Work/messages", {"text": "x" * 100_000})

    def test_halves_of_characters_and_what_cannot_be_stored_are_cleaned_as_on_the_page(self, program, work):
        text = b'{"text": "a\\u0000b \\ud83d\\ude00 \\ud83d c"}'
        sent = program.client.post(
            "/api/sessions/Work/messages", text, content_type="application/json", headers=program.headers
        )
        assert sent.json()["message"]["text"] == "ab 😀 \ufffd c"

    def test_they_are_read_by_pages(self, program, work):
        for number in range(30):
            answered(work, str(number))
        read, texts = {"older": 10**9}, []
        while read["older"]:
            read = program.said("get", f"/api/sessions/Work/messages?limit=7&before={read['older']}")
            texts = [turn["text"] for turn in read["messages"] if turn["role"] == "user"] + texts
        assert texts == [str(number) for number in range(30)]


class TestWhoMayCall:
    @every_call
    def test_nobody_gets_a_401_and_no_login_page(self, work, call):
        before = Chat.objects.values().get()
        answer = Caller()(call[0], call[1].replace("{key}", work.key), BODIES[call])
        error_of(answer, 401, "not_signed_in")
        assert answer["WWW-Authenticate"] == "Bearer"
        assert answer["Cache-Control"] == "no-store"
        assert not any(name.startswith("Access-Control") for name in answer.headers)
        assert Chat.objects.values().get() == before

    @pytest.mark.parametrize("call", OF_A_SESSION, ids=named)
    def test_foreign_deleted_and_missing_are_the_same_404(self, caller, ada, bob, call):
        foreign, other = Chat.objects.start(bob, title="Secret"), Chat.objects.start(ada, title="Gone")
        if "restore" in call[1]:  # what is not in one's own trash
            Chat.objects.filter(pk=foreign.pk).update(deleted_at="2026-01-01T00:00Z")
        else:
            Chat.objects.filter(pk=other.pk).update(deleted_at="2026-01-01T00:00Z")
        references = (foreign.key, other.key, f"webchat-{uuid.uuid4()}", "Secret", "Gone", "nothing", "main", "%00")
        for reference in references:
            if "restore" not in call[1] or reference != other.name:
                answer = caller(call[0], call[1].replace("{key}", reference), BODIES[call])
                assert (answer.status_code, answer.json()) == (404, NOT_FOUND), reference
        assert not Chat.objects.exclude(rev=1).exists()

    @pytest.mark.parametrize("call", CHANGES, ids=named)
    def test_a_change_by_session_needs_the_csrf_token_and_by_token_none(self, ada, work, call):
        client = Client(enforce_csrf_checks=True)
        client.force_login(ada)
        path = call[1].replace("{key}", "Work")
        before = Chat.objects.values().get()
        error_of(Caller(client)(call[0], path, BODIES[call]), 403, "csrf")
        assert Chat.objects.values().get() == before
        client.get("/account/")
        allowed = Caller(client, **{"X-CSRFToken": client.cookies["csrf"].value})
        assert allowed(call[0], path, BODIES[call]).status_code not in (401, 403)
        program = by_token(ada)
        program.client = Client(enforce_csrf_checks=True)
        assert program(call[0], path, BODIES[call]).status_code not in (401, 403)

    def test_reading_by_session_needs_no_csrf_token(self, ada):
        client = Client(enforce_csrf_checks=True)
        client.force_login(ada)
        assert client.get("/api/sessions").status_code == 200

    @pytest.mark.parametrize("header", ["Bearer nonsense", "bearer ", "Bearer", "Bearer  \xe9", "Bearer a b c"])
    def test_a_wrong_token_is_told_so_also_beside_a_good_session(self, ada, header):
        caller = by_session(ada)
        answer = caller("get", "/api/sessions", Authorization=header)
        assert "not valid" in error_of(answer, 401, "not_signed_in")["message"]

    def test_a_revoked_token_is_none(self, ada, program):
        assert program("get", "/api/sessions").status_code == 200
        ada.api_tokens.get().revoke(By(ada))
        error_of(program("get", "/api/sessions"), 401, "not_signed_in")

    def test_a_locked_account_is_nobody(self, ada, caller):
        assert caller("get", "/api/sessions").status_code == 200
        ada.deactivate()
        error_of(caller("get", "/api/sessions"), 401, "not_signed_in")

    def test_a_token_acts_for_its_owner_also_beside_anothers_session(self, ada, bob, program):
        Chat.objects.start(bob, title="Secret")
        program.client.force_login(bob)
        assert program.said("get", "/api/sessions")["total"] == 0

    def test_its_use_is_noted_at_most_once_a_minute(self, ada, program, django_assert_num_queries):
        program("get", "/api/sessions")
        used = ada.api_tokens.get().last_used_at
        assert used
        program("get", "/api/sessions")
        assert ada.api_tokens.get().last_used_at == used
        ApiToken.objects.update(last_used_at=used - ApiToken.NOTED_EVERY)
        program("get", "/api/sessions")
        assert ada.api_tokens.get().last_used_at > used - ApiToken.NOTED_EVERY / 2

    def test_wrong_tokens_are_limited_for_an_address_and_right_ones_are_not(self, program, monkeypatch):
        monkeypatch.setattr(auth, "WRONG_TOKENS", (3, 86400))
        wrong = Caller(Authorization="Bearer wrong")
        assert [wrong("get", "/api/sessions").status_code for _ in range(4)] == [401, 401, 401, 429]
        answer = wrong("get", "/api/sessions")
        error_of(answer, 429, "too_many")
        assert int(answer["Retry-After"]) > 0
        assert program("get", "/api/sessions").status_code == 200
        wrong.client = Client(REMOTE_ADDR="10.0.0.1")
        assert wrong("get", "/api/sessions").status_code == 401

    def test_new_sessions_are_limited_as_on_the_page(self, program, settings):
        settings.SESSION_CREATE_RATE = [(2, 86400)]
        answers = [program("post", "/api/sessions", {}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        error_of(answers[-1], 429, "too_many")
        assert int(answers[-1]["Retry-After"]) > 0
        assert Throttle.objects.filter(key__startswith="create@127.0.0.1").exists()

    def test_names_are_limited_as_on_the_page(self, program, settings):
        settings.SESSION_MAX_PER_USER = 1
        program.said("post", "/api/sessions", {"name": "One"})
        error_of(program("post", "/api/sessions", {"name": "Two"}), 409, "no_room_for_names")


@pytest.mark.thorough
class TestNonsense:
    def sent(self, program, body, path="/api/sessions", content_type="application/json"):
        return program.client.post(path, body, content_type=content_type, headers=program.headers)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"nonsense",
            b"[" * 100_000 + b"]" * 100_000,
            b'{"name": ' * 50_000,
            b'{"name": ' + b"9" * 5_000 + b"}",
            b'{"name": NaN}',
            b'{"name": -Infinity}',
            b'{"name": "a", "name": "b"}',
            b'{"name": "\xff"}',
            '{"name": "a"}'.encode("utf-16"),
            b'\xef\xbb\xbf{"name": "a"}',
        ],
        ids=lambda body: str(body[:12]),
    )
    def test_a_body_that_is_no_good_json_is_refused(self, program, body):
        answer = self.sent(program, body)
        if body:
            assert error_of(answer, 400, "not_json")["message"] == "The body is not valid JSON in UTF-8."
        else:
            error_of(answer, 422, "invalid")

    @pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"name"', b"true", b"[[]]"])
    def test_a_body_that_is_no_object_is_refused(self, program, body):
        error_of(self.sent(program, body), 422, "invalid")

    @pytest.mark.parametrize(
        ("method", "path", "field"),
        [("post", "/api/sessions", name) for name in ("name", "label", "sessionId", "basedOn", "agent", "persistent")]
        + [("patch", "/api/sessions/Work", name) for name in ("name", "label", "persistent", "pinned", "archived")]
        + [("post", "/api/sessions/Work/messages", name) for name in ("text", "clientId")]
        + [("post", "/api/sessions/Work/reset", "confirm")],
    )
    @pytest.mark.parametrize("value", [None, [], {}, 0, 1.5, ["a"], {"a": {"b": []}}, 10**4000])
    def test_a_value_of_the_wrong_type_is_refused_and_named(self, program, work, method, path, field, value):
        body = json.dumps({"text": "Hello"} | {field: value} if "messages" in path else {field: value})
        answer = getattr(program.client, method)(path, body, content_type="application/json", headers=program.headers)
        assert error_of(answer, 422, "invalid")["field"] == field
        assert not Message.objects.exists()
        assert Chat.objects.values_list("rev", flat=True).get() == work.rev

    @pytest.mark.parametrize(
        "body", [{"persistent": "true"}, {"persistent": 1}, {"sessionId": "nonsense"}, {"sessionId": "\ud800"}]
    )
    def test_a_word_is_no_truth_and_not_every_word_an_id(self, program, body):
        assert error_of(program("post", "/api/sessions", body), 422, "invalid")["field"] in body

    @pytest.mark.parametrize("body", [{"text": "Hello", "surprise": 1}, {"text": "Hello", "x" * 5_000: 1}, {}])
    def test_unknown_fields_and_missing_ones_are_refused(self, program, work, body):
        error = error_of(program("post", "/api/sessions/Work/messages", body), 422, "invalid")
        assert len(error["field"]) <= 100
        assert len(error["message"]) < 300

    def test_an_odd_name_of_a_field_is_refused(self, program):
        error_of(self.sent(program, b'{"\\ud800": 1}'), 422, "invalid")

    @pytest.mark.parametrize(
        "query",
        ["limit=0", "limit=201", "limit=x", "offset=-1", f"offset={10**30}", "persistent=maybe", "archived=", "limit="],
    )
    def test_odd_filters_are_refused_and_named(self, program, query):
        error = error_of(program("get", f"/api/sessions?{query}"), 422, "invalid")
        assert error["field"] == query.split("=")[0]

    @pytest.mark.parametrize("query", ["before=0", "before=-1", f"before={10**30}", "limit=51", "before=x"])
    def test_odd_places_are_refused(self, program, work, query):
        error_of(program("get", f"/api/sessions/Work/messages?{query}"), 422, "invalid")

    @pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain", ""])
    def test_only_json_is_taken(self, caller, kind):
        error_of(self.sent(caller, b'{"name": "a"}', content_type=kind), 415, "not_json")

    def test_too_large_a_body_is_refused(self, program, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        error_of(self.sent(program, b'{"name": "' + b"a" * 100 + b'"}'), 413, "too_large")

    @pytest.mark.parametrize("name", ["", " ", "​", "main", "webchat-x", "x" * 101])
    def test_a_name_that_cannot_be_is_refused_as_on_the_page(self, program, name):
        assert error_of(program("post", "/api/sessions", {"name": name}), 400, "bad_name")["field"] == "name"

    @pytest.mark.parametrize("path", ["nothing", "sessions/", "sessions/a/b/c", "sessions/x/nothing", "docs/"])
    def test_an_unknown_address_is_a_404_in_json(self, program, path):
        error_of(program("get", f"/api/{path}"), 404, "not_found")

    def test_a_method_that_is_none_is_a_405_in_json(self, program):
        answer = program("put", "/api/sessions")
        error_of(answer, 405, "method_not_allowed")
        assert set(answer["Allow"].split(", ")) == {"GET", "POST"}

    def test_what_goes_wrong_inside_stays_inside(self, program, monkeypatch, caplog, settings):
        def broken(*args, **kwargs):
            raise RuntimeError("a secret of the inside")

        monkeypatch.setattr(Chat.objects, "for_user", broken)
        for debug in (False, True):
            settings.DEBUG = debug
            answer = program("get", "/api/sessions")
            error_of(answer, 500, "internal")
            assert b"secret" not in answer.content
        assert "a secret of the inside" in caplog.text

    def test_a_busy_database_asks_for_patience(self, program, monkeypatch):
        def locked(*args, **kwargs):
            raise OperationalError("database is locked")

        monkeypatch.setattr(Chat.objects, "for_user", locked)
        answer = program("get", "/api/sessions")
        error_of(answer, 503, "busy")
        assert answer["Retry-After"] == "2"


class TestDocs:
    def test_the_page_is_for_people_who_are_signed_in(self, client, ada, program):
        assert client.get("/api/docs").url.startswith("/login/")
        error_of(client.get("/api/openapi.json"), 401, "not_signed_in")
        assert program.said("get", "/api/openapi.json")["openapi"].startswith("3.")
        client.force_login(ada)
        assert client.get("/api/openapi.json").json() == json.loads(json.dumps(schema()))

    def test_the_page_names_every_call_and_loads_nothing_from_elsewhere(self, client, ada):
        client.force_login(ada)
        page = client.get("/api/docs").content.decode()
        for method, path in CALLS:
            assert f'<b class="api__method">{method.upper()}</b> <code>{path}</code>' in page
        loaded = re.findall(r'(?:src|href|srcset|action|data)="([^"]*)"', page)
        assert loaded and all(re.match(r"(/(?!/)|#)", address) for address in loaded)
        assert "<script" not in page and "style=" not in page and "cdn" not in page.lower()

    def test_every_link_within_the_page_leads_somewhere(self, client, ada):
        client.force_login(ada)
        page = client.get("/api/docs").content.decode()
        assert set(re.findall(r'href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


@pytest.mark.thorough
def test_the_pages_do_not_wait_for_the_library_of_the_api():
    code = "import django, sys; django.setup(); import chatapp.asgi, chatapp.urls; sys.exit('ninja' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env=own_environment(DJANGO_SETTINGS_MODULE="tests.settings")
        ).returncode
        == 0
    )


def test_the_secret_is_nowhere_afterwards(client, ada, work, caplog):
    from django.apps import apps

    caplog.set_level(logging.DEBUG)
    client.force_login(ada)
    shown = client.post("/account/tokens/", {"name": "Canary"}).content.decode()
    secret = re.search(r"webchat_[\w-]{43}", shown)[0]
    program = Caller(Authorization=f"Bearer {secret}")
    for call in CALLS:
        program(call[0], call[1].replace("{key}", "Work"), BODIES[call])
    Caller(Authorization=f"Bearer {secret}x")("get", "/api/sessions")
    pages = [client.get(path).content.decode() for path in ("/account/", "/api/docs", "/chat/", "/api/openapi.json")]
    rows = [str(list(model.objects.values())) for model in apps.get_models()]
    for text in [caplog.text, *pages, *rows, str(dict(client.session))]:
        assert secret not in text
