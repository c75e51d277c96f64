"""What the gateway offers beside chat: its tools and its agents, and every way in which it can refuse."""

import asyncio
import gzip
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from django.core.exceptions import SynchronousOnlyOperation

from sessions_core.gateway import (
    AuthRefused,
    BadReply,
    Busy,
    Down,
    Failed,
    NotOffered,
    Rejected,
    StartTimeout,
    Unreachable,
    tools,
)
from sessions_core.gateway.tools import agents, invoke_tool, reset_session
from tests.fake_gateway import MODELS, TOOLS, cut, hang, head, raw, sleep, status, tool_refused, tool_result, wait

pytestmark = pytest.mark.thorough


@pytest.fixture(autouse=True)
def nothing_remembered():
    tools.forget_agents()
    yield
    tools.forget_agents()


@pytest.fixture
def gateway(fake_gateway, settings):
    settings.OPENCLAW_GATEWAY_URL = fake_gateway.url
    settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.token
    settings.OPENCLAW_AGENT_ID = "main"
    return fake_gateway


@pytest.fixture
def clock(monkeypatch):
    """The module's clock, in seconds; a test moves it on."""
    time = [1000.0]
    monkeypatch.setattr(tools, "monotonic", lambda: time[0])
    return time


@pytest.fixture
def nowhere():
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def refused(gateway, *steps):
    """The error that a tool call ends in when the gateway answers with these steps."""
    gateway.instead[TOOLS] = list(steps)
    with pytest.raises(tools.GatewayError) as caught:
        invoke_tool("sessions", {"action": "reset"})
    return caught.value


# --- tools


def test_a_tool_is_called_by_name_in_a_session_of_an_agent(gateway):
    said = invoke_tool("session_status", {"limit": 3}, session_key="agent:work:x", agent="work")
    assert said == {"ok": True, "key": ""}
    assert gateway.tool_calls == [
        {"tool": "session_status", "args": {"limit": 3}, "sessionKey": "agent:work:x", "agentId": "work"}
    ]


def test_without_an_agent_the_gateway_chooses_it(gateway):
    invoke_tool("sessions_list", {})
    assert gateway.tool_calls == [{"tool": "sessions_list", "args": {}, "sessionKey": "main"}]


def test_the_request_carries_the_token_and_nothing_of_a_visitor(gateway):
    invoke_tool("sessions_list", {})
    (request,) = gateway.requests
    assert (request.method, request.path) == ("POST", "/tools/invoke")
    assert request.headers["authorization"] == f"Bearer {gateway.token}"
    assert request.headers["accept-encoding"] == "identity"
    assert not {"cookie", "origin", "forwarded", "x-forwarded-for", "x-real-ip"} & request.headers.keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"count": 1}', {"count": 1}), ("[1, 2]", [1, 2]), ("🦞 all is well", "🦞 all is well"), ("", "")],
)
def test_what_a_tool_says_is_parsed_where_it_is_json(gateway, text, said):
    gateway.instead[TOOLS] = [tool_result(text)]
    assert invoke_tool("session_status", {}) == said


def test_a_result_without_parts_is_given_as_it_is(gateway):
    gateway.instead[TOOLS] = [status(200, body={"ok": True, "result": {"value": 1}})]
    assert invoke_tool("plugin", {}) == {"value": 1}


def test_a_row_that_has_failed_is_no_failure_of_the_call(gateway):
    listed = {"sessions": [{"key": "agent:main:x", "status": "error"}]}
    gateway.instead[TOOLS] = [tool_result(listed)]
    assert invoke_tool("sessions_list", {}) == listed


def test_the_machines_proxy_settings_are_not_for_the_gateway(gateway, nowhere, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nowhere)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert invoke_tool("session_status", {}) == {"ok": True, "key": ""}


# --- reset


def test_a_session_is_reset_by_its_whole_key_in_its_agents_main_session(gateway):
    assert reset_session("webchat-1-c2", "work") is None
    args = {"action": "reset", "sessionKey": "agent:work:webchat-1-c2"}
    assert gateway.tool_calls == [{"tool": "sessions", "args": args, "sessionKey": "main", "agentId": "work"}]


def test_the_main_session_is_reset_by_its_short_key(gateway):
    reset_session("main", "work")
    args = {"action": "reset", "sessionKey": "main"}
    assert gateway.tool_calls == [{"tool": "sessions", "args": args, "sessionKey": "main", "agentId": "work"}]


@pytest.mark.parametrize("key", ["", "agent:main:cron:x", "agent:main:ä", "agent:x", "Webchat-1", "x" * 65, "x\n"])
def test_a_key_that_the_gateway_would_not_know_is_not_sent(gateway, key):
    with pytest.raises(Rejected, match="does not fit"):
        reset_session(key, "main")
    assert gateway.requests == []


def test_a_refused_reset_is_an_error(gateway):
    gateway.instead[TOOLS] = [tool_refused(500, "tool execution failed")]
    with pytest.raises(Failed, match="tool execution failed"):
        reset_session("webchat-1", "main")


# --- refusals


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        (400, Rejected, "The gateway could not do this. It says: no"),
        (403, AuthRefused, "The gateway does not allow this. It says: no"),
        (413, Rejected, "The gateway could not do this. It says: no"),
        (429, Busy, "The assistant is busy. Try again in a moment."),
        (500, Failed, "The gateway could not do this. It says: no"),
        (503, Down, "The gateway is starting or stopping. Try again in a moment."),
    ],
)
def test_a_refusal_is_a_sentence_with_the_gateways_words(gateway, code, kind, sentence):
    error = refused(gateway, tool_refused(code, "no"))
    assert (type(error), str(error)) == (kind, sentence)


@pytest.mark.parametrize("code", [400, 403, 500])
def test_a_refusal_without_words_is_a_sentence_too(gateway, code):
    assert str(refused(gateway, status(code))).endswith("this.")


def test_a_wrong_token_is_refused(gateway, settings):
    settings.OPENCLAW_GATEWAY_TOKEN = "wrong"
    with pytest.raises(AuthRefused, match="refused our credentials"):
        invoke_tool("sessions", {})


@pytest.mark.parametrize("step", [tool_refused(404, "Tool not available: sessions", "not_found"), status(405)])
def test_a_tool_that_is_not_offered_says_what_to_set(gateway, step):
    error = refused(gateway, step)
    assert isinstance(error, NotOffered)
    assert "“sessions”" in str(error) and "openclaw.json" in str(error)
    setting = json.loads("{" + str(error).split("openclaw.json: ")[1] + "}")
    assert setting == {"tools": {"alsoAllow": ["sessions", "sessions_list", "sessions_history"]}}


def test_a_redirect_is_not_followed(gateway):
    error = refused(gateway, status(307, {"location": f"{gateway.url}/v1/models"}))
    assert isinstance(error, BadReply) and "OPENCLAW_GATEWAY_URL" in str(error)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    ("step", "kind", "sentence"),
    [
        (tool_refused(200, "no"), Rejected, "The gateway could not do this. It says: no"),
        (tool_result({"status": "error", "error": "no"}), Rejected, "The gateway could not do this. It says: no"),
        (
            tool_result({"status": "forbidden", "error": "no"}),
            AuthRefused,
            "The gateway does not allow this. It says: no",
        ),
    ],
)
def test_a_refusal_inside_an_answer_that_is_fine_for_http_is_one(gateway, step, kind, sentence):
    error = refused(gateway, step)
    assert (type(error), str(error)) == (kind, sentence)


@pytest.mark.parametrize("body", ["", "<html>Hello</html>", [], {"choices": []}, "[" * 100_000, b"\xff"])
def test_an_answer_of_another_kind_is_told_from_a_tools(gateway, body):
    assert isinstance(refused(gateway, status(200, body=body)), BadReply)


def test_the_token_is_in_no_message(gateway):
    for code in (200, 400, 403, 500):
        error = refused(gateway, tool_refused(code, f"{gateway.token} and Bearer {gateway.token} and Bearer other"))
        assert gateway.token not in str(error) and "other" not in str(error) and "***" in str(error)


# --- a gateway that is not there, or not well


def test_a_gateway_that_is_not_there_is_unreachable(settings, nowhere):
    settings.OPENCLAW_GATEWAY_URL = nowhere
    with pytest.raises(Unreachable, match="cannot be reached"):
        invoke_tool("sessions", {})


def test_a_connection_that_closes_or_breaks_without_an_answer_is_a_failure(gateway):
    assert isinstance(refused(gateway, cut()), Failed)
    assert isinstance(refused(gateway, head(), raw(b"{"), cut()), Failed)


@pytest.mark.parametrize("steps", [[hang()], [head(), raw(b"{"), hang()], [head(), *[raw(b" "), sleep(0.1)] * 100]])
def test_waiting_for_an_answer_has_an_end(gateway, monkeypatch, steps):
    monkeypatch.setattr(tools, "READ_TIMEOUT", 0.3)
    began = monotonic()
    error = refused(gateway, *steps)
    assert isinstance(error, StartTimeout) and "in time" in str(error)
    assert monotonic() - began < 2


def test_an_answer_of_any_size_is_not_read_to_its_end(gateway):
    error = refused(gateway, head(), *[raw(b" " * 500_000)] * 5, hang())
    assert isinstance(error, BadReply) and "two megabytes" in str(error)


def test_a_compressed_answer_is_not_unpacked(gateway):
    answer = gzip.compress(json.dumps({"ok": True, "result": 1}).encode())
    assert isinstance(refused(gateway, status(200, {"content-encoding": "gzip"}, answer)), BadReply)


def test_without_a_gateway_only_the_process_that_serves_has_one(gateway, settings, monkeypatch):
    settings.OPENCLAW_GATEWAY_URL = ""
    with pytest.raises(Unreachable, match="only inside `serve`"):
        reset_session("webchat-1", "main")
    monkeypatch.setattr(tools, "demo", (gateway.url, gateway.token))
    reset_session("webchat-1", "main")
    assert len(gateway.tool_calls) == 1


def test_a_gateway_that_is_set_goes_before_the_demo(gateway, monkeypatch, nowhere):
    monkeypatch.setattr(tools, "demo", (nowhere, "token"))
    reset_session("webchat-1", "main")


def test_an_event_loop_is_not_made_to_wait(gateway):
    async def scene():
        reset_session("webchat-1", "main")

    with pytest.raises(SynchronousOnlyOperation, match="from a thread"):
        asyncio.run(scene())
    assert gateway.requests == []


# --- agents


def test_the_agents_are_those_of_the_gateway_the_configured_one_first(gateway, settings):
    gateway.agents = ["main", "research", "work", "research"]
    settings.OPENCLAW_AGENT_ID = "work"
    assert agents() == ["work", "main", "research"]


def test_the_configured_agent_is_there_also_when_the_gateway_does_not_list_it(gateway, settings):
    settings.OPENCLAW_AGENT_ID = "work"
    assert agents() == ["work", "main"]


def test_what_is_no_agents_id_is_dropped(gateway):
    gateway.agents = ["Main", "a b", "-x", "../x", "<b>", "", "x" * 65, "a/b", "ok_1"]
    assert agents() == ["main", "ok_1"]


def test_models_of_others_are_no_agents(gateway):
    models = [{"id": "gpt-4o"}, {"id": 7}, {}, "openclaw/text", {"id": "openclaw:colon"}, {"id": "openclaw/work"}]
    gateway.instead[MODELS] = [status(200, body={"data": models})]
    assert agents() == ["main", "work"]


def test_the_agents_are_remembered_for_a_minute(gateway, clock):
    agents().append("altered")
    gateway.agents = ["work"]
    clock[0] += 59
    assert agents() == ["main"] and len(gateway.requests) == 1
    clock[0] += 2
    assert agents() == ["main", "work"] and len(gateway.requests) == 2


@pytest.mark.parametrize(
    "step", [status(404), status(401), status(500), cut(), status(200, body="hello"), status(200, body={"data": 1})]
)
def test_a_gateway_that_does_not_list_them_is_asked_again_after_ten_seconds(gateway, clock, step):
    gateway.agents = ["main", "work"]
    gateway.instead[MODELS] = [step]
    assert agents() == ["main"]
    del gateway.instead[MODELS]
    clock[0] += 9
    assert agents() == ["main"] and len(gateway.requests) == 1
    clock[0] += 2
    assert agents() == ["main", "work"]


def test_without_a_gateway_there_is_the_configured_agent(settings, nowhere):
    settings.OPENCLAW_AGENT_ID = "work"
    for url in ("", nowhere):
        settings.OPENCLAW_GATEWAY_URL = url
        tools.forget_agents()
        assert agents() == ["work"]


def test_a_silent_gateway_is_not_waited_for_long(gateway, monkeypatch):
    assert tools.AGENTS_TIMEOUT == 3
    monkeypatch.setattr(tools, "AGENTS_TIMEOUT", 0.2)
    gateway.instead[MODELS] = [hang()]
    began = monotonic()
    assert agents() == ["main"]
    assert monotonic() - began < 1


def test_many_at_once_ask_once(gateway):
    go_on = threading.Event()
    gateway.agents = ["main", "work"]
    gateway.instead[MODELS] = [wait(go_on), status(200, body={"data": [{"id": "openclaw/work"}]})]
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(agents) for _ in range(8)]
        threading.Timer(0.2, go_on.set).start()
        assert [one.result(timeout=5) for one in asked] == [["main", "work"]] * 8
    assert len(gateway.requests) == 1
