from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from sessions_core import errors, export, retention
from sessions_core.management.asking import READING, VERBS
from sessions_core.management.reaching import a_ready_database
from sessions_core.management.telling import (
    as_columns,
    as_found,
    as_lines,
    as_row,
    as_rows,
    counted,
    found_columns,
    named,
    printable,
    save,
    sentence,
)
from sessions_core.models import By, Chat, User
from sessions_core.models.adopting import adoptable, checked
from sessions_core.models.chats import ChatQuerySet
from sessions_core.models.names import KEY_PREFIX, MAIN, checked_name

BY = By(None, "cli")

ACTS: dict[str, tuple[str, Callable[[Chat, dict[str, Any]], None]]] = {
    "rename": ("Renamed", lambda chat, options: chat.rename(options["name"], BY)),
    "protect": ("Protected", lambda chat, options: chat.protect(True, BY)),
    "unprotect": ("Unprotected", lambda chat, options: chat.protect(False, BY)),
    "delete": ("Moved to the trash", lambda chat, options: chat.trash(BY)),
    "restore": ("Restored", lambda chat, options: chat.restore(BY)),
}


class Command(BaseCommand):
    help = "Sessions: what can be done with them in the app, for any account, by the same rules."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for name, (help_text, arguments) in VERBS.items():
            verb = verbs.add_parser(name, help=help_text, description=help_text)
            for argument, options in arguments:
                verb.add_argument(argument, **options)
            verb.add_argument("--user", metavar="NAME", help="Whose sessions.")
            verb.add_argument("--json", action="store_true", help="For machines.")
            if name not in READING:
                verb.add_argument("--dry-run", action="store_true", help="Only say what would be done.")

    def handle(self, *, verb: str, user: str | None, json: bool, dry_run: bool = False, **options: Any) -> None:
        self.verb, self.json, self.dry_run = verb, json, dry_run
        try:
            with a_ready_database():
                self.user = self.account(user) if user else None
                self.do(self.do_one if verb in ACTS else getattr(self, f"do_{verb}"), options)
        except errors.SharedByAll as refusal:
            raise CommandError(f"{printable(str(refusal))} --yes confirms it.") from None
        except errors.Refusal as refusal:
            raise CommandError(printable(str(refusal))) from None

    def do(self, act: Any, options: dict[str, Any]) -> None:
        """A dry run does all of it and takes it back."""
        if not self.dry_run or self.verb == "adopt":  # which would hold the database while the gateway is asked
            return act(**options)
        self.line("Dry run, nothing is changed:")
        with transaction.atomic():
            act(**options)
            transaction.set_rollback(True)

    # --- looking

    def do_list(self, *, persistent: bool, archived: bool, trash: bool, **_: Any) -> None:
        chats = Chat.objects.filter(deleted_at__isnull=not trash)
        chats = chats.filter(owner=self.user) if self.user else chats
        chats = chats.filter(persistent=True) if persistent else chats
        self.show_all(chats.exclude(archived_at=None) if archived else chats)

    def show_all(self, chats: ChatQuerySet) -> None:
        rows = [as_row(chat) for chat in counted(chats).order_by("owner__username", "-last_active_at", "pk")]
        if self.json:
            return self.write(rows)
        self.line(*as_columns(rows) if rows else ["No sessions."])

    def do_show(self, *, session: str, **_: Any) -> None:
        self.tell(None, self.called(session, trash=None))

    # --- one session

    def do_create(self, *, name: str, agent: str, persistent: bool, based_on: str | None, **_: Any) -> None:
        owner, name = self.owner(), checked_name(name)
        source = self.called(based_on) if based_on else None
        if source and source.owner_id != owner.pk:
            raise CommandError(self.why_not(based_on or "", None, None))
        chat = Chat.objects.start(owner, by=BY, title=name, agent=agent, persistent=persistent, based_on=source)
        self.tell("Created", chat)

    def do_one(self, *, session: str, **options: Any) -> None:
        what, act = ACTS[self.verb]
        chat = self.called(session, trash=self.verb == "restore")
        act(chat, options)
        self.tell(what, chat)

    def do_reset(self, *, session: str, yes: bool, **_: Any) -> None:
        chat = self.called(session)
        only_asked = self.dry_run and not chat.has_own_keys  # unconfirmed, it never reaches the gateway
        try:
            chat.reset(BY, confirmed=yes and not only_asked)
        except errors.SharedByAll:
            if not (yes and only_asked):
                raise
        self.tell("Reset", chat)

    # --- many sessions

    def do_export(self, *, session: str | None, markdown: bool, output: str | None, **_: Any) -> None:
        chats = [self.called(session, trash=None)] if session else Chat.objects.for_user(self.owner()).order_by("pk")
        content = "\n".join(map(export.as_markdown, chats)).encode() if markdown else export.as_json(chats) + b"\n"
        if not output:
            return self.stdout.write(content.decode(), ending="")
        try:
            save(output, content)
        except OSError as error:
            raise CommandError(f"{printable(output)} cannot be written: {error.strerror}.") from None

    def do_import(self, *, file: Path, **_: Any) -> None:
        owner = self.owner()
        try:
            with file.open("rb") as opened:
                data = opened.read(export.LARGEST + 1)
        except OSError as error:
            raise CommandError(f"{printable(str(file))} cannot be read: {error.strerror}.") from None
        self.tell("Imported", *export.load(owner, data, BY))

    def do_adopt(self, *, keys: list[str], list: bool, **_: Any) -> None:
        owner = self.owner()
        if bool(keys) == list:
            raise CommandError("Say either which keys, or --list.")
        if list:
            return self.write(as_found(adoptable(owner))) if self.json else self.line(*found_columns(adoptable(owner)))
        if self.dry_run:
            return self.line(*(f"Would adopt: {printable(checked(owner, key).name)} ({key})" for key in keys))
        self.tell("Adopted", *(Chat.objects.adopt(owner, key, BY) for key in keys))

    def do_prune(self, **_: Any) -> None:
        if self.user:
            raise CommandError("What is due is the same for everybody: leave --user out.")
        pruned = retention.prune(dry_run=self.dry_run)
        if self.json:
            return self.write({name: as_rows(chats) for name, chats in vars(pruned).items()})
        told = {
            "Announced, to go in a week": pruned.announced,
            "Moved to the trash": pruned.trashed,
            "Deleted for good": pruned.purged,
        }
        for what, chats in told.items():
            self.line(*(sentence(what, chat) for chat in chats))
        if not any(told.values()):
            self.line("Nothing is due.")

    @transaction.atomic
    def do_give(self, *, session: str | None, all: bool, to: str, **_: Any) -> None:
        colleague = self.account(to)
        if bool(session) == all:
            raise CommandError("Say either which session, or --all.")
        if not colleague.is_active:
            raise CommandError(f"{printable(to)} is deactivated. Give them to somebody who can sign in.")
        own = Chat.objects.for_user(self.owner()) if all else Chat.objects.none()
        given = [self.called(session)] if session else list(own.exclude(openclaw_session_key=None).order_by("pk"))
        if any(chat.owner_id == colleague.pk for chat in given):
            raise CommandError(f"{printable(to)} has it already.")
        for chat in given:
            chat.give(colleague, BY)
        self.tell(f"Given to {printable(to)}", *given)

    # --- who and which

    def account(self, name: str) -> User:
        try:
            return User.objects.get(username=printable(name))
        except User.DoesNotExist:
            raise CommandError(f"There is no account “{printable(name)}”. `manage.py users list` shows all.") from None

    def owner(self) -> User:
        if self.user is None:
            raise CommandError("Say whose with --user NAME. `manage.py users list` shows all accounts.")
        return self.user

    def called(self, reference: str, *, trash: bool | None = False) -> Chat:
        """A key finds it wherever it is; a name needs its owner. `trash`: only there, only elsewhere, None: both."""
        chats = Chat.objects.filter(owner=self.user) if self.user else Chat.objects.all()
        if not self.user and not reference.startswith((KEY_PREFIX, "agent:")):
            raise CommandError(f"“{printable(reference)}” is no key, and a name needs its owner: add --user NAME.")
        found = first_called(chats.filter(deleted_at=None), reference)
        thrown_away = first_called(chats.filter(deleted_at__isnull=False), reference)
        chat = thrown_away if trash else found or (thrown_away if trash is None else None)
        if chat is None:
            raise CommandError(self.why_not(reference, found, thrown_away))
        return chat

    def why_not(self, reference: str, found: Chat | None, thrown_away: Chat | None) -> str:
        if found:
            return f"{named(found)} is not in the trash."
        if thrown_away:
            return (
                f"{named(thrown_away)} is in the trash. `manage.py sessions restore {thrown_away.key}` brings it back."
            )
        whose = f" --user {printable(self.user.username)}" if self.user else ""
        return f"There is no session “{printable(reference)}”. `manage.py sessions list{whose}` shows all."

    # --- telling

    def tell(self, what: str | None, *chats: Chat) -> None:
        if self.json:
            rows = as_rows(list(chats))
            return self.write(rows[0] if len(rows) == 1 else rows)
        if what is None:
            return self.line(*as_lines(as_rows(chats)[0]))
        self.line(*(sentence(what, chat) for chat in chats) if chats else ["There was nothing to do."])

    def line(self, *lines: str) -> None:
        if not self.json:
            for line in lines:
                self.stdout.write(line)

    def write(self, data: Any) -> None:
        self.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode())


def first_called(chats: Any, reference: str) -> Chat | None:
    key = None if reference == MAIN else printable(reference)
    if by_key := chats.filter(openclaw_session_key=key).order_by("-deleted_at").first():
        return by_key
    try:
        return chats.called(reference)
    except Chat.DoesNotExist:
        return None
