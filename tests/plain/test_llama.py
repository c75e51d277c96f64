"""The whole app in front of a real model: it is small and says little that is true, so what counts is what it was sent.

How much that was, the server counts itself: the tokens of the prompt are stored with each reply.
"""

import asyncio
import json
import subprocess
import sys

import pytest

from sessions_core import gateway as wire
from tests.server import ROOT, Server, own_environment, wait_until

from .llama import NAME

CONTEXT = 512
LONG = "amber basin cedar " * 24  # 432 characters; about a hundred tokens
TIMES = 6  # it does not fit


def settings_for(llama, **more):
    return {
        "OPENCLAW_GATEWAY_URL": llama.url,
        "GATEWAY_KIND": "openai",
        "GATEWAY_MODEL": NAME,
        "GATEWAY_CONTEXT_TOKENS": str(CONTEXT),
    } | more


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(llama, **more):
        servers.append(Server(tmp_path / "data", **settings_for(llama, **more)).start())
        return servers[-1]

    yield start
    for server in servers:
        server.end()


def answer(talk, number):
    """The text of a reply; it takes its time."""
    return talk.reply(number, timeout=240).strip()


def prompts(talk):
    """The tokens of what went out for each reply, as the server counted them."""
    return [usage["prompt_tokens"] for usage in usages(talk)]


def usages(talk):
    rows = talk.person.server.rows(
        "select usage from sessions_core_message where chat_id = ? and usage is not null order by seq", talk.pk.hex
    )
    return [json.loads(row["usage"]) for row in rows]


def error_of(talk):
    sql = "select error_text from sessions_core_message where chat_id = ? and error_text <> ''"
    (row,) = talk.person.server.rows(sql, talk.pk.hex)
    return row["error_text"]


def test_it_answers_remembers_forgets_and_remembers_again(serve, llama):
    ada = serve(llama).first_account()
    talk = ada.chat("My name is Ada and I live in Ulm.")
    assert answer(talk, 1)
    talk.say("Where do I live?")
    assert answer(talk, 2)
    first, second = usages(talk)
    # The second question went out with the first and its whole answer.
    assert second["prompt_tokens"] > first["prompt_tokens"] + first["completion_tokens"]
    other = ada.chat("Where do I live?")
    assert answer(other, 1)
    alone = prompts(other)[0]
    assert alone < first["prompt_tokens"] + 10 < second["prompt_tokens"]

    talk.do("reset")
    talk.do("unreset")
    talk.say("Where do I live?")
    answer(talk, 3)
    assert prompts(talk)[2] > second["prompt_tokens"]
    talk.do("reset")
    talk.say("Where do I live?")
    answer(talk, 4)
    assert prompts(talk)[3] == alone


def test_what_does_not_fit_any_more_stays_here_and_the_rest_is_answered(serve, llama):
    talk = serve(llama).first_account().chat(f"One: {LONG}")
    for number in range(1, TIMES + 1):
        assert answer(talk, number)
        if number < TIMES:
            talk.say(f"Again: {LONG}")
    sent = prompts(talk)
    alone = sent[0]
    assert alone * TIMES > CONTEXT, "all of it together would have been too much"
    assert alone * 1.5 < max(sent) < CONTEXT, "one earlier question at least"


def test_stop_closes_the_connection_and_the_model_falls_silent(serve, endless):
    talk = serve(endless).first_account().chat("Count to a thousand.")
    wait_until(lambda: talk.replies and len(talk.replies[0]["text"]) > 10, 120)
    assert endless.is_generating()
    talk.do("stop")
    cut = talk.reply(1, "stopped")
    assert cut.strip()
    wait_until(lambda: not endless.is_generating(), 30)


def test_a_server_that_is_down_is_named_and_asked_again_later(serve, llama_folder, llama, tmp_path):
    server = serve(llama)
    llama.stop()
    try:
        talk = server.first_account().chat("Hello")
        talk.reply(1, "failed")
        assert error_of(talk) == "The assistant's gateway cannot be reached."
        assert doctor(server)["gateway"]["remedy"] == "Check OPENCLAW_GATEWAY_URL, and that the server runs."
    finally:
        llama.start()
    (failed,) = talk.replies
    talk.do("retry", message=failed["id"])
    assert answer(talk, 2)


def doctor(server, **env):
    env = own_environment(WEBCHAT_DATA=str(server.data), **server.env | env)
    command = [sys.executable, "manage.py", "doctor", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    return {finding["name"]: finding for finding in json.loads(done.stdout)}


def test_doctor_proves_it_and_names_the_models_when_the_model_is_wrong(serve, llama):
    server = serve(llama)
    found = doctor(server)
    told = {name: found[name]["state"] for name in ("gateway", "model", "context", "reply")}
    assert told == {"gateway": "ok", "model": "ok", "context": "ok", "reply": "ok"}
    wrong = doctor(server, GATEWAY_MODEL="llama9")
    assert wrong["model"]["says"] == f"It has no model “llama9”; it has: {NAME}."
    assert wrong["model"]["remedy"] == "Set GATEWAY_MODEL to one of them."


def test_more_than_the_model_takes_is_refused_with_what_to_do(llama):
    async def ask():
        client = wire.Gateway(llama.url, "", wire.Plain(NAME))
        try:
            async for _ in client.stream([{"role": "user", "content": LONG * 9}], "", "", wire.Reply()):
                pass
        finally:
            await client.close()

    with pytest.raises(wire.ContextFull, match=r"set GATEWAY_CONTEXT_TOKENS .* tokens"):
        asyncio.run(ask())
