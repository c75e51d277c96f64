"""The calls. Thin, as the pages are: find the person's own session, let the domain do it, show what became of it."""

import json
from typing import Any, NoReturn

from django.core.exceptions import ObjectDoesNotExist
from django.db import OperationalError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from ninja import NinjaAPI, Query, Router
from ninja.errors import HttpError, ValidationError
from ninja.operation import Operation
from ninja.parser import Parser
from ninja.responses import Status

from sessions_core import errors
from sessions_core.errors import Refusal
from sessions_core.models import Chat, Message
from sessions_core.models.names import MAIN, checked_name
from sessions_core.text import clean_text

from ..requests import Request, acting
from ..views import older_than
from . import refusals, shapes
from .auth import BearerToken, SessionCookie

CODES = {400: "not_json", 401: "not_signed_in", 403: "csrf"}


class StrictJson(Parser):
    """No NaN, no key twice, nothing so deep or so long that reading it is an attack: any of it raises ValueError."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            return json.loads(request.body.decode(), object_pairs_hook=once_each, parse_constant=no_number)
        except RecursionError:
            raise ValueError from None


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError
    return found


def no_number(name: str) -> NoReturn:
    raise ValueError(name)


def refused_by_library(request: HttpRequest, error: HttpError) -> HttpResponse:
    """It knows three reasons: a body that is no JSON, nobody who calls, and a change without the CSRF token."""
    words = "The body is not valid JSON in UTF-8." if error.status_code == 400 else str(error)
    if error.status_code == 401 and str(error) == "Unauthorized":
        words = "Sign in, or send a token: Authorization: Bearer <token>. The account page makes one."
    answer = refusals.refusal(error.status_code, CODES[error.status_code], words)
    if error.status_code == 401:
        answer["WWW-Authenticate"] = "Bearer"
    return answer


def not_valid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """The first thing that is wrong with what was sent, never what was sent."""
    first = error.errors[0]
    named = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "data", "which", "where")]
    field = ".".join(named)[: refusals.LONGEST_FIELD] or None
    words = first["msg"].removeprefix("Value error, ")
    return refusals.refusal(422, "invalid", f"{field}: {words}." if field else f"{words}.", field)


HANDLERS: dict[type[Exception], Any] = {
    Refusal: refusals.refused,
    ObjectDoesNotExist: refusals.not_there,
    HttpError: refused_by_library,
    ValidationError: not_valid,
    OperationalError: refusals.busy,
    Exception: refusals.failed,
}


class Api(NinjaAPI):
    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__


api = Api(
    title="OpenClaw WebChat",
    version="1",
    description="Your sessions, for programs. docs/api.md explains the calls with examples.",
    docs_url=None,
    openapi_url=None,
    auth=[BearerToken(), SessionCookie()],
    parser=StrictJson(),
)
for kind, handler in HANDLERS.items():
    api.add_exception_handler(kind, handler)
router = Router(by_alias=True)


def answers(shape: Any, *errors: int, status: int = 200) -> dict:
    """What a call may answer; each may find nobody or nonsense."""
    return {status: shape} | dict.fromkeys(sorted({401, 403, 422, *errors}), shapes.Problem)


def own(request: Request) -> QuerySet[Chat]:
    running = Exists(Message.objects.running().filter(chat=OuterRef("pk")))
    return Chat.objects.for_user(request.user).select_related("based_on").annotate(running=running)


def find(request: Request, key: str) -> Chat:
    """By key, name, old name or `main`; Chat.DoesNotExist is answered with the one 404."""
    return Chat.objects.for_user(request.user).called(key)


def shown(request: Request, chat: Chat) -> shapes.Session:
    found: Any = own(request).get(pk=chat.pk)
    return shapes.Session.of(found, running=found.running)


def schema() -> dict[str, Any]:
    return api.get_openapi_schema(path_prefix=reverse("api", args=["docs"]).removesuffix("docs"))


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request):
    return JsonResponse(schema())


@router.get("/sessions", response=answers(shapes.Sessions), summary="List your sessions")
def list_sessions(request: Request, which: Query[shapes.Which]):
    chats: Any = own(request).filter(archived_at__isnull=not which.archived)
    if which.q:
        chats = chats.matching(which.q)
    if which.persistent is not None:
        chats = chats.filter(persistent=which.persistent)
    page = chats.recent()[which.offset : which.offset + which.limit]
    listed = [shapes.Session.of(chat, running=chat.running) for chat in page]
    return shapes.Sessions(sessions=listed, total=chats.count(), limit=which.limit, offset=which.offset)


@router.post("/sessions", response=answers(shapes.Session, 400, 404, 409, 429, status=201), summary="Make a session")
def create_session(request: Request, data: shapes.NewSession):
    source = find(request, data.based_on) if data.based_on is not None else None
    if data.persistent and data.wanted is None:
        raise errors.BadName("A persistent session needs a name.")
    chat = Chat.objects.start(
        request.user,
        by=acting(request, source="api"),
        id=data.session_id,
        title="" if data.wanted is None else checked_name(data.wanted),
        persistent=data.persistent is not False,
        agent=data.agent or (source.agent if source else ""),
        based_on=source,
    )
    return Status(201, shown(request, chat))


@router.get("/sessions/{key}", response=answers(shapes.Session, 404), summary="Look at a session")
def get_session(request: Request, key: str):
    return shown(request, find(request, key))


@router.patch("/sessions/{key}", response=answers(shapes.Session, 400, 404, 409), summary="Change a session")
def change_session(request: Request, key: str, data: shapes.SessionChanges):
    """All of it or, when one part is refused, nothing."""
    chat, by = find(request, key), acting(request, source="api")
    with transaction.atomic():
        if data.wanted is not None:
            chat.rename(data.wanted, by)
        for verb, on in ((chat.protect, data.persistent), (chat.pin, data.pinned), (chat.archive, data.archived)):
            if on is not None:
                verb(on, by)
    return shown(request, chat)


@router.delete("/sessions/{key}", response=answers(None, 404, status=204), summary="Move a session to the trash")
def delete_session(request: Request, key: str):
    find(request, key).trash(acting(request, source="api"))
    return Status(204, None)


@router.post("/sessions/{key}/reset", response=answers(shapes.Session, 404, 409, 502), summary="Start a new chapter")
def reset_session(request: Request, key: str, data: shapes.Reset | None = None):
    """The agent forgets, the words stay to read. A persistent session refuses."""
    chat = find(request, key)
    chat.reset(acting(request, source="api"), confirmed=bool(data and data.confirm))
    return shown(request, chat)


@router.post("/sessions/{key}/undo-reset", response=answers(shapes.Session, 404, 409), summary="Undo a reset")
def undo_reset(request: Request, key: str):
    """Until the new chapter has a message."""
    chat = find(request, key)
    chat.undo_reset(acting(request, source="api"))
    return shown(request, chat)


@router.post(
    "/sessions/{key}/restore", response=answers(shapes.Session, 404, 409), summary="Take a session out of the trash"
)
def restore_session(request: Request, key: str):
    """By its key only: several in the trash may have had the same name."""
    deleted = Chat.objects.trash_of(request.user).filter(openclaw_session_key=None if key == MAIN else clean_text(key))
    chat = deleted.order_by("deleted_at").last()
    if chat is None:
        raise Chat.DoesNotExist
    chat.restore(acting(request, source="api"))
    return shown(request, chat)


@router.get("/sessions/{key}/messages", response=answers(shapes.Turns, 404), summary="Read a session's messages")
def get_messages(request: Request, key: str, where: Query[shapes.Where]):
    """The newest ones, or those before a place. Ask again to follow a reply that is being written."""
    chat = find(request, key)
    conversation = chat.conversation(before=where.before)[-where.limit :]
    pending = [] if where.before else list(chat.messages.pending())
    return shapes.Turns(
        messages=[shapes.Turn.of(message) for message in conversation],
        pending=[shapes.Turn.of(message) for message in pending],
        older=older_than(conversation),
    )


@router.post(
    "/sessions/{key}/messages", response=answers(shapes.Sent, 400, 404, 409, status=202), summary="Send a message"
)
def send_message(request: Request, key: str, data: shapes.NewMessage):
    """Answers at once; the reply is written meanwhile, and read with GET. A slash command is answered by a notice."""
    message = find(request, key).receive(data.text, data.client_id, acting(request, source="api"))
    reply = message.versions.exclude(role=Message.Role.USER).order_by("version", "pk").last()
    answered = shapes.Reply(id=reply.pk, state=reply.state) if reply else None
    return Status(202, shapes.Sent(message=shapes.Turn.of(message), reply=answered))


api.add_router("", router)
