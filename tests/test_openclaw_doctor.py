"""What `manage.py doctor` says about the way OpenClaw is set up; tests/gateway has the real thing."""

import json

import pytest

from sessions_core.doctor import openclaw, upstream
from sessions_core.gateway import Failed, about
from tests.fake_gateway import MODELS, TOOLS, status, tool_refused, tool_result

pytestmark = pytest.mark.thorough

NOW, BEFORE = "2026.9.6", "2026.5.28"


@pytest.fixture
def gateway(fake_gateway, settings):
    settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.url, fake_gateway.token
    return fake_gateway


@pytest.fixture
def configured(monkeypatch):
    """As the gateway tells it over its WebSocket."""

    def configured(**config):
        monkeypatch.setattr(about, "configuration", lambda: config)

    return configured


def states(told=NOW):
    return {finding.name: finding.state for finding in openclaw.upkeep(told, "main")}


def reset(told=NOW, **rules):
    return openclaw.reset({"session": rules}, told)


def set_by(remedy):
    """What the line sets, as openclaw.json has it."""
    return json.loads("{" + remedy.split("openclaw.json: ", 1)[1] + "}")


def test_what_is_kept_for_good_is_green(configured):
    kept = {"maintenance": {"mode": "warn"}, "notifyOnCreate": False}
    configured(session=kept, agents={"defaults": {"heartbeat": {"every": "0m"}}})
    assert states() == {"archive": "ok", "reset": "ok", "heartbeat": "ok", "notices": "ok"}


def test_what_is_not_set_at_all_is_as_the_release_has_it(configured):
    configured()
    assert states() == {"archive": "bad", "reset": "ok", "heartbeat": "note", "notices": "note"}
    assert states(BEFORE) == {"archive": "bad", "reset": "bad", "heartbeat": "note"}, "it knows no such notices"
    assert states("") == states(BEFORE), "one that does not tell is taken for an old one"


@pytest.mark.parametrize(
    "rules",
    [
        {"reset": {"mode": "daily"}},
        {"reset": {"atHour": 3}},
        {"reset": {"mode": "idle", "idleMinutes": 60}},
        {"resetByType": {"direct": {"mode": "idle", "idleMinutes": 240}}},
        {"resetByChannel": {"webchat": {"mode": "daily"}}},
    ],
)
@pytest.mark.parametrize("told", [NOW, BEFORE])
def test_any_rule_that_ends_a_memory_is_red_and_its_line_ends_the_rule(rules, told):
    found = reset(told, **rules)
    assert found.state == "bad"
    mended = set_by(found.remedy)["session"]
    assert mended.keys() == rules.keys()
    assert reset(told, **({"reset": {"mode": "none"}} | mended)).state == "ok"


@pytest.mark.parametrize(
    "rules",
    [
        {"reset": {"mode": "none"}},
        {"resetByType": {"group": {"mode": "daily"}}},
        {"reset": {"mode": "idle", "idleMinutes": 10**7}},
    ],
)
def test_a_rule_that_is_not_about_our_sessions_or_never_comes_is_green(rules):
    assert reset(**rules).state == "ok"


def test_an_agent_may_have_a_heartbeat_of_its_own():
    config = {
        "agents": {"defaults": {"heartbeat": {"every": "0m"}}, "entries": {"main": {"heartbeat": {"every": "5m"}}}}
    }
    assert (openclaw.heartbeat(config, "main").state, openclaw.heartbeat(config, "ops").state) == ("note", "ok")


def test_what_cannot_be_seen_is_never_green(gateway):
    (found,) = openclaw.upkeep(NOW, "main")
    assert (found.name, found.state) == ("upkeep", "note") and "takes no WebSocket from here" in found.says
    assert set_by(found.remedy)["session"]["maintenance"] == {"mode": "warn"}
    with pytest.raises(Failed):
        about.configuration()


@pytest.mark.parametrize("visibility", ["all", "agent", "tree", "self", None])
def test_where_nobody_can_be_asked_the_setting_is_taken_at_its_word(gateway, configured, visibility):
    gateway.instead[MODELS] = [status(404)]
    configured(tools={"sessions": {"visibility": visibility}} if visibility else {})
    found = {finding.name: finding for finding in upstream.gateway()}
    assert found["gateway"].state == "bad" and "chatCompletions" in found["gateway"].remedy
    assert found["privacy"].state == ("ok" if visibility in ("tree", "self") else "bad")
    assert {"archive", "heartbeat"} < found.keys()


def test_another_kind_of_server_is_told_with_what_to_set(gateway):
    gateway.instead[MODELS] = [status(200, body={"object": "list", "data": [{"id": "smollm2"}]})]
    found = {finding.name: finding for finding in upstream.gateway()}
    assert found["agent"].state == "bad" and "GATEWAY_KIND=openai" in found["agent"].remedy
    assert set(found) == {"gateway", "agent"}


def test_an_endpoint_that_is_not_enabled_is_red_where_the_gateways_own_page_answers_instead(gateway, configured):
    gateway.instead[MODELS] = [status(200, body="<!doctype html><title>OpenClaw Control</title>")]
    configured()
    found = {finding.name: finding for finding in upstream.gateway()}
    assert found["gateway"].state == "bad" and "chatCompletions" in found["gateway"].remedy
    assert "archive" in found


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (tool_result({"messages": [{"content": "remember: cedar7"}]}), "bad"),
        (tool_result({"messages": []}), "ok"),
        (tool_result({"status": "forbidden", "error": "cedar7 is not for you"}), "ok"),
        (tool_refused(404, "Tool not available", "not_found"), "ok"),
        (tool_refused(500, "tool execution failed"), "note"),
    ],
)
def test_what_one_session_sees_of_another_is_looked_at_from_inside(gateway, answer, state):
    gateway.instead[TOOLS] = [answer]
    found = openclaw.reads_others("webchat-a", "webchat-b", "main", "cedar7")
    assert found.state == state
    assert {call["sessionKey"] for call in gateway.tool_calls} == {"agent:main:webchat-b"}
    if state != "ok":
        assert set_by(found.remedy) == {"tools": {"sessions": {"visibility": "tree"}}}


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (tool_refused(404, "Tool not available", "not_found"), "alsoAllow"),
        (tool_refused(403, "missing scope", "forbidden"), "visibility"),
        (tool_refused(500, "tool execution failed"), "log"),
    ],
)
def test_sessions_that_cannot_be_managed_are_red(gateway, answer, line):
    gateway.instead[TOOLS] = [answer]
    found = openclaw.forgets([("webchat-a", "main")])
    assert found.state == "bad" and line in found.remedy


def test_its_release_is_told_or_is_a_note(gateway):
    assert openclaw.release(about.release()).says == "It is OpenClaw 2026.9.6."
    old = openclaw.release("")
    assert old.state == "note" and set_by(old.remedy)["session"]["reset"]["mode"] == "idle"
