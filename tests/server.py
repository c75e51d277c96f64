"""The app as an operator runs it: `manage.py serve` in a process of its own, started, killed and started again."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse 9 battery"
START_WITHIN = 60  # seconds; a busy machine


def own_environment(**settings: str) -> dict[str, str]:
    """This process's environment without any settings of the app but these."""
    known = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    ours = known | {f"{name}_FILE" for name in known}
    kept = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith(("WEBCHAT_", "DJANGO_"))}
    return kept | {"WEBCHAT_ENV_FILE": os.devnull} | settings


class Process:
    """A process of the app with its log; it can be killed and started again."""

    begun = ""  # what it prints, as a pattern, when it works
    carries = False  # replies

    def __init__(self, data: Path, *, faults: tuple[str, ...] = (), **env: str) -> None:
        self.data = data
        self.faults = faults  # words for tests.faulty, which this process is started through
        self.env = env
        self.database = env.get("DATABASE_URL", "")  # where the rows are read; not always the way the process takes
        self.process: subprocess.Popen | None = None
        self.log = data.parent / f"{data.name}-{type(self).__name__.lower()}-{uuid.uuid4().hex[:6]}.log"

    def command(self) -> list[str]:
        raise NotImplementedError

    @property
    def relays(self) -> bool:
        """Whether it runs and carries replies."""
        return self.carries and self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        unlimited = {"SESSION_CREATE_RATE": "", "MESSAGE_RATE": "", "REPLIES_PER_USER": "0"}
        env = own_environment(WEBCHAT_DATA=str(self.data), **(unlimited | self.env))
        begin = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            through = ["-m", "tests.faulty", *self.faults, "--"] if self.faults else ["manage.py"]
            command = [sys.executable, *through, *self.command()]
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        self.started(self._wait_for(self.begun, begin))
        return self

    def started(self, said: re.Match[str]) -> None:
        pass

    def _wait_for(self, pattern: str, begin: int) -> re.Match[str]:
        until = time.monotonic() + START_WITHIN
        while time.monotonic() < until:
            said = self.log.read_bytes()[begin:].decode()
            if (match := re.search(pattern, said)) and "Ctrl-C" in said:
                return match
            if self.process is None or self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"{self.command()[0]} did not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        """As when the plug is pulled."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def stop(self, within: float = 30) -> int:
        """As an operator does; gives the exit code."""
        assert self.process
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(timeout=within)

    def rows(self, sql: str, *values: object) -> list[dict]:
        """What the database says, read beside the running process."""
        if self.database:
            return postgres_rows(self.database, sql, values)
        with closing(sqlite3.connect(f"file:{self.data}/webchat.sqlite3?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(sql, values)]

    def end(self) -> None:
        """After the test: what it still writes is not waited for."""
        if self.process:
            self.kill()


def postgres_rows(url: str, sql: str, values: tuple[object, ...]) -> list[dict]:
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(url, row_factory=dict_row) as database:
        return database.execute(sql.replace("?", "%s"), values).fetchall()


class Server(Process):
    """A data folder and, while it runs, a process that serves it; the port stays the same over restarts."""

    begun = r"is at http://[\d.]+:(\d+)/"
    carries = True
    options: tuple[str, ...] = ()

    def __init__(self, data: Path, *, faults: tuple[str, ...] = (), **env: str) -> None:
        super().__init__(data, faults=faults, **env)
        self.port = free_port()
        self.people: list[Person] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return ["serve", "--port", str(self.port), *self.options]

    def started(self, said: re.Match[str]) -> None:
        self.port = int(said[1])

    def end(self) -> None:
        """The process and the connections to it."""
        for person in self.people:
            person.http.close()
        super().end()

    def first_account(self, name: str = "ada") -> "Person":
        path = re.search(r"(/first-account/\S+)", self.log.read_text())
        assert path, "no link was printed"
        person = Person(self)
        person.post(path[1], username=name, password1=PASSWORD, password2=PASSWORD)
        return person

    def invited(self, name: str) -> "Person":
        """Somebody more, as an operator lets people in."""
        env = own_environment(WEBCHAT_DATA=str(self.data), **self.env)
        command = [sys.executable, "manage.py", "users", "invite", name]
        said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
        path = re.search(r"(/account/link/\S+)", said)
        assert path, said
        person = Person(self)
        person.post(path[1], new_password1=PASSWORD, new_password2=PASSWORD)
        return person


class Pages(Server):
    """`serve --no-relay`."""

    carries = False
    options = ("--no-relay",)


class RelayProcess(Process):
    begun = "The relay works"
    carries = True

    def command(self) -> list[str]:
        return ["relay"]


class Person:
    """A browser without a screen: cookies, forms, and what the pages say."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.accepted: list[tuple[uuid.UUID, uuid.UUID, str]] = []  # chat, client id and text of what was acknowledged
        self.viewers: list[Any] = []  # pages of this person
        self.http = httpx2.Client(base_url=server.url, follow_redirects=True, timeout=30, trust_env=False)
        server.people.append(self)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.http.get(path, headers=headers)

    def post(self, path: str, **fields: object) -> httpx2.Response:
        if "csrf" not in self.http.cookies:
            self.http.get("/login/")
        token = {"X-CSRFToken": self.http.cookies["csrf"], "Origin": self.server.url}
        return self.http.post(path, data={k: str(v) for k, v in fields.items()}, headers=token)

    @property
    def cookies(self) -> list[dict]:
        """For Playwright's `add_cookies`."""
        host = urlsplit(self.server.url).hostname
        return [{"name": n, "value": v, "domain": host, "path": "/"} for n, v in self.http.cookies.items()]

    def talk(self, pk: uuid.UUID) -> "Talk":
        """In a chat that is there."""
        talk = Talk(self)
        talk.pk, talk.key = pk, f"webchat-{pk}"
        return talk

    def chat(self, text: str) -> "Talk":
        talk = Talk(self)
        talk.send("/chats/", text, id=talk.pk)
        return talk


class Talk:
    """One chat of a person; what it holds is read from the rows."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.pk = uuid.uuid4()
        self.key = f"webchat-{self.pk}"
        self.refusals: list[str] = []  # what was answered instead of taking a message

    def say(self, text: str, **fields: object) -> httpx2.Response:
        return self.send(f"/chats/{self.pk}/messages/", text, **fields)

    def send(self, path: str, text: str, **fields: object) -> httpx2.Response:
        fields = {"client_id": uuid.uuid4()} | fields
        answer = self.person.post(path, text=text, **fields)
        obeyed = path == "/chats/" and text.startswith("/")  # a command on the empty page is kept nowhere
        if answer.is_success and not answer.url.path.startswith("/login") and not obeyed:
            self.person.accepted.append((self.pk, uuid.UUID(str(fields["client_id"])), text))
        return answer

    def insist(self, text: str, within: float = 60) -> httpx2.Response:
        """As the page's outbox: the same again until somebody says that it is stored."""
        client_id = uuid.uuid4()
        return wait_until(
            lambda: self.tried(text, client_id), within, lambda: f"“{text}” was not taken: {self.refusals}"
        )

    def tried(self, text: str, client_id: uuid.UUID) -> httpx2.Response | None:
        """The answer, if it says that the message is stored."""
        before = len(self.person.accepted)
        try:
            answer = self.say(text, client_id=client_id)
        except httpx2.TransportError as error:
            self.refusals.append(repr(error))
        else:
            if len(self.person.accepted) > before:
                return answer
            self.refusals.append(f"{answer.status_code} at {answer.url.path}: {answer.text[:200]}")
        time.sleep(0.2)
        return None

    def do(self, action: str, **fields: object) -> httpx2.Response:
        answer = self.person.post(f"/chats/{self.pk}/{action}/", **fields)
        if action == "purge" and answer.is_success:
            self.person.accepted = [one for one in self.person.accepted if one[0] != self.pk]
        return answer

    @property
    def replies(self) -> list[dict]:
        """Oldest first, with the text as far as it is written."""
        rows = self.person.server.rows
        chat = (self.pk.hex,)
        deltas = rows(
            """select d.message_id, d.text from sessions_core_delta d
               join sessions_core_message m on m.id = d.message_id
               where m.chat_id = ? order by d.seq""",
            *chat,
        )
        messages = rows(
            """select id, state, error_code, text from sessions_core_message
               where chat_id = ? and role = 'assistant' order by seq""",
            *chat,
        )
        for message in messages:
            message["text"] += "".join(delta["text"] for delta in deltas if delta["message_id"] == message["id"])
        return messages

    def reply(self, number: int = 1, state: str = "done", timeout: float = 60) -> str:
        """The text of the reply with this number once it is in this state."""
        return wait_until(
            lambda: (
                len(self.replies) >= number and self.replies[number - 1]["state"] == state and self.replies[number - 1]
            ),
            timeout,
            lambda: f"{state} expected: {self.replies}\n{self.person.server.log.read_text()[-3000:]}",
        )["text"]


def wait_until(look: Callable[[], Any], timeout: float = 20, otherwise: Callable[[], str] = str) -> Any:
    until = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < until, otherwise()
        time.sleep(0.02)
    return found
