"""`manage.py serve` in front of a plain OpenAI-compatible server: what it needs to know, and what it sends."""

import pytest

from tests.fake_gateway import delta, hang, role
from tests.server import Server

from .test_serve import serve


@pytest.fixture
def server(data, gateway):
    env = {"OPENCLAW_GATEWAY_URL": gateway.url, "OPENCLAW_GATEWAY_TOKEN": gateway.token}
    server = Server(data, **env, GATEWAY_KIND="openai", GATEWAY_MODEL="llama", GATEWAY_SILENCE_SECONDS="2").start()
    yield server
    server.end()


def test_the_conversation_goes_along_until_a_reset(server, gateway):
    talk = server.first_account().chat("My name is Ada.")
    first = talk.reply(1)
    talk.say("Who am I?")
    talk.reply(2)
    assert gateway.requests[-1].body["messages"] == [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": first.strip()},
        {"role": "user", "content": "Who am I?"},
    ]
    talk.do("reset")
    talk.say("Who am I?")
    talk.reply(3)
    assert gateway.requests[-1].body["messages"] == [{"role": "user", "content": "Who am I?"}]
    for request in gateway.requests:
        assert request.body["model"] == "llama" and not [name for name in request.headers if "openclaw" in name]


def test_a_model_that_falls_silent_is_given_up_and_its_words_are_kept(server, gateway):
    gateway.script(None, [role(), delta("Half an "), hang()])
    talk = server.first_account().chat("Hello")
    assert talk.reply(1, "interrupted") == "Half an "
    assert talk.replies[0]["error_code"] == "timeout_idle"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"GATEWAY_KIND": "ollama"}, "GATEWAY_KIND is openclaw, or openai"),
        ({"GATEWAY_KIND": "openai"}, "set OPENCLAW_GATEWAY_URL"),
        ({"GATEWAY_KIND": "openai", "OPENCLAW_GATEWAY_URL": "http://127.0.0.1:1"}, "set GATEWAY_MODEL"),
        ({"GATEWAY_CONTEXT_TOKENS": "12"}, "GATEWAY_CONTEXT_TOKENS is a whole number from 512"),
    ],
)
def test_what_is_missing_is_named_at_the_start(tmp_path, env, words):
    code, said = serve("--port", "0", WEBCHAT_DATA=str(tmp_path), **env)
    assert (code, words in said, "Traceback" in said) == (1, True, False), said
