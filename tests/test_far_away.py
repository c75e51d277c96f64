"""A gateway on another machine: whom we believe to be it, and what is said where the way to it is at fault."""

import asyncio
import os
import socket
import socketserver
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from sessions_core import gateway as wire
from sessions_core.gateway import connection, tools
from tests.certificates import Authority
from tests.fake_gateway import MODELS, TOOLS, FakeGateway, answer, status

pytestmark = pytest.mark.thorough

PROXIED = status(
    403,
    body={
        "error": {
            "message": "Proxy client attribution is required. Configure gateway.trustedProxies narrowly.",
            "type": "proxy_attribution_required",
        }
    },
)


def talk(gateway):
    """As the relay does."""

    async def conversation():
        client = wire.Gateway(gateway.url, gateway.token)
        try:
            turns = [{"role": "user", "content": "hello"}]
            return "".join([text async for text in client.stream(turns, "webchat-1", "main", wire.Reply())])
        finally:
            await client.close()

    return asyncio.run(conversation())


def look(gateway):
    return " ".join(tools.listed_agents())


WAYS = pytest.mark.parametrize("way", [talk, look])


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def far(settings):
    """A gateway behind https with what it shows."""
    running = []

    def far(tls):
        gateway = FakeGateway(tls=tls)
        gateway.script(None, answer("Here I am."))
        gateway.start()
        running.append(gateway)
        settings.OPENCLAW_GATEWAY_URL = gateway.url
        settings.OPENCLAW_GATEWAY_TOKEN = gateway.token
        return gateway

    yield far
    for gateway in running:
        gateway.stop()


@WAYS
def test_the_authority_that_is_named_is_believed(far, authority, settings, way):
    settings.OPENCLAW_GATEWAY_CA = str(authority.file)
    assert way(far(authority.server())) in ("Here I am.", "main")


@WAYS
@pytest.mark.parametrize("named", [False, True])
def test_one_that_is_not_known_is_refused_with_what_to_set(far, authority, tmp_path, settings, way, named):
    settings.OPENCLAW_GATEWAY_CA = str(Authority(tmp_path, "Somebody else").file) if named else ""
    gateway = far(authority.server())
    with pytest.raises(wire.Unreachable, match="has to set OPENCLAW_GATEWAY_CA to its authority's file") as refusal:
        way(gateway)
    assert ("in OPENCLAW_GATEWAY_CA;" in str(refusal.value)) == named
    assert not gateway.requests, "the token did not go out"


@WAYS
@pytest.mark.parametrize("name", ["gateway.example.org", "127.0.0.2"])
def test_a_certificate_for_another_name_is_refused_with_what_to_set(far, authority, settings, way, name):
    settings.OPENCLAW_GATEWAY_CA = str(authority.file)
    with pytest.raises(wire.Unreachable, match="set OPENCLAW_GATEWAY_URL to a name that stands in it"):
        way(far(authority.server(name)))


@WAYS
def test_one_that_has_expired_says_so(far, authority, settings, way):
    settings.OPENCLAW_GATEWAY_CA = str(authority.file)
    with pytest.raises(wire.Unreachable, match="has expired; an administrator has to renew it"):
        way(far(authority.server(ends=-timedelta(hours=1))))


@pytest.fixture
def without_tls():
    """What a server of plain HTTP says to whoever begins to speak TLS."""

    class Refusing(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(4096)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        yield SimpleNamespace(url=f"https://127.0.0.1:{server.server_address[1]}", token="token")
        server.shutdown()


@WAYS
def test_one_that_does_not_speak_tls_is_told_with_what_to_set(without_tls, settings, way):
    settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN = without_tls.url, without_tls.token
    with pytest.raises(wire.Unreachable, match="has to begin OPENCLAW_GATEWAY_URL with http://"):
        way(without_tls)


@WAYS
@pytest.mark.parametrize(
    "says",
    [
        "<center>The plain HTTP request was sent to HTTPS port</center>",
        "Client sent an HTTP request to an HTTPS server.",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
)
def test_one_that_speaks_nothing_but_tls_too(fake_gateway, settings, way, says):
    settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.url, fake_gateway.token
    refusal = status(400, body=says)
    fake_gateway.script(None, [refusal])
    fake_gateway.instead = {MODELS: [refusal], TOOLS: [refusal]}
    with pytest.raises(wire.Unreachable, match="has to begin OPENCLAW_GATEWAY_URL with https://"):
        way(fake_gateway)


@WAYS
def test_a_proxy_that_the_gateway_does_not_know_is_told_with_what_to_set(fake_gateway, settings, way):
    settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.url, fake_gateway.token
    fake_gateway.script(None, [PROXIED])
    fake_gateway.instead = {MODELS: [PROXIED], TOOLS: [PROXIED]}
    with pytest.raises(wire.ThroughProxy, match=r"gateway\.trustedProxies of openclaw\.json") as refusal:
        way(fake_gateway)
    assert (refusal.value.code, refusal.value.safe_to_repeat) == ("gateway_config", False)


@WAYS
def test_nothing_we_send_says_that_we_ask_for_somebody_else(fake_gateway, settings, way):
    settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN = fake_gateway.url, fake_gateway.token
    way(fake_gateway)
    (request,) = fake_gateway.requests
    assert not {"x-forwarded-for", "x-real-ip", "forwarded", "x-forwarded-proto", "via", "origin"} & set(
        request.headers
    )


def test_a_connection_that_died_without_a_word_is_found_by_the_system_within_minutes():
    with connection.kept_alive((socket.AF_INET, socket.SOCK_STREAM, 0, "", ())) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, pause, tries = (
            made.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
    assert idle + pause * tries <= 180


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "which cannot be read: No such file or directory"),
        ("a key", "which is no file of certificates"),
        ("", "no file"),
    ],
)
def test_a_start_refuses_a_file_that_is_none(tmp_path, content, says):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    env = os.environ | {"OPENCLAW_GATEWAY_CA": str(file), "WEBCHAT_DATA": str(tmp_path), "WEBCHAT_ENV_FILE": os.devnull}
    started = subprocess.run(
        [sys.executable, "-c", "import chatapp.settings"],
        env=env,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert started.returncode == 1 and started.stderr.startswith(f"OPENCLAW_GATEWAY_CA names {file}, ")
    assert says in started.stderr and "Traceback" not in started.stderr
