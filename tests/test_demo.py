"""The demo gateway, asked over HTTP and through our own client."""

import asyncio
import json
import re
import socket
import time
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing, suppress

import aiohttp
import pytest

from chatapp.service import Service
from sessions_core.demo import DemoGateway
from sessions_core.demo.script import LONG, SILENT, Memory, Session, paced
from sessions_core.gateway import AuthRefused, Gateway, Rejected, Reply, tools

pytestmark = pytest.mark.thorough

TOKEN = "demo-token"
HERE, THERE = "webchat-here", "webchat-there"


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "demo.sqlite3"


@asynccontextmanager
async def demo(memory, pace=0.0):
    """A running demo gateway and our client for it."""
    server = DemoGateway(memory, TOKEN, pace)
    gateway = Gateway(await server.start(), TOKEN)
    try:
        yield gateway
    finally:
        await gateway.close()
        await server.stop()


def user(text):
    return {"role": "user", "content": text}


async def ask(gateway, text, key=HERE, before=()):
    reply = Reply()
    answer = "".join([piece async for piece in gateway.stream([*before, user(text)], key, "main", reply)])
    assert reply.finished
    return answer


async def first_words(gateway, text, key=HERE, words=3):
    """The beginning of a reply; then the stream is closed."""
    async with aclosing(gateway.stream([user(text)], key, "main", Reply())) as stream:
        return [await anext(stream) for _ in range(words)]


def known(memory, key=HERE):
    """Makes it a session that has been greeted."""
    store = Memory(memory)
    store.keep(f"agent:main:{key}", Session(turns=1))
    store.close()


def headers_of(key, token=TOKEN):
    names = {"x-openclaw-agent-id": "main", "x-openclaw-session-key": f"agent:main:{key}"}
    return {"Authorization": f"Bearer {token}"} | (names if key else {})


async def post(gateway, body, key=HERE, token=TOKEN):
    """Status, content type and text of the answer to a plain HTTP request."""
    request = aiohttp.request("POST", f"{gateway.url}/v1/chat/completions", json=body, headers=headers_of(key, token))
    async with request as response:
        return response.status, response.headers["content-type"], await response.text()


async def invoke(gateway, body, token=TOKEN):
    request = aiohttp.request("POST", f"{gateway.url}/tools/invoke", json=body, headers=headers_of("", token))
    async with request as response:
        return response.status, await response.json()


def reset_of(key, **more):
    return {"tool": "sessions", "args": {"action": "reset", "sessionKey": key}} | more


async def get(gateway, path, token=TOKEN):
    async with aiohttp.request("GET", gateway.url + path, headers=headers_of("", token)) as response:
        return response.status, await response.json()


def turn(text="hello", model=f"openclaw:{HERE}", **more):
    return {"model": model, "messages": [user(text)]} | more


def answers(*texts, session=None):
    """What one session answers to several messages, without the wire."""
    session = session or Session(turns=1)
    return ["".join(word for _, word in paced(session.answer([text]))) for text in texts]


# --- what it says


def test_the_first_reply_says_that_it_is_a_demo_and_what_to_set_and_the_second_does_not():
    first, second = answers("hello", "hello", session=Session())
    for words in ("demo gateway", "scripted", "OPENCLAW_GATEWAY_URL", "OPENCLAW_GATEWAY_TOKEN"):
        assert words in first
    assert "OPENCLAW" not in second


@pytest.mark.parametrize(
    ("told", "asked", "said"),
    [
        ("My name is Ada.", "Who am I?", "“My name is Ada”"),
        ("Hi there, my name is Ada!", "what's my name again?", "“my name is Ada”"),
        ("my favourite colour is teal", "What is my favourite colour?", "“my favourite colour is teal”"),
        ("Please remember: the code word is heron", "what is the code word?", "“the code word is heron”"),
        ("remember that I live in Rome", "what do you remember?", "- I live in Rome"),
        ("Remember milk", "Do you remember?", "- milk"),
        ("I see. Remember milk. Thank you!", "what did I tell you?", "- milk"),
    ],
)
def test_it_tells_what_it_was_told(told, asked, said):
    noted, recalled = answers(told, asked)
    assert noted.startswith("I will remember, in this chat only: “")
    assert said in recalled
    assert "This is message 3 in this chat." in recalled
    assert "nothing of your other chats" in recalled


def test_a_newer_fact_about_the_same_thing_replaces_the_older():
    *_, recalled = answers("my name is Ada", "my dog's name is Rex", "my name is Grace", "what do you remember?")
    assert re.findall(r"^- (.*)", recalled, re.MULTILINE) == ["my dog's name is Rex", "my name is Grace"]


@pytest.mark.parametrize("text", ["What is my name?", "Who am I?", "what do you remember?"])
def test_it_says_so_when_it_was_told_nothing(text):
    [said] = answers(text)
    assert said.startswith(("You have not told me your name", "You have not asked me"))


@pytest.mark.parametrize("text", ["Why is my code so slow?", "I can't remember", "Is my name Ada?", "remember"])
def test_a_question_is_not_a_fact(text):
    session = Session()
    session.answer([text])
    assert session.facts == []


def test_a_long_message_is_neither_quoted_nor_kept_whole():
    noted, recalled = answers("remember " + "x" * 90_000, "what do you remember?")
    assert len(noted) < 400 and len(recalled) < 400


def test_many_facts_at_once_are_kept_and_only_some_are_quoted():
    noted, recalled = answers("My a is 1. My b is 2. My c is 3. My d is 4.", "what do you remember?")
    assert "“My a is 1”, “My b is 2”, “My c is 3” and 1 more." in noted
    assert "- My d is 4" in recalled


def test_what_it_keeps_of_a_session_is_bounded():
    session = Session()
    session.answer([f"my {n} is kept" for n in range(80)])
    assert len(session.facts) == 50 and session.facts[-1] == "my 79 is kept"


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("What can you do?", "- `what do you remember?`"),
        ("show me a list", "1. Open another chat"),
        ("a table please", "|---|---|"),
        ("write code", "```python\n"),
    ],
)
def test_it_shows_what_it_is_asked_for(text, sign):
    [said] = answers(text)
    assert sign in said


def test_markdown_is_a_list_a_table_and_code():
    [said] = answers("some markdown")
    assert "1. Open" in said and "|---|" in said and "```python\n" in said


def test_a_visitor_who_says_anything_else_sees_a_list_a_table_and_code_in_the_first_three_turns():
    said = answers("good day", "good day", "good day", session=Session())
    assert ["1. Open" in said[0], "|---|" in said[1], "```python\n" in said[2]] == [True] * 3
    assert len({text.split(":")[0] for text in said}) == 3
    assert all("script" in text and "`help`" in text for text in said[:1] + said[2:])


def test_long_takes_about_thirty_seconds_and_silent_some_seconds_at_once():
    assert 28 < sum(paces for paces, _ in paced(LONG)) * 0.03 < 34
    assert 5 < max(paces for paces, _ in paced(SILENT)) * 0.03 < 10


# --- sessions


def test_two_keys_are_two_memories(memory):
    async def scene():
        async with demo(memory) as gateway:
            await ask(gateway, "my name is Ada", HERE)
            await ask(gateway, "my name is Grace", THERE)
            return [await ask(gateway, "who am I?", key) for key in (HERE, THERE, "webchat-third")]

    here, there, third = asyncio.run(scene())
    assert "Ada" in here and "Grace" not in here
    assert "Grace" in there and "Ada" not in there
    assert "You have not told me your name" in third


def test_memory_survives_a_restart(memory):
    async def scene(text):
        async with demo(memory) as gateway:
            return await ask(gateway, text)

    assert "demo gateway" in asyncio.run(scene("my name is Ada"))
    recalled = asyncio.run(scene("who am I?"))
    assert "Ada" in recalled and "message 2" in recalled
    assert "demo gateway" not in recalled


def test_a_turn_that_is_stopped_is_not_remembered_and_the_next_one_starts_at_once(memory):
    async def scene():
        async with demo(memory, pace=0.002) as gateway:
            assert len(await first_words(gateway, "my name is Ada")) == 3
            began = time.monotonic()
            return await ask(gateway, "who am I?"), time.monotonic() - began

    said, seconds = asyncio.run(scene())
    assert "You have not told me your name" in said and "message 1 " in said
    assert "demo gateway" in said
    assert seconds < 1


def test_silence_does_not_keep_a_stopped_run_alive(memory):
    async def scene():
        async with demo(memory, pace=0.01) as gateway:  # two seconds of silence
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await ask(gateway, "be silent")
            began = time.monotonic()
            await first_words(gateway, "hello")
            return time.monotonic() - began

    known(memory)
    assert asyncio.run(scene()) < 1


def test_turns_sent_along_are_heard_too(memory):
    lost = [user("my name is Ada"), {"role": "assistant", "content": "I will [stopped]"}]

    async def scene():
        async with demo(memory) as gateway:
            return await ask(gateway, "who am I?", before=lost)

    said = asyncio.run(scene())
    assert "“my name is Ada”" in said and "message 2" in said


def test_one_session_answers_in_the_order_it_was_asked_and_another_does_not_wait_for_it(memory):
    questions = [("be silent", HERE), ("remember heron", HERE), ("what do you remember?", HERE), ("who am I?", THERE)]
    ended = []

    async def timed(gateway, text, key):
        said = await ask(gateway, text, key)
        ended.append(text)
        return said

    async def scene():
        async with demo(memory, pace=0.002) as gateway, asyncio.TaskGroup() as together:
            for text, key in questions:
                task = together.create_task(timed(gateway, text, key))
                tasks.append(task)
                await asyncio.sleep(0.03)

    tasks = []
    known(memory, HERE)
    known(memory, THERE)
    asyncio.run(scene())
    assert ended == ["who am I?", "be silent", "remember heron", "what do you remember?"]
    assert "- heron" in tasks[2].result() and "message 4" in tasks[2].result()


def test_short_full_and_capital_keys_are_one_session(memory):
    async def scene():
        async with demo(memory) as gateway:
            async with aiohttp.ClientSession(headers=headers_of("")) as client:
                for key in ("WebChat-x", "webchat-x", "agent:main:webchat-X"):
                    request = client.post(
                        f"{gateway.url}/v1/chat/completions",
                        json=turn("what do you remember?", model="openclaw"),
                        headers={"x-openclaw-session-key": key},
                    )
                    async with request as response:
                        said = (await response.json())["choices"][0]["message"]["content"]
            return said

    assert "message 3" in asyncio.run(scene())


def test_a_session_that_is_reset_has_forgotten_and_the_others_have_not(memory):
    async def scene():
        async with demo(memory) as gateway:
            await ask(gateway, "my name is Ada", HERE)
            await ask(gateway, "my name is Grace", THERE)
            answer = await invoke(gateway, reset_of(f"agent:main:{HERE}", agentId="main"))
            return answer, [await ask(gateway, "who am I?", key) for key in (HERE, THERE)]

    (status, answer), (here, there) = asyncio.run(scene())
    said = {"ok": True, "key": f"agent:main:{HERE}"}
    assert (status, answer["ok"]) == (200, True)
    assert json.loads(answer["result"]["content"][0]["text"]) == answer["result"]["details"] == said
    assert "You have not told me your name" in here and "message 1 " in here
    assert "Grace" in there


def test_a_turn_that_runs_during_a_reset_brings_no_memory_back(memory):
    async def scene():
        async with demo(memory, pace=0.002) as gateway:
            async with aclosing(gateway.stream([user("remember heron")], HERE, "main", Reply())) as running:
                await anext(running)
                await invoke(gateway, reset_of(HERE))
                assert [piece async for piece in running], "it went on"
            return await ask(gateway, "what do you remember?")

    store = Memory(memory)
    store.keep(f"agent:main:{HERE}", Session(facts=["my name is Ada"]))
    store.close()
    said = asyncio.run(scene())
    assert "not asked me to remember anything" in said and "message 1 " in said


def test_our_own_reset_reaches_it_from_a_thread_of_its_process(memory, settings, monkeypatch):
    async def scene():
        async with demo(memory) as gateway:
            monkeypatch.setattr(tools, "demo", (gateway.url, TOKEN))
            for key in ("main", HERE):
                await ask(gateway, "my name is Ada", key)
                await asyncio.to_thread(tools.reset_session, key, "main")
            return [await ask(gateway, "who am I?", key) for key in ("main", HERE)]

    settings.OPENCLAW_GATEWAY_URL = ""
    assert all("You have not told me your name" in said for said in asyncio.run(scene()))


def test_serve_lets_its_own_process_reach_it(settings, tmp_path, monkeypatch):
    async def scene():
        service = Service(print)
        await service.begin_demo()
        try:
            await asyncio.to_thread(tools.reset_session, HERE, "main")
        finally:
            await service.demo.stop()

    settings.OPENCLAW_GATEWAY_URL, settings.DATA = "", tmp_path
    monkeypatch.setattr(tools, "demo", None)
    asyncio.run(scene())


# --- the wire


def test_a_stream_is_framed_as_the_real_one(memory):
    async def scene():
        async with demo(memory) as gateway:
            return await post(gateway, turn(stream=True, stream_options={"include_usage": True}))

    status, form, text = asyncio.run(scene())
    assert (status, form) == (200, "text/event-stream; charset=utf-8")
    *events, nothing = text.split("\n\n")
    assert nothing == "" and events.pop() == "data: [DONE]"
    first, *middle, last, usage = [json.loads(event.removeprefix("data: ")) for event in events]
    assert first["choices"] == [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]
    assert len(middle) > 20 and all(chunk["choices"][0]["delta"]["content"] for chunk in middle)
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert usage["choices"] == [] and usage["usage"]["total_tokens"] > usage["usage"]["prompt_tokens"] > 0
    assert re.fullmatch(r"chatcmpl_[0-9a-f-]{36}", first["id"])
    same = {(chunk["id"], chunk["model"], chunk["object"]) for chunk in (first, *middle, last, usage)}
    assert same == {(first["id"], f"openclaw:{HERE}", "chat.completion.chunk")}


def test_without_the_wish_there_is_no_usage_chunk(memory):
    async def scene():
        async with demo(memory) as gateway:
            return await post(gateway, turn(stream=True))

    assert '"usage"' not in asyncio.run(scene())[2]


def test_the_role_is_sent_at_once_also_while_the_turn_waits_in_line(memory):
    async def scene():
        async with (
            demo(memory, pace=60) as gateway,
            aiohttp.ClientSession(headers=headers_of(HERE)) as client,
        ):
            began = time.monotonic()
            async with AsyncExitStack() as both:
                for _ in range(2):
                    request = client.post(f"{gateway.url}/v1/chat/completions", json=turn(stream=True))
                    response = await both.enter_async_context(request)
                    assert b'"role": "assistant"' in await response.content.readline()
                return time.monotonic() - began

    assert asyncio.run(scene()) < 1


def test_without_a_stream_the_answer_is_one_document(memory):
    async def scene():
        async with demo(memory) as gateway:
            return await post(gateway, turn("help"))

    status, _, text = asyncio.run(scene())
    document = json.loads(text)
    assert (status, document["object"]) == (200, "chat.completion")
    assert document["choices"][0]["message"]["role"] == "assistant"
    assert document["choices"][0]["finish_reason"] == "stop" and document["usage"]["total_tokens"] > 0


def test_our_client_learns_the_run_and_its_usage(memory):
    async def scene():
        async with demo(memory) as gateway:
            reply = Reply()
            text = "".join([piece async for piece in gateway.stream([user("code")], HERE, "main", reply)])
            return text, reply

    text, reply = asyncio.run(scene())
    assert reply.upstream_id.startswith("chatcmpl_") and reply.usage["total_tokens"] > 0
    assert reply.characters == len(text) and reply.malformed == 0
    assert 'return f"Hello, {name}!"' in text


@pytest.mark.parametrize("token", ["wrong", "", "dемо-token"])
def test_a_wrong_token_is_refused(memory, token):
    async def scene():
        async with demo(memory) as gateway:
            status, _, text = await post(gateway, turn(), token=token)
            tool = await invoke(gateway, reset_of(HERE), token)
            return [(status, json.loads(text)), await get(gateway, "/v1/models", token), tool]

    answers = asyncio.run(scene())
    assert [status for status, _ in answers] == [401] * 3
    chat, models, tool = [answer for _, answer in answers]
    assert chat == models == tool == {"error": {"message": "Unauthorized", "type": "unauthorized"}}


def test_our_client_reports_a_wrong_token(memory):
    async def scene():
        async with demo(memory) as gateway:
            stranger = Gateway(gateway.url, "wrong")
            try:
                await ask(stranger, "hello")
            finally:
                await stranger.close()

    with pytest.raises(AuthRefused):
        asyncio.run(scene())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (turn(), f"Unknown agent '{HERE}'."),
        (turn(model="agent:webchat-1"), "Unknown agent 'webchat-1'."),
        (turn(model="gpt-4o"), "Invalid `model`. Use `openclaw` or `openclaw/<agentId>`."),
        (turn(model="openclaw:main:webchat-1"), "Invalid `model`. Use `openclaw` or `openclaw/<agentId>`."),
        (turn(model="openclaw", messages=[]), "Missing user message in `messages`."),
        (turn(model="openclaw", messages="hello"), "Missing user message in `messages`."),
        ([], "The body is not a JSON object."),
    ],
)
def test_what_the_real_one_refuses_is_refused(memory, body, message):
    async def scene():
        async with demo(memory) as gateway:
            return await post(gateway, body, key="")

    status, _, text = asyncio.run(scene())
    assert status == 400
    assert json.loads(text)["error"] == {"message": message, "type": "invalid_request_error"}


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        ({"tool": "exec"}, 404, "not_found", "Tool not available: exec"),
        ([], 404, "not_found", "Tool not available: "),
        (reset_of(HERE, tool="sessions_list"), 404, "not_found", "Tool not available: sessions_list"),
        ({"tool": "sessions", "args": {"action": "delete"}}, 400, "tool_error", "Unknown action: delete"),
        ({"tool": "sessions", "args": 1, "action": "reset"}, 400, "tool_error", "sessionKey required"),
        (reset_of("agent:main:main"), 400, "tool_error", "Cannot reset the session running this tool"),
    ],
)
def test_a_tool_call_that_the_real_one_refuses_is_refused(memory, body, status, kind, message):
    async def scene():
        async with demo(memory) as gateway:
            return await invoke(gateway, body)

    assert asyncio.run(scene()) == (status, {"ok": False, "error": {"message": message, "type": kind}})


@pytest.mark.parametrize("model", ["", "openclaw", "openclaw/default", "OpenClaw:main", "agent:main"])
def test_a_model_that_names_the_agent_needs_no_headers(memory, model):
    async def scene():
        async with demo(memory) as gateway:
            return await post(gateway, turn(model=model), key="")

    assert asyncio.run(scene())[0] == 200


def test_a_reserved_key_is_refused_and_our_client_says_why(memory):
    async def scene():
        async with demo(memory) as gateway:
            status, _, text = await post(gateway, turn(), key="cron:x")
            assert status == 400 and "reserved internal session namespaces" in text
            await ask(gateway, " ")

    with pytest.raises(Rejected, match="Missing user message"):
        asyncio.run(scene())


def test_the_models_are_listed_and_its_health_needs_no_token(memory):
    async def scene():
        async with demo(memory) as gateway:
            return [
                await get(gateway, "/v1/models"),
                await get(gateway, "/healthz", ""),
                await get(gateway, "/readyz", ""),
            ]

    (_, models), *health = asyncio.run(scene())
    assert [model["id"] for model in models["data"]] == ["openclaw", "openclaw/default", "openclaw/main"]
    assert [status for status, _ in health] == [200, 200]


@pytest.mark.parametrize("rounds", range(6))
def test_a_connection_that_comes_while_it_stops_is_not_left_open(memory, rounds):
    async def scene():
        server = DemoGateway(memory, TOKEN)
        port = int((await server.start()).rpartition(":")[2])
        with closing(socket.create_connection(("127.0.0.1", port))) as client:
            for _ in range(rounds):
                await asyncio.sleep(0)
            await server.stop()
            client.settimeout(5)
            with suppress(ConnectionError):
                assert client.recv(1) == b"", "the server has closed it"

    asyncio.run(scene())


def test_it_serves_on_loopback_only_and_stops_with_a_reply_running(memory, monkeypatch):
    monkeypatch.setattr("sessions_core.demo.wire.DRAIN", 0.05)

    async def scene():
        server = DemoGateway(memory, TOKEN, 60)
        url = await server.start()
        gateway = Gateway(url, TOKEN)
        await gateway.ready()
        asking = asyncio.create_task(ask(gateway, "hello"))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await server.stop()
        stopped = time.monotonic() - began
        await asyncio.gather(asking, return_exceptions=True)
        await gateway.close()
        return url, stopped

    url, stopped = asyncio.run(scene())
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert stopped < 1
