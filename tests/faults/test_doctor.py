"""`manage.py doctor` beside a running app: green when all is well, and a remedy for each thing that is not."""

import json
import subprocess
import sys

from tests.fake_gateway import MODELS, answer, status
from tests.server import ROOT, own_environment


def doctor(server, **env):
    done = run_doctor(own_environment(WEBCHAT_DATA=str(server.data), **server.env | env))
    return done.returncode, named(done), done


def found_by_doctor(env):
    return named(run_doctor(env))


def run_doctor(env):
    command = [sys.executable, "manage.py", "doctor", "--json"]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


def named(done):
    return {finding["name"]: finding for finding in json.loads(done.stdout)}


def test_all_is_well(server, gateway):
    code, found, _ = doctor(server)
    proven = [
        "database",
        "disk",
        "clock",
        "relay",
        "pages",
        "websocket",
        "gateway",
        "release",
        "agent",
        "reply",
        "memory",
        "apart",
    ]
    states = dict.fromkeys([*proven, "privacy", "management"], "ok") | {"upkeep": "note"}
    assert {name: finding["state"] for name, finding in found.items()} == states, "the scripted one has no WebSocket"
    assert code == 0
    assert not [key for key in gateway.sessions.rows if "doctor" in key], "it leaves nothing behind"


def test_a_wrong_token_is_named_with_its_remedy_and_never_shown(server):
    code, found, done = doctor(server, OPENCLAW_GATEWAY_TOKEN="wrong-token-canary")
    assert code == 1
    assert "OPENCLAW_GATEWAY_TOKEN" in found["gateway"]["remedy"]
    assert "canary" not in done.stdout + done.stderr


def test_an_unknown_agent(server):
    _, found, _ = doctor(server, OPENCLAW_AGENT_ID="nobody")
    assert found["agent"]["state"] == "bad" and "main" in found["agent"]["says"]


def test_a_gateway_that_forgets(server, gateway):
    gateway.script(None, answer("Hello."))
    _, found, _ = doctor(server)
    assert found["memory"]["state"] == "bad" and "x-openclaw-session-key" in found["memory"]["remedy"]


def test_an_endpoint_that_is_not_enabled(server, gateway):
    gateway.instead[MODELS] = [status(404)]
    code, found, _ = doctor(server)
    assert code == 1 and "chatCompletions" in found["gateway"]["remedy"]


def test_nobody_serves(server):
    server.stop()
    code, found, _ = doctor(server)
    assert code == 1
    assert {found["relay"]["state"], found["pages"]["state"]} == {"bad"}
    assert "manage.py serve" in found["pages"]["remedy"]


def test_redis_that_is_not_there_and_one_that_is(server, redis):
    assert doctor(server, REDIS_URL="redis://127.0.0.1:1/0")[1]["redis"]["state"] == "bad"
    assert doctor(server, REDIS_URL=redis.url)[1]["redis"]["state"] != "bad"
