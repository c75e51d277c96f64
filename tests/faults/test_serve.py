"""`manage.py serve` as a process: what it says when it cannot, and how it ends."""

import asyncio
import signal
import socket
import subprocess
import sys

import aiohttp
import pytest

from tests.server import ROOT, Server, own_environment


def serve(*arguments, **env):
    """Exit code and what was said of a `serve` that is not to run."""
    command = [sys.executable, "manage.py", "serve", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=own_environment(**env), capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "data").start()
    yield server
    server.end()


def test_a_busy_port_is_named_with_the_next_one_to_try(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        code, said = serve("--port", str(port), WEBCHAT_DATA=str(tmp_path))
    assert code == 1
    assert f"Port {port} is in use already" in said and f"--port {port + 1}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "words"), [(("--port", "99999"), "no port"), (("--host", "192.0.2.1"), "no address")]
)
def test_a_senseless_address_is_refused_in_a_sentence(tmp_path, arguments, words):
    code, said = serve(*arguments, WEBCHAT_DATA=str(tmp_path))
    assert (code, words in said, "Traceback" in said) == (1, True, False)


def test_a_data_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    code, said = serve(WEBCHAT_DATA=str(tmp_path / "file" / "data"))
    assert code == 1
    assert "cannot be written" in said and "WEBCHAT_DATA" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PUBLIC_URL", "chat.example.org"), ("PUBLIC_URL", "https://h/path"), ("ALLOWED_HOSTS", "*")),
        *(("DATABASE_URL", "postgres://127.0.0.1:1/x"), ("OPENCLAW_GATEWAY_URL", "gateway:1")),
        *(("OPENCLAW_GATEWAY_URL", "http://u:p@127.0.0.1:1"), ("OPENCLAW_GATEWAY_URL", "http://169.254.169.254")),
        *(("TRUSTED_PROXIES", "nonsense"), ("OPENCLAW_AGENT_ID", "Not an id")),
        *(("PUBLIC_URL", "http://[::1"), ("PUBLIC_URL", "https://u:p@h"), ("OPENCLAW_GATEWAY_URL", "http://h:99999")),
        *(("TIME_ZONE", "Mars/X"), ("LOG_LEVEL", "loud"), ("DATABASE_URL", "foo://x"), ("DEBUG", "maybe")),
        *(("SESSION_PROTECT_MAIN", "ture"), ("SESSION_TTL_DAYS", "0.5"), ("SESSION_TTL_DAYS", "3")),
        *(("SESSION_MAX_PER_USER", "-1"), ("SESSION_CREATE_RATE", "often"), ("REDIS_URL", "http://x")),
        ("OPENCLAW_GATEWAY_TOKEN_FILE", "/nowhere/token"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_in_a_sentence(tmp_path, name, value):
    code, said = serve("--port", "0", WEBCHAT_DATA=str(tmp_path), **{name: value})
    assert code == 1
    assert "Traceback" not in said
    assert name in said or "database cannot be opened" in said


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_and_pages_hear_that_it_restarts(server, how):
    person = server.first_account()

    async def scenario():
        cookies = {cookie["name"]: cookie["value"] for cookie in person.cookies}
        async with (
            aiohttp.ClientSession(cookies=cookies) as http,
            http.ws_connect(f"{server.url}/ws/", origin=server.url) as page,
        ):
            await page.send_str('{"type":"ping","t":1}')
            assert (await page.receive_json())["type"] == "pong"
            server.process.send_signal(how)
            async with asyncio.timeout(15):
                await page.receive()
            return page.close_code

    assert asyncio.run(scenario()) == 1012
    assert server.process.wait(timeout=15) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_second_start_makes_no_first_account_and_keeps_the_secret_key(server):
    person = server.first_account()
    assert server.stop() == 0
    server.start()
    assert person.get("/chat/").status_code == 200
    assert "first-account" not in server.log.read_text().split("Stopped.")[1]


def test_an_idle_connection_does_not_hold_up_the_end(server):
    with socket.create_connection(("127.0.0.1", server.port)) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\n")
        assert server.stop() == 0


def test_the_data_folder_and_the_key_are_for_their_owner_only(server):
    assert server.data.stat().st_mode & 0o077 == 0
    assert (server.data / "secret_key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["ha#sh", "qu?x=1", "per%41cent", "with space", "Überall"])
def test_any_folder_may_hold_the_data_and_only_its_owner_reads_it(tmp_path, name):
    (tmp_path / name).mkdir(mode=0o755)
    server = Server(tmp_path / name).start()
    try:
        server.first_account()
        files = [file for file in (tmp_path / name).iterdir() if file.is_file()]
        assert {file.name for file in files} >= {"webchat.sqlite3", "secret_key"}
        assert [file.name for file in files if file.stat().st_mode & 0o077] == []
        assert "Copying" not in server.log.read_text()
    finally:
        server.end()


def test_secrets_come_from_files_and_are_taken_as_they_are(tmp_path):
    token = tmp_path / "token"
    token.write_text("$dollar#hash\n")
    code = (
        "import chatapp.settings as s; print(s.OPENCLAW_GATEWAY_TOKEN, s.SECRET_KEY, s.PUBLIC_URL, s.OPENCLAW_AGENT_ID)"
    )
    file = tmp_path / "env"
    file.write_text("PUBLIC_URL=https://Chat.Example.org:443/  # where it is\nOPENCLAW_AGENT_ID=work   # the agent\n")
    env = own_environment(
        WEBCHAT_DATA=str(tmp_path / "data"), OPENCLAW_GATEWAY_TOKEN_FILE=str(token), SECRET_KEY="$x" * 30
    )
    said = subprocess.check_output(
        [sys.executable, "-c", code], cwd=ROOT, env=env | {"WEBCHAT_ENV_FILE": str(file)}, text=True
    )
    assert said.split() == ["$dollar#hash", "$x" * 30, "https://chat.example.org", "work"]
