"""What our app takes for granted about OpenClaw, asked of the real thing over plain HTTP."""

import contextlib
import http.client
import json
import time
import uuid
from urllib.parse import urlsplit

import pytest

RECALL = "what do you remember?"


@pytest.fixture
def key():
    return f"webchat-{uuid.uuid4()}"


def headers_of(key):
    return {"x-openclaw-agent-id": "main", "x-openclaw-session-key": f"agent:main:{key}"}


@contextlib.contextmanager
def call(openclaw, method, path, body=None, headers=None, token=None):
    """The open response; leaving the block closes the connection, read or not."""
    connection = http.client.HTTPConnection(urlsplit(openclaw.url).netloc, timeout=120)
    auth = {"Authorization": f"Bearer {token or openclaw.token}", "Content-Type": "application/json"}
    with contextlib.closing(connection):
        connection.request(method, path, body and json.dumps(body), auth | (headers or {}))
        with connection.getresponse() as response:
            yield response


def turn(openclaw, key, text, stream=True, headers=None, **more):
    body = {"model": f"openclaw:{key}", "messages": [{"role": "user", "content": text}], "stream": stream}
    headers = headers_of(key) if headers is None else headers
    return call(openclaw, "POST", "/v1/chat/completions", body, headers, **more)


def ask(openclaw, key, text):
    """One turn over a stream, and the whole answer."""
    with turn(openclaw, key, text) as response:
        assert response.status == 200
        return "".join(deltas(response))


def deltas(response):
    for event in events(response):
        assert "error" not in event, event
        for choice in event["choices"]:
            if text := choice["delta"].get("content"):
                yield text


def events(response):
    for line in response:
        data = line.decode().strip().removeprefix("data: ")
        if data == "[DONE]":
            return
        if data:
            yield json.loads(data)


def error_of(response):
    return json.loads(response.read())["error"]


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_the_model_string_alone_is_refused(openclaw, key):
    with turn(openclaw, key, "hello", headers={}) as response:
        assert response.status == 400
        assert error_of(response)["message"] == f"Unknown agent '{key}'."


def test_model_string_and_both_headers_give_memory_across_turns(openclaw, provider, key):
    assert ask(openclaw, key, "remember: teal") == "Noted: teal."
    answer = ask(openclaw, key, RECALL)
    assert answer == "Facts: teal. I saw 2 user and 1 assistant turns."
    assert len(provider.requests_of(key)) == 2


def test_without_a_stream_the_memory_is_the_same(openclaw, key):
    ask(openclaw, key, "remember: teal")
    with turn(openclaw, key, RECALL, stream=False) as response:
        message = json.loads(response.read())["choices"][0]["message"]
    assert message["content"] == "Facts: teal. I saw 2 user and 1 assistant turns."


def test_another_key_knows_nothing_of_it(openclaw, key):
    ask(openclaw, key, "remember: teal")
    other = ask(openclaw, f"webchat-{uuid.uuid4()}", RECALL)
    assert other == "Facts: none. I saw 1 user and 0 assistant turns."
    assert ask(openclaw, key, RECALL).startswith("Facts: teal.")


def test_memory_survives_a_restart_of_the_gateway(openclaw, key):
    ask(openclaw, key, "remember: teal")
    before = openclaw.process.pid
    openclaw.restart()
    assert openclaw.process.pid != before
    assert ask(openclaw, key, RECALL) == "Facts: teal. I saw 2 user and 1 assistant turns."


def test_closing_the_stream_stops_the_model_call(openclaw, provider, key):
    with turn(openclaw, key, "slow 300") as response:
        text = deltas(response)
        seen = [next(text) for _ in range(3)]
    assert "".join(seen).startswith("1 2")
    [call_of_it] = provider.requests_of(key)
    assert wait_for(lambda: call_of_it in provider.gone, seconds=5)
    assert call_of_it.sent < 100 and not call_of_it.finished


def test_a_new_chapter_is_fresh_and_the_old_one_still_remembers(openclaw, key):
    ask(openclaw, key, "remember: teal")
    assert ask(openclaw, f"{key}-c2", RECALL) == "Facts: none. I saw 1 user and 0 assistant turns."
    assert ask(openclaw, key, RECALL) == "Facts: teal. I saw 2 user and 1 assistant turns."


@pytest.mark.parametrize("word", ["/new", "/reset", "/stop"])
def test_a_slash_word_is_text_for_the_model(openclaw, key, word):
    ask(openclaw, key, "remember: teal")
    assert ask(openclaw, key, word) == f"You said: {word}"
    assert ask(openclaw, key, RECALL) == "Facts: teal. I saw 3 user and 2 assistant turns."


def test_silence_of_the_model_ends_in_the_whole_answer(openclaw, key):
    started = time.monotonic()
    assert ask(openclaw, key, "silent 3") == "One moment. Here I am again."
    assert time.monotonic() - started >= 3


def test_a_failure_upstream_comes_inside_the_stream(openclaw, key):
    with turn(openclaw, key, "fail 404") as response:
        assert response.status == 200
        *_, last = events(response)
    assert "Scripted failure 404." in last["error"]["message"]


def test_a_wrong_token_is_refused(openclaw, key):
    with turn(openclaw, key, "hello", token="wrong") as response:
        assert response.status == 401
        assert error_of(response)["type"] == "unauthorized"


def test_the_models_are_listed(openclaw):
    with call(openclaw, "GET", "/v1/models") as response:
        assert response.status == 200
        names = [model["id"] for model in json.loads(response.read())["data"]]
    assert {"openclaw", "openclaw/default", "openclaw/main"} <= set(names)


def test_the_sessions_can_be_listed(openclaw, key):
    ask(openclaw, key, "hello")
    body = {"tool": "sessions_list", "args": {"limit": 10, "search": key}}
    with call(openclaw, "POST", "/tools/invoke", body) as response:
        assert response.status == 200
        result = json.loads(response.read())["result"]
    listed = json.loads(result["content"][0]["text"])["sessions"]
    assert [row["key"] for row in listed] == [f"agent:main:{key}"]
