"""The proxy files of docs/operating.md, in front of real processes: what they promise is what they do."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fake_gateway import answer, words
from tests.ports import free_port
from tests.server import ROOT, Pages, wait_until
from tests.viewer import Viewer, staying

PAGE = (ROOT / "docs" / "operating.md").read_text()
SLOW = 300  # clients
LONG_DOWN = 2.5  # seconds: by then a proxy knows, and has forgotten what it found out by trying


class Behind(Pages):
    """Listens where the proxy looks for it, and says the proxy's address, so that people come through that."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.own_port = free_port()

    def command(self) -> list[str]:
        return ["serve", "--no-relay", "--port", str(self.own_port)]


def block(kind: str, number: int = 0) -> str:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[number]


def nginx(folder: Path, port: int, backends: list[int]) -> list[str]:
    """The files of the page, but without a certificate and on other ports."""
    site = (
        block("nginx").replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port};").replace("8001", str(backends[0]))
    )
    site = re.sub(r"\n    ssl_certificate.*;", "", site).replace("8002", str(backends[-1]))
    site = site.replace("listen 80;", f"listen 127.0.0.1:{free_port()};").replace("chat.example.org;", "127.0.0.1;")
    places = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"daemon off; pid {folder}/pid;\n{block('nginx', 1)}\nhttp {{ {places} access_log off; {site} }}"
    (folder / "nginx.conf").write_text(main)
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, port: int, backends: list[int]) -> list[str]:
    site = (
        block("caddyfile").replace("chat.example.org", f"http://127.0.0.1:{port}").replace("{\n", "{\n\tadmin off\n", 1)
    )
    (folder / "Caddyfile").write_text(site.replace("8001", str(backends[0])).replace("8002", str(backends[-1])))
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def pages(request, make_cluster, redis, tmp_path) -> Iterator[list[Behind]]:
    """Two processes with pages, and a relay, behind the proxy."""
    port, folder = free_port(), tmp_path / "proxy"
    cluster = make_cluster(REDIS_URL=redis.url, PUBLIC_URL=f"http://127.0.0.1:{port}", TRUSTED_PROXIES="127.0.0.1")
    pages = [cluster._run(Behind, ()), cluster._run(Behind, ())]
    cluster.relay()
    folder.mkdir()
    command = request.param(folder, port, [each.own_port for each in pages])
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as proxy:
        try:
            wait_until(lambda: answers(pages[0].url), 20, lambda: (folder / "log").read_text())
            yield pages
        finally:
            proxy.terminate()


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def test_a_reply_streams_through_the_proxy(pages, gateway):
    ada = pages[0].first_account()
    gateway.script(None, answer(words("seed", 300), pace=0.02))
    chat = ada.chat("Question")
    viewer = Viewer(chat)
    with staying(viewer):
        wait_until(lambda: viewer.shown and 200 < len(list(viewer.shown.values())[-1]) < len(words("seed", 300)))
        assert chat.replies[0]["state"] == "streaming"
        assert chat.reply() == words("seed", 300)
    assert viewer.jumped == 0 and viewer.connections == 1


def test_the_app_sees_who_comes_through_the_proxy_and_nobody_can_say_otherwise(pages):
    from_there = httpx2.HTTPTransport(local_address="127.0.0.2")
    with httpx2.Client(base_url=pages[0].url, transport=from_there, headers={"X-Forwarded-For": "192.0.2.9"}) as http:
        http.get("/login/")
        headers = {"X-CSRFToken": http.cookies["csrf"], "Origin": pages[0].url}
        assert http.post("/login/", data={"username": "eve", "password": "wrong"}, headers=headers).status_code == 400
        assert http.get("/metrics").status_code == 404
    keys = [row["key"] for row in pages[0].rows("select key from sessions_core_throttle")]
    addresses = {key.split("/")[1] for key in keys if key.startswith("login/")}
    assert addresses == {"127.0.0.2"}


def test_what_is_too_large_for_the_app_is_too_large_for_the_proxy(pages):
    ada = pages[0].first_account()
    answer = ada.http.post("/chats/import/", content=b"x" * 24_000_000)
    assert answer.status_code == 413


def test_pages_go_on_while_one_process_is_restarted(pages, gateway):
    ada = pages[0].first_account()
    chat = ada.chat("Question")
    chat.reply()
    viewer = Viewer(chat)
    with staying(viewer):
        wait_until(lambda: viewer.connections)
        for each in pages:
            assert each.stop() == 0
            assert ada.get("/chat/").status_code == 200
            assert chat.insist("And now?").status_code == 200
            time.sleep(LONG_DOWN)
            for n in range(3):
                assert chat.say(f"And {n}?").status_code == 200, "a message is not tried where nobody is"
            each.start()
            wait_until(lambda: len(chat.replies) % 4 == 1 and chat.replies[-1]["state"] == "done")


def test_three_hundred_slow_clients_do_not_keep_others_out(pages):
    ada = pages[0].first_account()
    port = int(pages[0].url.rpartition(":")[2])
    with ExitStack() as slow:
        for _ in range(SLOW):
            client = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-")
        for _ in range(20):
            assert ada.get("/chat/").status_code == 200
        with httpx2.Client(trust_env=False) as straight:
            assert straight.get(f"http://127.0.0.1:{pages[0].own_port}/healthz").status_code == 200
