"""A plain OpenAI-compatible server on the wire: what it is asked, what of its stream is text, and how it refuses."""

import asyncio
from functools import cache

import httpx2
import pytest

from sessions_core import gateway as wire
from sessions_core.gateway.thoughts import Thoughts
from tests.fake_gateway import (
    answer,
    completion,
    delta,
    done,
    eof,
    event,
    eventually,
    finish,
    hang,
    ping,
    raw,
    role,
    sleep,
    status,
    usage,
)

pytestmark = pytest.mark.thorough

TURNS = [
    {"role": "user", "content": "My name is Ada."},
    {"role": "assistant", "content": "Hello Ada."},
    {"role": "user", "content": "Who am I?"},
]


@pytest.fixture(scope="module", autouse=True)
def certificates_read_once():
    """Every client reads them anew, which is half the time of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx2, "create_ssl_context", cache(httpx2.create_ssl_context))
        yield


def ask(fake_gateway, steps=None, silence=None, kind=None):
    """The text of the answer, the error that ended it, and what became known of it."""

    async def scenario():
        client = wire.Gateway(fake_gateway.url, fake_gateway.token, kind or wire.Plain("llama", silence=silence))
        reply, pieces = wire.Reply(), []
        try:
            async for text in client.stream(TURNS, "webchat-1", "main", reply):
                pieces.append(text)
        except wire.GatewayError as problem:
            return "".join(pieces), problem, reply
        finally:
            await client.close()
        return "".join(pieces), None, reply

    if steps:
        fake_gateway.script(None, steps)
    return asyncio.run(scenario())


def test_it_hears_its_model_and_the_turns_and_nothing_of_openclaw(fake_gateway):
    assert ask(fake_gateway, answer("You are Ada."))[:2] == ("You are Ada.", None)
    (request,) = fake_gateway.requests
    assert request.body == {
        "model": "llama",
        "messages": TURNS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert not [name for name in request.headers if "openclaw" in name]
    assert request.headers["authorization"] == f"Bearer {fake_gateway.token}"


def test_openclaw_still_hears_the_key_and_the_agent(fake_gateway):
    ask(fake_gateway, kind=wire.OpenClaw())
    (request,) = fake_gateway.requests
    assert request.body["model"] == "openclaw:webchat-1"
    assert request.headers["x-openclaw-session-key"] == "agent:main:webchat-1"


def say(**parts):
    return lambda exchange: exchange.choice(parts)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_never_mixes_with_the_text(fake_gateway, name):
    thinking = [
        say(**{name: "They ask who "}),
        say(**{name: "they are.", "content": None}),
        say(content="", **{name: "!"}),
    ]
    text, error, _ = ask(
        fake_gateway, [role(), *thinking, delta("You are "), say(**{name: "Hm."}), delta("Ada."), done()]
    )
    assert (text, error) == ("You are Ada.", None)


def test_reasoning_alone_is_no_answer(fake_gateway):
    text, error, _ = ask(fake_gateway, [role(), say(reasoning="Hm."), finish("length"), done()])
    assert (text, type(error)) == ("", wire.Empty)


@pytest.mark.parametrize("pieces", [["<think>Who?\n</think>\n\nAda."], list("\n<think>Who?\n</think>\n\nAda.")])
def test_reasoning_that_is_printed_before_the_answer_is_taken_out(fake_gateway, pieces):
    text, error, _ = ask(fake_gateway, [role(), *map(delta, pieces), finish(), done()])
    assert (text, error) == ("Ada.", None)


@pytest.mark.parametrize(
    "text", ["Ada.", "<", " <thin", "<thinking> is a word.", "Write <think>so</think>.", "<p>Ada</p>", "a <think>"]
)
def test_text_that_only_looks_like_it_stays_whole(text):
    for pieces in ([text], list(text)):
        thoughts = Thoughts()
        assert "".join([*map(thoughts.feed, pieces), thoughts.end()]) == text


def test_a_short_answer_that_may_have_become_reasoning_is_said_in_the_end(fake_gateway):
    assert ask(fake_gateway, [role(), delta("<"), finish(), done()])[:2] == ("<", None)


def test_an_answer_that_is_no_stream_loses_its_reasoning_too(fake_gateway):
    assert ask(fake_gateway, [completion("<think>Who?</think>Ada.")])[:2] == ("Ada.", None)


def test_a_stream_that_ends_without_done_after_a_finish_reason_is_whole(fake_gateway):
    text, error, reply = ask(fake_gateway, [role(), delta("Ada."), finish(), usage(9, 2), eof()])
    assert (text, error) == ("Ada.", None)
    assert reply.usage == {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def test_a_server_that_says_the_end_and_then_nothing_has_answered(fake_gateway):
    assert ask(fake_gateway, [role(), delta("Ada."), finish(), hang()], silence=0.3)[:2] == ("Ada.", None)


@pytest.mark.parametrize(
    ("said", "state"), [([], "failed"), ([role()], "failed"), ([role(), delta("You")], "interrupted")]
)
@pytest.mark.parametrize("noise", [hang(), raw(b": ping\n\n" * 3), ping()])
def test_silence_and_pings_have_an_end(fake_gateway, said, state, noise):
    pings = [step for _ in range(100) for step in (noise, sleep(0.02))]
    text, error, _ = ask(fake_gateway, [*said, ping(), *pings, delta("late"), done()], silence=0.5)
    assert text == ("You" if state == "interrupted" else "")
    assert (error.state, error.code, error.safe_to_repeat) == (state, "timeout_idle", False)
    assert eventually(lambda: fake_gateway.requests[0].client_left)


def test_a_model_that_thinks_for_long_is_not_silent(fake_gateway):
    thinking = [step for _ in range(12) for step in (sleep(0.1), say(reasoning_content="…"))]
    assert ask(fake_gateway, [role(), *thinking, delta("Ada."), done()], silence=0.6)[:2] == ("Ada.", None)


NO_MODEL = (
    "The server has no model “llama”; an administrator has to set GATEWAY_MODEL to one it has. "
    "`manage.py doctor` lists them. It says: "
)


@pytest.mark.parametrize(
    ("code", "body", "error", "says"),
    [
        # Ollama, its own form and OpenAI's
        (404, {"error": "model 'llama' not found"}, wire.NoModel, f"{NO_MODEL}model 'llama' not found"),
        (
            404,
            {"error": {"message": 'model "llama" not found, try pulling it first', "type": "api_error", "code": None}},
            wire.NoModel,
            f'{NO_MODEL}model "llama" not found, try pulling it first',
        ),
        # vLLM, older and newer
        (
            404,
            {"object": "error", "message": "The model `llama` does not exist.", "type": "NotFoundError", "code": 404},
            wire.NoModel,
            f"{NO_MODEL}The model `llama` does not exist.",
        ),
        (
            404,
            {"error": {"message": "The model `llama` does not exist.", "type": "NotFoundError", "code": 404}},
            wire.NoModel,
            f"{NO_MODEL}The model `llama` does not exist.",
        ),
        # LM Studio
        (
            400,
            {"error": {"message": 'Failed to load model "llama".', "type": "invalid_request_error"}},
            wire.NoModel,
            f'{NO_MODEL}Failed to load model "llama".',
        ),
        # a path that is not there
        (
            404,
            {"detail": "Not Found"},
            wire.NotOffered,
            "The server has no chat completions at this address; an administrator has to correct "
            "OPENCLAW_GATEWAY_URL. It says: Not Found",
        ),
        # llama.cpp, OpenAI and vLLM, when the conversation is too long for them
        (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "request (1631 tokens) exceeds the available context size (1024 tokens)",
                    "type": "exceed_context_size_error",
                }
            },
            wire.ContextFull,
            f"{wire.ContextFull.says} It says: request (1631 tokens) exceeds the available context size (1024 tokens)",
        ),
        (
            400,
            {"error": {"message": "This model's maximum context length is 8192 tokens.", "type": "x"}},
            wire.ContextFull,
            f"{wire.ContextFull.says} It says: This model's maximum context length is 8192 tokens.",
        ),
        # and what only they can say
        (
            400,
            {"detail": "temperature is no number"},
            wire.Rejected,
            "The gateway did not accept this message. It says: temperature is no number",
        ),
        (
            500,
            {"error": "model requires more system memory (9 GiB) than is available (4 GiB)"},
            wire.Failed,
            f"{wire.Failed.says} It says: model requires more system memory (9 GiB) than is available (4 GiB)",
        ),
        (401, {"error": {"message": "Incorrect API key provided: sk-1***9"}}, wire.AuthRefused, wire.AuthRefused.says),
    ],
)
def test_a_refusal_says_what_to_do(fake_gateway, code, body, error, says):
    _, problem, _ = ask(fake_gateway, [status(code, body=body)])
    assert (type(problem), str(problem)) == (error, says)
    assert problem.code in ("gateway_config", "rejected", "gateway_error", "gateway_auth")


def test_a_server_that_has_too_much_to_do_is_asked_again_after_the_time_it_names(fake_gateway):
    busy = status(429, {"retry-after": "7"}, {"error": {"message": "You exceeded your current quota."}})
    _, problem, _ = ask(fake_gateway, [busy])
    assert (type(problem), problem.retry_after, problem.safe_to_repeat) == (wire.Busy, 7.0, True)
    assert str(problem) == "The assistant is busy. Try again in 7 s. It says: You exceeded your current quota."


def test_a_model_that_is_being_loaded_is_asked_again(fake_gateway):
    _, problem, _ = ask(fake_gateway, [status(503, body={"error": {"message": "Loading model", "code": 503}})])
    assert problem.safe_to_repeat and str(problem).endswith("It says: Loading model")


@pytest.mark.parametrize(
    "data",
    [
        {"error": {"message": "The model `llama` does not exist.", "code": 404}},
        {"error": "model 'llama' not found"},
        {"object": "error", "message": "The model `llama` does not exist."},
    ],
)
def test_a_refusal_inside_the_stream_says_what_to_do_too(fake_gateway, data):
    _, problem, _ = ask(fake_gateway, [role(), event(data), done()])
    assert str(problem).startswith(NO_MODEL)
