"""A real browser in front of a real `serve`, with the scripted gateway behind it."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, expect

from tests import parts
from tests.browser.screen import Held
from tests.fake_gateway import FakeGateway
from tests.server import PASSWORD, Person, Server

WITHIN = 15_000  # ms
QUIET = ("background-networking", "component-update", "sync", "quic")  # what a browser does unasked

expect.set_options(timeout=WITHIN)
numbers = itertools.count(1)


@pytest.fixture(scope="session")
def base_url():
    """Each context has its own; the plugin's fixture of this name is one that pytest 9 warns of."""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in QUIET)]
    return browser_type_launch_args | {"executable_path": parts.chromium(), "args": flags}


# --- the app


@dataclass
class App:
    """A server with its gateway and its administrator."""

    server: Server
    gateway: FakeGateway
    admin: Person | None = None

    def person(self) -> Person:
        """Somebody new, signed in from an address of her own: more from one in an hour would be refused."""
        number = next(numbers)
        name = f"person{number}"
        self.admin = self.admin or self.server.first_account()
        self.admin.post("/admin/sessions_core/user/add/", username=name, password1=PASSWORD, password2=PASSWORD)
        person = Person(self.server)
        person.http.headers["X-Forwarded-For"] = f"10.0.{number // 250}.{number % 250}"
        person.post("/login/", username=name, password=PASSWORD)
        assert "webchat" in person.http.cookies, "signing in did not work"
        return person


@contextmanager
def running_app(data: Path, **env: str) -> Iterator[App]:
    with FakeGateway() as gateway:
        env = {"OPENCLAW_GATEWAY_URL": gateway.url, "OPENCLAW_GATEWAY_TOKEN": gateway.token} | env
        server = Server(data, TRUSTED_PROXIES="127.0.0.1", **env)
        try:
            yield App(server.start(), gateway)
        finally:
            gateway.stop()  # first, so that the server's drain waits for no held reply
            server.end()


@pytest.fixture(scope="session")
def app(tmp_path_factory):
    with running_app(tmp_path_factory.mktemp("app") / "data") as app:
        yield app


@pytest.fixture
def own_app(app, tmp_path):
    """For tests that kill the server or the gateway, or need an app without any account."""
    with running_app(copied(app, tmp_path)) as app:
        yield app


def copied(app: App, folder: Path) -> Path:
    """A data folder for another app, with the files that take seconds to make."""
    shutil.copytree(app.server.data / "static", folder / "data" / "static")
    return folder / "data"


@pytest.fixture
def gateway(app):
    return app.gateway


@pytest.fixture
def person(app):
    return app.person()


@pytest.fixture
def held():
    """Makes replies that are let go at the end, also when the test fails."""
    made = []

    def held(*pieces, **options):
        made.append(Held(*pieces, **options))
        return made[-1]

    yield held
    for reply in made:
        reply.rest()


# --- the browser


@dataclass
class Watch:
    """What no page may do: break its policy, raise an error, open a dialog, ask another host for anything."""

    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    asked: list[str] | None = None  # what dialogs asked, where a test lets them, and
    agrees: bool = True  # its answer

    def over(self, context: BrowserContext, host: str) -> None:
        self.hosts.add(host)
        context.on("console", self._said)
        context.on("weberror", lambda found: self.complaints.append(f"page error: {found.error}"))
        context.on("request", self._asked)
        context.on("dialog", self._dialog)

    def _said(self, message) -> None:
        if "Content Security Policy" in message.text:
            self.complaints.append(message.text)

    def _asked(self, request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.netloc not in self.hosts:
            self.complaints.append(f"request to another host: {request.url}")

    def _dialog(self, dialog) -> None:
        """A test that reloads a page before its message is taken is asked, on a slow machine only."""
        if self.asked is None and dialog.type == "beforeunload":
            return dialog.accept()
        if self.asked is None:
            self.complaints.append(f"dialog: {dialog.message}")
        else:
            self.asked.append(dialog.message or dialog.type)
        if self.asked and self.agrees:
            dialog.accept()
        else:
            dialog.dismiss()


@pytest.fixture(autouse=True)
def watch():
    watch = Watch()
    yield watch
    assert not watch.complaints


@pytest.fixture
def visit(new_context, watch):
    """Opens a page in a browser of its own, signed in as a person; None: as nobody."""

    def visit(person, path="/chat/", *, server=None, **options):
        address = (server or person.server).url
        context = new_context(base_url=address, **options)
        context.set_default_timeout(WITHIN)
        watch.over(context, urlsplit(address).netloc)
        if person:
            context.add_cookies(person.cookies)
        page = context.new_page()
        page.goto(path)
        return page

    return visit
