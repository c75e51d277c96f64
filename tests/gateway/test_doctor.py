"""`manage.py doctor` on the real thing: what it prints about a gateway as it comes out of the box is what mends it."""

import json
import re
import subprocess
import sys

from sessions_core.gateway import about
from tests.loops import beside
from tests.server import ROOT, own_environment

from .openclaw import version

LINE = re.compile(r"openclaw\.json: (\".*)$")


def doctor(server):
    """Its findings by name, and what it exits with."""
    env = own_environment(WEBCHAT_DATA=str(server.data), **server.env)
    command = [sys.executable, "manage.py", "doctor", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400)
    assert done.stdout, done.stderr
    return {finding["name"]: finding for finding in json.loads(done.stdout)}, done.returncode


def red(findings):
    return {name for name, finding in findings.items() if finding["state"] == "bad"}


def yellow(findings):
    """But for whether text streams: the scripted model says its two words at once."""
    return {name for name, finding in findings.items() if finding["state"] == "note"} - {"reply"}


def applied(config, findings):
    """The configuration with all lines that were printed."""
    for finding in findings:
        if found := LINE.search(finding["remedy"]):
            config = merged(config, json.loads("{" + found[1] + "}"))
    return config


def merged(config, more):
    if not (isinstance(config, dict) and isinstance(more, dict)):
        return more
    return config | {name: merged(config.get(name), value) for name, value in more.items()}


def out_of_the_box(config):
    """With no more than it takes to run here."""
    gateway = {name: value for name, value in config["gateway"].items() if name != "http"}
    defaults = {name: value for name, value in config["agents"]["defaults"].items() if name != "heartbeat"}
    return config | {"gateway": gateway, "agents": {"defaults": defaults}, "tools": {}, "session": {}}


def test_out_of_the_box_it_is_red_and_with_the_lines_that_are_printed_it_is_green(openclaw, changed, make_server):
    changed(**out_of_the_box(openclaw.config))
    server = make_server(openclaw)
    found, code = doctor(server)
    assert (code, red(found)) == (1, {"gateway", "privacy", "archive"})

    changed(**applied(openclaw.config, [found["gateway"]]))
    found, code = doctor(server)
    assert (code, red(found)) == (1, {"privacy", "archive"})
    assert "sessions_history, sessions_search" in found["privacy"]["says"], "seen, not read from the configuration"
    assert yellow(found) == {"heartbeat", "notices"}
    assert version() in found["release"]["says"]

    changed(**applied(openclaw.config, found.values()))
    found, code = doctor(server)
    assert (code, red(found), yellow(found)) == (0, set(), set())
    assert {"reply", "memory", "apart", "privacy", "management", "archive", "reset", "heartbeat"} < found.keys()


def test_it_leaves_no_session_behind_and_asks_every_agent_in_a_session_of_its_own(openclaw, changed, make_server):
    agents = openclaw.config["agents"] | {"list": [{"id": "main", "default": True}, {"id": "helper"}]}
    session = openclaw.config["session"] | {"reset": {"mode": "daily"}}
    changed(agents=agents, session=session)
    server = make_server(openclaw)
    found, _ = doctor(server)
    assert found["agents"]["state"] == "ok" and "helper" in found["agents"]["says"]
    assert found["management"]["state"] == "ok"
    assert red(found) == {"reset"}, found
    assert '{"reset": {"mode": "none"}}' in found["reset"]["remedy"]


def test_its_configuration_is_told_without_its_secrets(openclaw, settings):
    settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN = openclaw.url, openclaw.token
    config = beside(about.configuration)
    assert config["session"]["maintenance"]["mode"] == "warn"
    assert openclaw.token not in json.dumps(config)
    assert about.release() == version()
