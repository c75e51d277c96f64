"""`manage.py gateway`, and what `/session status` tells of the gateway's side."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from sessions_core.gateway import tools
from sessions_core.models import Chat
from tests.fake_gateway import TOOLS, hang, tool_refused

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
KEY = "agent:main:irc:1"


@pytest.fixture
def gateway(fake_gateway, settings):
    settings.OPENCLAW_GATEWAY_URL = fake_gateway.url
    settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.token
    return fake_gateway


def said(*words):
    out = io.StringIO()
    call_command("gateway", *words, stdout=out)
    return out.getvalue()


def refused(*words):
    with pytest.raises(CommandError) as refusal:
        said(*words)
    return str(refusal.value)


def test_a_tool_runs_in_a_session_of_an_agent_and_what_it_says_is_printed(gateway):
    assert json.loads(said("tool", "session_status", '{"limit": 3}', "--session", KEY, "--agent", "main"))["ok"] is True
    assert gateway.tool_calls == [
        {"tool": "session_status", "args": {"limit": 3}, "sessionKey": KEY, "agentId": "main"},
    ]


@pytest.mark.parametrize("arguments", ["{", "[1]", "7"])
def test_arguments_that_are_no_object_are_not_sent(gateway, arguments):
    assert "JSON" in refused("tool", "sessions_list", arguments)
    assert gateway.requests == []


def test_a_refusal_is_said(gateway):
    gateway.instead[TOOLS] = [tool_refused(404, "Tool not available")]
    assert "alsoAllow" in refused("tool", "sessions_list") and "alsoAllow" in refused("sessions")


def test_agents_and_sessions_are_listed(gateway):
    gateway.agents = ["main", "work"]
    gateway.sessions.add(KEY, label="Family\x1b[31m", updatedAt=1_795_000_000_000)
    assert said("agents") == "main\nwork\n" and json.loads(said("agents", "--json")) == ["main", "work"]
    told = said("sessions")
    assert KEY in told and "1,333" in told and "Family" in told and "\x1b" not in told
    assert said("sessions", "--search", "nothing") == "No sessions.\n"
    assert json.loads(said("sessions", "--json"))[0]["key"] == KEY


def test_a_plain_server_has_none_of_it(gateway, settings):
    settings.GATEWAY_KIND, settings.GATEWAY_MODEL = "openai", "small"
    assert "plain server" in refused("agents")


# --- /session status


@pytest.fixture
def chat(gateway, ada):
    return Chat.objects.start(ada, title="Work")


def status(chat):
    return chat.receive("/session status").versions.get().text


def test_status_tells_what_the_gateway_says_of_the_session(chat, gateway):
    gateway.sessions.add(f"agent:main:{chat.key}", label="Work", contextTokens=128_000, archived=True)
    told = status(chat).split("\n")
    assert "Model: fake-1" in told and "Context: 1,333 tokens of 128,000" in told
    assert "On the gateway: in its archive until the next message, called “Work”, last active just now" in told


def test_before_the_first_message_there_is_nothing_yet(chat):
    assert "On the gateway: nothing yet" in status(chat)


def test_strange_values_are_left_out(chat, gateway):
    gateway.sessions.add(f"agent:main:{chat.key}", label=None, model=None, totalTokens="many", updatedAt="yesterday")
    assert "Model" not in status(chat) and "On the gateway" not in status(chat)


def test_a_gateway_that_does_not_answer_at_once_is_left_out(chat, gateway, monkeypatch):
    monkeypatch.setattr("sessions_core.slash.commands.AT_ONCE", 0.2)
    gateway.instead[TOOLS] = [hang()]
    told = status(chat)
    assert "Name: Work" in told and "On the gateway" not in told


def test_nobody_elses_session_is_asked_about(chat, gateway, bob):
    with pytest.raises(Chat.DoesNotExist):
        Chat.objects.unread(bob, chat.pk).receive("/session status")
    assert gateway.tool_calls == []


def test_the_gateway_is_asked_before_anything_is_locked(chat, gateway, monkeypatch):
    from django.db import connection

    seen = []
    find = tools.find_session
    monkeypatch.setattr(tools, "find_session", lambda *a: seen.append(len(connection.savepoint_ids)) or find(*a))
    before = len(connection.savepoint_ids)
    status(chat)
    assert seen == [before]
