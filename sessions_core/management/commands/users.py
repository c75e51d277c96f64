import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_core import links
from sessions_core.management.reaching import a_ready_database
from sessions_core.models import User


class Command(BaseCommand):
    help = "Accounts: invite somebody, make a link for a new password, list, deactivate. Links are printed, not mailed."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        invite = verbs.add_parser("invite", help="Make an account and print the link to its first password.")
        invite.add_argument("name")
        invite.add_argument("--admin", action="store_true", help="Also an administrator.")
        reset = verbs.add_parser("reset-link", help="Print a link to choose a new password.")
        reset.add_argument("name")
        deactivate = verbs.add_parser("deactivate", help="Lock an account; its chats are kept.")
        deactivate.add_argument("name")
        listing = verbs.add_parser("list", help="All accounts.")
        listing.add_argument("--json", action="store_true", help="For machines.")

    def handle(self, *, verb: str, **options: Any) -> None:
        with a_ready_database():
            getattr(self, verb.replace("-", "_"))(**options)

    def invite(self, *, name: str, admin: bool, **_: Any) -> None:
        try:
            user = User.objects.invite(name, admin=admin)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(f"Send this link to {user.username}; it works once, within seven days:")
        self.stdout.write(links.absolute(links.password_path(user)))

    def reset_link(self, *, name: str, **_: Any) -> None:
        user = self.named(name)
        if not user.is_active:
            raise CommandError(f"{name} is deactivated.")
        self.stdout.write(f"Send this link to {name}; it works once, within seven days:")
        self.stdout.write(links.absolute(links.password_path(user)))

    def deactivate(self, *, name: str, **_: Any) -> None:
        self.named(name).deactivate()
        self.stdout.write(f"{name} is deactivated; open pages close within half a minute. The chats are kept.")

    def list(self, *, json: bool, **_: Any) -> None:
        users = User.objects.order_by("username")
        if json:
            self.stdout.write(as_json(users))
            return
        for user in users:
            marks = [mark for mark, on in (("admin", user.is_staff), ("deactivated", not user.is_active)) if on]
            seen = f"last signed in {user.last_login:%Y-%m-%d}" if user.last_login else "never signed in"
            self.stdout.write("  ".join([user.username, seen, *marks]))

    def named(self, name: str) -> User:
        try:
            return User.objects.get(username=name)
        except User.DoesNotExist:
            raise CommandError(f"There is no account {name!r}. `manage.py users list` shows all.") from None


def as_json(users: Any) -> str:
    rows = [
        {
            "name": user.username,
            "admin": user.is_staff,
            "active": user.is_active,
            "last_login": user.last_login and user.last_login.isoformat(),
        }
        for user in users
    ]
    return json.dumps(rows, indent=2)
