"""The gateway's sessions as this app takes care of them, on the real thing: deleted with their chats, taken out of the
archive, adopted, labelled."""

import json
import sqlite3
import subprocess
import sys
import uuid
from urllib.parse import quote

import pytest

from sessions_core.gateway import tools
from tests.server import ROOT, own_environment, wait_until

from .test_gateway_facts import RECALL, call, deltas


@pytest.fixture(autouse=True)
def gateway(openclaw, settings):
    """For what this process asks the gateway itself."""
    settings.OPENCLAW_GATEWAY_URL = openclaw.url
    settings.OPENCLAW_GATEWAY_TOKEN = openclaw.token


def known(search):
    return [session["key"] for session in tools.listed_sessions(search=search)]


def archive(key):
    found = tools.find_session(key, "main")
    which = {"sessionKey": found["key"], "expectedSessionId": found["sessionId"]}
    tools.invoke_tool("sessions", {"action": "patch", "archived": True} | which)
    assert tools.find_session(key, "main")["archived"] is True


def test_a_chat_deleted_for_good_is_gone_on_the_gateway_with_all_its_memories(server, ada):
    chat, other = ada.chat("remember: teal"), ada.chat("remember: pink")
    chat.reply(timeout=120)
    other.reply(timeout=120)
    chat.do("reset")
    chat.say("remember: blue")
    chat.reply(2, timeout=120)
    archive(chat.key)
    assert sorted(known(chat.key)) == [f"agent:main:{chat.key}", f"agent:main:{chat.key}-c2"]
    chat.do("delete")
    chat.do("purge")
    wait_until(lambda: not known(chat.key), 60)
    wait_until(lambda: not server.rows("select * from sessions_core_leftover"), 10)
    assert known(other.key) == [f"agent:main:{other.key}"]


def test_a_session_that_the_gateway_archived_answers_and_has_heard_it_once(ada, provider):
    chat = ada.chat("remember: teal")
    chat.reply(timeout=120)
    archive(chat.key)
    chat.say(RECALL)
    assert chat.reply(2, timeout=120) == "Facts: teal. I saw 2 user and 1 assistant turns."
    assert tools.find_session(chat.key, "main")["archived"] is False
    assert len(provider.requests_of(chat.key)) == 2


def elsewhere(openclaw, key, text):
    """As a channel of the gateway's would."""
    headers = {"x-openclaw-agent-id": "main", "x-openclaw-session-key": key}
    body = {"model": "openclaw/main", "messages": [{"role": "user", "content": text}], "stream": True}
    with call(openclaw, "POST", "/v1/chat/completions", body, headers) as response:
        return "".join(deltas(response))


def manage(server, *words):
    env = own_environment(WEBCHAT_DATA=str(server.data), **(server.env | {"LOG_LEVEL": "ERROR"}))
    done = subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=env, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_a_session_of_the_gateway_becomes_a_chat_with_its_memory_and_its_history(openclaw, server, ada, provider):
    key = f"agent:main:telegram:direct:{uuid.uuid4().hex}"
    elsewhere(openclaw, key, "remember: teal")
    elsewhere(openclaw, key, "remember: pink")
    assert key in manage(server, "sessions", "adopt", "--user", "ada", "--list")
    assert "Adopted" in manage(server, "sessions", "adopt", "--user", "ada", key)
    page = ada.get(f"/chat/?session={quote(key)}").text
    assert "remember: pink" in page and "Noted: teal." in page
    chat = ada.talk(uuid.UUID(server.rows("select id from sessions_core_chat")[0]["id"]))
    chat.say(RECALL)
    assert chat.reply(3, timeout=120) == "Facts: teal; pink. I saw 3 user and 2 assistant turns."
    assert "is a chat already" in manage(server, "sessions", "adopt", "--user", "ada", key)
    chat.do("reset", confirm=1)
    chat.say(RECALL)
    assert "Facts: none." in chat.reply(4, timeout=120)
    chat.do("delete")
    chat.do("purge")
    assert tools.find_session(key, "main"), "it is the gateway's"


def test_a_session_whose_chat_was_lost_is_adopted_under_its_own_key(server, ada):
    chat = ada.chat("remember: teal")
    chat.reply(timeout=120)
    for table in ("message", "chatevent", "chat"):
        forget(server, table, chat.pk)
    assert "Adopted" in manage(server, "sessions", "adopt", "--user", "ada", f"agent:main:{chat.key}")
    assert "Noted: teal." in ada.get(f"/chat/?session={chat.key}").text
    chat.say(RECALL)
    assert chat.reply(2, timeout=120) == "Facts: teal. I saw 2 user and 1 assistant turns."


def forget(server, table, pk):
    column = "id" if table == "chat" else "chat_id"
    with sqlite3.connect(server.data / "webchat.sqlite3", timeout=10) as database:
        if table == "message":
            database.execute("update sessions_core_message set parent_id = null where chat_id = ?", (pk.hex,))
        database.execute(f"delete from sessions_core_{table} where {column} = ?", (pk.hex,))


def test_sessions_are_labelled_on_the_gateway_as_they_are_called_here(openclaw, make_server):
    server = make_server(openclaw, GATEWAY_LABELS="1")
    name = f"Norway {uuid.uuid4().hex[:6]}"
    ada = server.first_account()
    first, second = ada.chat(f"About {name}"), ada.chat("hello")
    first.reply(timeout=120)
    second.reply(timeout=120)
    wait_until(lambda: tools.find_session(first.key, "main").get("label") == f"About {name}", 60)
    second.do("rename", title=f"About {name}!")
    wait_until(lambda: tools.find_session(second.key, "main").get("label") == f"About {name}!", 60)
    bob = server.invited("bob")
    third = bob.chat("hello")
    third.reply(timeout=120)
    third.do("rename", title=f"About {name}")
    wait_until(lambda: tools.find_session(third.key, "main").get("label") == f"About {name} (2)", 60)


def test_a_title_from_the_gateway_is_thought_of_outside_the_chats_memory(openclaw, make_server, provider):
    server = make_server(openclaw, CHAT_TITLES="gateway")
    chat = server.first_account().chat("remember: teal")
    chat.reply(timeout=120)
    asked = wait_until(lambda: [r for r in provider.requests if ":webchat-title-" in (r.session or "")], 60)
    assert "Write a title" in asked[-1].newest or "remember: teal" in "\n".join(asked[-1].user_texts)
    wait_until(lambda: not known("webchat-title-"), 60)
    chat.say(RECALL)
    assert chat.reply(2, timeout=120) == "Facts: teal. I saw 2 user and 1 assistant turns."


def test_the_gateways_side_is_told_by_a_command_and_on_the_server(server, ada):
    chat = ada.chat("remember: teal")
    chat.reply(timeout=120)
    archive(chat.key)
    chat.say("/session status")
    told = server.rows("select text from sessions_core_message where role = 'notice'")[0]["text"]
    assert "Model: fake-1" in told and "On the gateway: in its archive" in told, told
    assert manage(server, "gateway", "agents") == "main\n"
    assert chat.key in manage(server, "gateway", "sessions", "--search", chat.key)
    said = manage(server, "gateway", "tool", "sessions_list", f'{{"search": "{chat.key}", "archived": "all"}}')
    assert json.loads(said)["sessions"][0]["archived"] is True
    assert "does not offer its tool" in manage(server, "gateway", "tool", "exec")
