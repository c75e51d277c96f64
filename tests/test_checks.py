"""What a start refuses because it would show somebody what is not theirs."""

import socket
import subprocess
import sys

import pytest
from django.core.management.base import CommandError

from chatapp import checks
from tests.server import ROOT, own_environment

pytestmark = pytest.mark.thorough

EVERYWHERE, HERE = ("0.0.0.0", "::", "", "192.168.7.7"), ("127.0.0.1", "::1", "localhost")


def manage(*command, data, **env):
    env = own_environment(WEBCHAT_DATA=str(data), **env)
    done = subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("host", EVERYWHERE)
def test_debug_is_refused_where_others_could_reach_it(settings, host):
    settings.DEBUG = True
    with pytest.raises(CommandError, match="DEBUG shows settings and source"):
        checks.refuse_unsafe(host)


@pytest.mark.parametrize("host", HERE)
def test_debug_is_for_this_machine(settings, host):
    settings.DEBUG = True
    checks.refuse_unsafe(host)
    settings.PUBLIC_URL = "http://localhost:8000"
    checks.refuse_unsafe(host)


def test_debug_is_refused_behind_a_proxy_too(settings, monkeypatch):
    settings.DEBUG, settings.PUBLIC_URL = True, "https://203.0.113.7"
    with pytest.raises(CommandError, match="without PUBLIC_URL"):
        checks.refuse_unsafe("127.0.0.1")


@pytest.mark.parametrize("key", ["short", "x" * 49, "ab" * 40])
def test_a_secret_key_that_can_be_guessed_is_refused_and_not_shown(settings, key):
    settings.SECRET_KEY = key
    with pytest.raises(CommandError, match="SECRET_KEY can be guessed") as refused:
        checks.refuse_unsafe()
    assert key not in str(refused.value)


@pytest.mark.parametrize("url", ["http://8.8.8.8:18789", "http://[2001:4860:4860::8888]", "http://[::ffff:8.8.8.8]"])
def test_the_token_is_not_sent_over_the_internet_in_the_clear(settings, url):
    settings.OPENCLAW_GATEWAY_URL = url
    with pytest.raises(CommandError, match="would send the gateway's token"):
        checks.refuse_unsafe()
    settings.OPENCLAW_GATEWAY_URL = url.replace("http", "https")
    checks.refuse_unsafe()


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "[fd00::7]", "100.101.102.103", "localhost"])
def test_plain_http_is_for_private_networks(settings, host):
    settings.OPENCLAW_GATEWAY_URL = f"http://{host}:18789"
    checks.refuse_unsafe()


@pytest.mark.parametrize(("address", "refused"), [("8.8.4.4", True), ("10.0.0.9", False), (None, False)])
def test_a_name_is_judged_by_what_it_stands_for(settings, monkeypatch, address, refused):
    def look_up(host, *_, **__):
        if address is None:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    settings.OPENCLAW_GATEWAY_URL = "http://gateway.example.org"
    if refused:
        with pytest.raises(CommandError, match=r"to gateway\.example\.org"):
            checks.refuse_unsafe()
    else:
        checks.refuse_unsafe()


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("relay",)])
def test_neither_process_starts_so(tmp_path, command):
    code, said = manage(*command, data=tmp_path, SECRET_KEY="secret")
    assert (code, "SECRET_KEY can be guessed" in said, "Traceback" in said) == (1, True, False)
    assert not (tmp_path / "webchat.sqlite3").exists()


def test_serve_looks_at_where_it_listens(tmp_path):
    code, said = manage("serve", "--port", "0", "--host", "0.0.0.0", data=tmp_path, DEBUG="true")
    assert (code, "DEBUG shows" in said) == (1, True)


def test_django_finds_nothing_to_warn_of_with_an_https_address(tmp_path):
    code, said = manage(
        "check", "--deploy", "--fail-level", "WARNING", data=tmp_path, PUBLIC_URL="https://chat.example.org"
    )
    assert (code, "WARNINGS" in said) == (0, False), said
