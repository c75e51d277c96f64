"""What goes in and out, in camelCase; `/api/docs` is made from this."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from django.conf import settings
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, model_validator
from pydantic.alias_generators import to_camel

from sessions_core.models import Chat, Message
from sessions_core.models.reading import PAGE
from sessions_core.text import join_surrogates

MOST_LISTED = 200
LEFT_OUT: Any = None  # the value of a field that was not sent; sent, null is of the wrong type

Text = Annotated[StrictStr, BeforeValidator(lambda value: join_surrogates(value) if isinstance(value, str) else value)]


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


# --- In


class Body(Shape):
    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class Named(Body):
    name: Text = Field(LEFT_OUT, description="1 to 100 visible characters; no two of your sessions share one.")
    label: Text = Field(LEFT_OUT, description="The same as name, as OpenClaw calls it.")

    @model_validator(mode="after")
    def one_name(self) -> "Named":
        if self.name is not None and self.label is not None and self.name != self.label:
            raise ValueError("name and label say the same; give one of them")
        return self

    @property
    def wanted(self) -> str | None:
        return self.label if self.name is None else self.name


class NewSession(Named):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Travel"}]})

    session_id: uuid.UUID = Field(LEFT_OUT, description="An id of your making: the same again is the same session.")
    based_on: Text = Field(LEFT_OUT, description="Key or name of a session of yours to go on from.")
    agent: Text = Field("", description="Which of the gateway's agents answers; else yours, or the server's.")
    persistent: StrictBool = Field(LEFT_OUT, description="Protected from being reset: with a name, unless false.")


class SessionChanges(Named):
    model_config = ConfigDict(json_schema_extra={"examples": [{"persistent": False}]})

    persistent: StrictBool = Field(LEFT_OUT, description="Protected from being reset.")
    pinned: StrictBool = Field(LEFT_OUT, description="First in the list.")
    archived: StrictBool = Field(LEFT_OUT, description="Out of the list; a message brings it back.")


class Reset(Body):
    confirm: StrictBool = Field(False, description="Needed for main, which all who have it share.")


class NewMessage(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "When does my train leave?"}]})

    text: Text = Field(description=f"At most {settings.MESSAGE_MAX_LENGTH:,} characters.")
    client_id: uuid.UUID = Field(LEFT_OUT, description="An id of your making: the same again is the same message.")


class Which(Shape):
    q: str = Field("", description="Only sessions with this in their name.")
    persistent: bool = Field(LEFT_OUT, description="Only protected ones, or only others.")
    archived: bool = Field(False, description="Those in the archive, instead of those in the list.")
    limit: int = Field(50, ge=1, le=MOST_LISTED)
    offset: int = Field(0, ge=0, le=1_000_000)


class Where(Shape):
    before: int = Field(LEFT_OUT, ge=1, le=1_000_000_000, description="Only messages before this place (seq).")
    limit: int = Field(PAGE, ge=1, le=PAGE)


# --- Out


class Session(Shape):
    key: str = Field(description="Its address, and the name of its memory on the gateway; main for the main session.")
    session_id: uuid.UUID
    name: str = Field(description="What a person reads in the list.")
    label: str | None = Field(description="The name somebody chose; null while it has an automatic one.")
    agent: str
    persistent: bool
    pinned: bool
    archived: bool
    running: bool = Field(description="Whether a reply is being written.")
    chapter: int = Field(description="Counts resets, from 1.")
    based_on: str | None = Field(description="Key of the session it went on from, while that is yours.")
    created_at: datetime
    last_active_at: datetime

    @classmethod
    def of(cls, chat: Chat, *, running: bool) -> "Session":
        kept = ("key", "name", "agent", "persistent", "pinned", "chapter", "created_at", "last_active_at")
        return cls(
            session_id=chat.pk,
            label=chat.title if chat.named else None,
            archived=chat.archived_at is not None,
            running=running,
            based_on=source_of(chat),
            **{name: getattr(chat, name) for name in kept},
        )


def source_of(chat: Chat) -> str | None:
    source = chat.based_on
    return source.key if source and source.owner_id == chat.owner_id and source.deleted_at is None else None


class Sessions(Shape):
    sessions: list[Session]
    total: int
    limit: int
    offset: int


class Failure(Shape):
    code: str
    message: str


class Turn(Shape):
    id: int
    role: str = Field(description="user, assistant or notice.")
    state: str = Field(
        description="A reply: waiting, streaming, then done, stopped, failed or interrupted. "
        "A message: sent; or queued or held while another reply is written."
    )
    text: str = Field(description="Markdown; of a reply that streams, what there is of it.")
    seq: int | None = Field(description="Its place; null while it waits in line.")
    chapter: int
    version: int = Field(description="Counts the answers to the same message, and what it was edited to, from 1.")
    reply_to: int | None = Field(None, description="Of a reply: the id of the message it answers.")
    version_of: int | None = Field(None, description="Of an edited message: the id of the one first sent.")
    origin: str = Field("", description="Where it was said, if not here: Telegram, OpenClaw, a sub-agent, …")
    client_id: uuid.UUID | None
    error: Failure | None = Field(description="Why a reply failed, was interrupted or was cut short.")
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, message: Message) -> "Turn":
        kept = ("id", "role", "state", "seq", "chapter", "version", "origin", "client_id", "created_at", "ended_at")
        fields: dict[str, Any] = {name: getattr(message, name) for name in kept}
        failure = Failure(code=message.error_code, message=message.error_text) if message.error_code else None
        text = message.text_so_far()[0] if message.running else message.text
        edited = message.role == Message.Role.USER
        fields["version_of" if edited else "reply_to"] = message.parent_id
        return cls(text=text, error=failure, **fields)


class Turns(Shape):
    messages: list[Turn] = Field(description="Oldest first, everything in its newest version.")
    pending: list[Turn] = Field(description="Messages that wait in line; they have no place yet.")
    older: int | None = Field(description="Give it as before to get what came earlier; null at the beginning.")


class Reply(Shape):
    id: int
    state: str


class Sent(Shape):
    message: Turn
    reply: Reply | None = Field(description="Null while the message waits in line.")


class Refused(Shape):
    code: str = Field(description="For programs; it stays when the words change.")
    message: str = Field(description="For people: the words the page would show.")
    field: str | None = Field(description="The field it is about, if any.")


class Problem(Shape):
    error: Refused
