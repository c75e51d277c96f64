import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_core.errors import Refusal
from sessions_core.management.reaching import a_ready_database
from sessions_core.models import ApiToken, By, User

BY = By(None, "cli")


class Command(BaseCommand):
    help = "API tokens of a person: list them, make one, revoke one. A secret is printed once and not kept."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        verbs.add_parser("list", help="All tokens of a person, newest first; not their secrets.")
        make = verbs.add_parser("make", help="Make a token and print its secret.")
        make.add_argument("name", help="Such as the program that will use it.")
        revoke = verbs.add_parser("revoke", help="From now on nobody comes in with it.")
        revoke.add_argument("number", type=int, help="As `tokens list` shows it.")
        for verb in verbs.choices.values():
            verb.add_argument("--user", required=True, metavar="NAME", help="Whose tokens.")
            verb.add_argument("--json", action="store_true", help="For machines.")

    def handle(self, *, verb: str, user: str, **options: Any) -> None:
        try:
            with a_ready_database():
                getattr(self, verb)(owner=self.named(user), **options)
        except Refusal as refusal:
            raise CommandError(str(refusal)) from None

    def list(self, *, owner: User, json: bool, **_: Any) -> None:
        tokens = owner.api_tokens.recent()
        if json:
            self.say([described(token) for token in tokens])
            return
        for token in tokens:
            used = f"last used {token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never used"
            self.stdout.write(f"{token.pk}  {token.name}  made {token.created_at:%Y-%m-%d}  {used}")

    def make(self, *, owner: User, name: str, json: bool, **_: Any) -> None:
        if not owner.is_active:
            raise CommandError(f"{owner.username} is deactivated; a token would let nobody in.")
        token, secret = ApiToken.make(owner, name, BY)
        if json:
            self.say(described(token) | {"token": secret})
            return
        self.stdout.write(f"The token “{token.name}” of {owner.username}; it is not shown again:")
        self.stdout.write(secret)

    def revoke(self, *, owner: User, number: int, json: bool, **_: Any) -> None:
        token = owner.api_tokens.filter(pk=number).first()
        if token is None:
            raise CommandError(f"{owner.username} has no token {number}. `manage.py tokens list` shows all.")
        gone = described(token)
        token.revoke(BY)
        if json:
            self.say(gone)
            return
        self.stdout.write(f"The token “{token.name}” is revoked.")

    def named(self, name: str) -> User:
        try:
            return User.objects.get(username=name)
        except User.DoesNotExist:
            raise CommandError(f"There is no account {name!r}. `manage.py users list` shows all.") from None

    def say(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, indent=2))


def described(token: ApiToken) -> dict[str, Any]:
    used = token.last_used_at and token.last_used_at.isoformat()
    return {"id": token.pk, "name": token.name, "made": token.created_at.isoformat(), "last_used": used}
