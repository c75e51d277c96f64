"""Rows for a benchmark, straight into the database of an installation that does not run yet.

python -m tests.bench.fill '{"people": 50, "chats": 1, "messages": 0}'        prints who they are
"""

import os
import random
import sys
from datetime import timedelta
from typing import Any

import django
import orjson

WORDS = ["amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "island", "lagoon", "meadow", "river", "summit"]
RARE, EVERY_RARE = "zymurgy", 5000  # one message in so many has it
LENGTH = 60  # words
LONG_CHAT = 1000  # messages in the newest chat
BATCH = 2000


def everything(people: int, chats: int, messages: int) -> list[dict[str, Any]]:
    """So many people, each with so many chats and messages; who they are and which chat is each one's newest."""
    from chatapp import prepare
    from sessions_core.models import User

    prepare.database(lambda line: None)
    prepare.static_files(lambda line: None)
    made = User.objects.bulk_create([User(username=f"person-{n}", password="!") for n in range(people)])
    return [person_of(user, session_of(user), chats_of(user, chats, messages)) for user in made]


def person_of(user: Any, session: str, chat: Any) -> dict[str, Any]:
    return {"user": user.pk, "session": session, "chat": str(chat.pk), "key": chat.key}


def session_of(user: Any) -> str:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return store.session_key


def chats_of(user: Any, count: int, messages: int) -> Any:
    from django.utils import timezone

    from sessions_core.models import Chat
    from sessions_core.models.names import folded

    now, chats = timezone.now(), []
    for n in range(count):
        title = f"{WORDS[n % 12].title()} {WORDS[n // 12 % 12]} {n}"
        chat = Chat(owner=user, title=title, title_key=folded(title), last_active_at=now - timedelta(minutes=10 * n))
        chat.openclaw_session_key = f"webchat-{chat.pk}"
        chats.append(chat)
    Chat.objects.bulk_create(chats, batch_size=BATCH)
    say(chats, messages)
    return chats[0]


def say(chats: list[Any], messages: int) -> None:
    """The newest chat is a long one; the others share the rest."""
    first = min(messages, LONG_CHAT) // 2 * 2
    each = (messages - first) // max(1, len(chats) - 1) // 2 * 2
    talk(chats[:1], first)
    for start in range(1, len(chats), BATCH):
        talk(chats[start : start + BATCH], each)


def talk(chats: list[Any], length: int) -> None:
    from sessions_core.models import Message

    asked = Message.objects.bulk_create(
        [line(chat, seq, "user", "sent") for chat in chats for seq in range(1, length, 2)], batch_size=BATCH
    )
    replies = [line(question.chat, question.seq + 1, "assistant", "done", question) for question in asked]
    Message.objects.bulk_create(replies, batch_size=BATCH)


def line(chat: Any, seq: int, role: str, state: str, parent: Any = None) -> Any:
    from chatapp.markdown import VERSION
    from sessions_core.models import Message

    text = " ".join(random.choices(WORDS, k=LENGTH))
    if random.randrange(EVERY_RARE) == 0:
        text += f" {RARE}"
    html = f"<p>{text}</p>" if role == "assistant" else ""
    fields = {"chapter": 1, "key_number": 1, "parent": parent, "html": html, "html_version": VERSION if html else 0}
    return Message(chat=chat, seq=seq, role=role, state=state, text=text, **fields)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatapp.settings")
    django.setup()
    random.seed(1)
    sys.stdout.buffer.write(orjson.dumps(everything(**orjson.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
