"""What our own functions for the gateway's tools and agents do on the real thing."""

import uuid

import pytest

from sessions_core.gateway import AuthRefused, NotOffered, Rejected, tools

from .test_gateway_facts import RECALL, ask

NOTHING = "Facts: none. I saw 1 user and 0 assistant turns."


@pytest.fixture(autouse=True)
def gateway(openclaw, settings):
    settings.OPENCLAW_GATEWAY_URL = openclaw.url
    settings.OPENCLAW_GATEWAY_TOKEN = openclaw.token
    tools.forget_agents()
    yield openclaw
    tools.forget_agents()


def new_key():
    return f"webchat-{uuid.uuid4()}"


def test_a_reset_session_has_forgotten_under_the_same_key_and_another_has_not(openclaw):
    here, there = new_key(), new_key()
    for key in (here, there):
        ask(openclaw, key, "remember: teal")
    tools.reset_session(here, "main")
    assert ask(openclaw, here, RECALL) == NOTHING
    assert ask(openclaw, there, RECALL) == "Facts: teal. I saw 2 user and 1 assistant turns."


def test_the_main_session_can_be_reset_too(openclaw):
    ask(openclaw, "main", "remember: teal")
    assert "teal" in ask(openclaw, "main", RECALL)
    tools.reset_session("main", "main")
    assert ask(openclaw, "main", RECALL) == NOTHING


def test_a_session_that_never_was_can_be_reset(openclaw):
    key = new_key()
    tools.reset_session(key, "main")
    assert ask(openclaw, key, RECALL) == NOTHING


def test_the_agents_are_listed():
    assert tools.agents() == ["main"]


def test_the_sessions_are_listed(openclaw):
    key = new_key()
    ask(openclaw, key, "hello")
    said = tools.invoke_tool("sessions_list", {"limit": 10, "search": key})
    assert [row["key"] for row in said["sessions"]] == [f"agent:main:{key}"]


def test_refusals_say_why(openclaw, settings):
    with pytest.raises(Rejected, match="Unknown agent id"):
        tools.reset_session(new_key(), "nobody")
    with pytest.raises(AuthRefused, match="visibility"):
        tools.invoke_tool("sessions_history", {"sessionKey": "main"}, session_key=f"agent:main:{new_key()}")
    with pytest.raises(Rejected, match="No session found"):
        tools.invoke_tool("sessions_history", {"sessionKey": f"agent:main:{new_key()}"})
    with pytest.raises(NotOffered, match="alsoAllow"):
        tools.invoke_tool("exec", {})
    settings.OPENCLAW_GATEWAY_TOKEN = "wrong"
    with pytest.raises(AuthRefused, match="refused our credentials"):
        tools.reset_session(new_key(), "main")
