"""All of a chat but its keys, in plain JSON types. A message's number in the list is its place."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from django.db.models import F

from ..models import Chat, Message

FORMAT, VERSION = "openclaw-webchat", 1
MAIN_TITLE = "Main session"  # elsewhere it is a chat like any other


def as_json(chats: Iterable[Chat]) -> bytes:
    return orjson.dumps(as_data(chats), option=orjson.OPT_INDENT_2)


def as_data(chats: Iterable[Chat]) -> dict[str, Any]:
    return {"format": FORMAT, "version": VERSION, "chats": [chat_data(chat) for chat in chats]}


def chat_data(chat: Chat) -> dict[str, Any]:
    messages = list(in_order(chat))
    numbers = {message.pk: number for number, message in enumerate(messages, 1)}
    return {
        "title": chat.title or (MAIN_TITLE if chat.is_main else ""),
        "chosen": chat.named,
        "old_names": list(chat.past_titles.order_by("pk").values_list("title_key", flat=True)),
        "key": chat.key,
        "agent": chat.agent,
        "persistent": chat.persistent,
        "pinned": chat.pinned,
        "archived_at": as_time(chat.archived_at),
        "chapter": chat.chapter,
        "draft": chat.draft,
        "created_at": as_time(chat.created_at),
        "last_active_at": as_time(chat.last_active_at),
        "messages": [message_data(message, numbers) for message in messages],
    }


def in_order(chat: Chat):
    """As they stand in the conversation, then what waits to be sent."""
    return chat.messages.defer("html").order_by(F("seq").asc(nulls_last=True), "pk")


def message_data(message: Message, numbers: dict[int, int]) -> dict[str, Any]:
    thought = {"thinking": message.thinking} if message.thinking else {}
    elsewhere = {"origin": message.origin} if message.origin else {}
    failed = message.error_code or message.error_text
    parent = numbers.get(message.parent_id or 0)
    edited = message.role == Message.Role.USER
    return {
        "chapter": message.chapter,
        "role": message.role,
        "state": message.state,
        "text": message.text_so_far()[0] if message.running else message.text,
        **thought,
        **elsewhere,
        "version": message.version,
        "answers": None if edited else parent,
        "edits": parent if edited else None,
        "parts": message.parts,
        "error": {"code": message.error_code, "text": message.error_text} if failed else None,
        "usage": message.usage,
        "created_at": as_time(message.created_at),
        "first_delta_at": as_time(message.first_delta_at),
        "ended_at": as_time(message.ended_at),
    }


def as_time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
