"""How many queries what a person does often takes, counted inside the app on the rows of an installation.

python -m tests.bench.queries '{"session": …, "chat": …, "key": …}'
"""

import os
import sys
import uuid
from functools import partial
from typing import Any

import django
import orjson


def counted(person: dict[str, Any]) -> dict[str, int]:
    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"Host": "localhost", "HX-Request": "true"})

    def send(chat: str) -> Any:
        return client.post(f"/chats/{chat}/messages/", fields_of(chat))

    client.cookies[settings.SESSION_COOKIE_NAME] = person["session"]
    steps = {
        "chat page": lambda: client.get("/chat/", {"session": person["key"]}),
        "sidebar": lambda: client.get("/chats/list/"),
        "submit": partial(client.post, f"/chats/{person['chat']}/messages/", fields_of(person["chat"])),
    }
    send(another_chat(person))  # the first message of a minute opens its counters
    found = {}
    for name, step in steps.items():
        with CaptureQueriesContext(connection) as queries:
            assert step().status_code == 200, name
        found[name] = len([query for query in queries if is_query(query["sql"])])
    return found


def fields_of(chat: str) -> dict[str, str]:
    """As a page sends them that has everything."""
    from chatapp import listing
    from sessions_core.models import Chat

    here = Chat.objects.get(pk=chat)
    place = {"after": str(here.last_seq()), "face": listing.face(here)}
    return {"text": "paced 1 50", "client_id": str(uuid.uuid4())} | place


def another_chat(person: dict[str, Any]) -> str:
    from sessions_core.models import Chat

    return str(Chat.objects.filter(owner=person["user"]).exclude(pk=person["chat"])[0].pk)


def is_query(sql: str) -> bool:
    """A transaction's frame costs no look at the rows."""
    return not sql.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "PRAGMA"))


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatapp.settings")
    django.setup()
    sys.stdout.buffer.write(orjson.dumps(counted(orjson.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
