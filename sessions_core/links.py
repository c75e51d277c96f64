"""One-time links that an operator copies: the first account, invitations, new passwords."""

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.core.signing import BadSignature, Signer
from django.urls import reverse
from django.utils.encoding import force_bytes, force_str
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from .models import User

ADDRESS = settings.DATA / "address"
FIRST = Signer(salt="first-account")


def first_account_path() -> str:
    """Where the first account is made: nobody who lacks the secret key can guess it."""
    return reverse("first-account", args=[FIRST.sign("first").split(":")[1]])


def first_account_open(token: str) -> bool:
    try:
        FIRST.unsign(f"first:{token}")
    except BadSignature:
        return False
    return not User.objects.exists()


def password_path(user: User) -> str:
    """Where a person chooses a password: once, and for PASSWORD_RESET_TIMEOUT seconds."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("choose-password", args=[uid, default_token_generator.make_token(user)])


def user_of(uid: str, token: str) -> User | None:
    """The active person a link was made for, while it holds."""
    try:
        user = User.objects.get(pk=int(force_str(urlsafe_base64_decode(uid))), is_active=True)
    except (ValueError, OverflowError, User.DoesNotExist):
        return None
    return user if default_token_generator.check_token(user, token) else None


def absolute(path: str) -> str:
    """With the address in front under which people reach the app: PUBLIC_URL, or where `serve` was started last."""
    return f"{settings.PUBLIC_URL or last_address()}{path}"


def last_address() -> str:
    try:
        return ADDRESS.read_text()
    except FileNotFoundError:
        return "http://127.0.0.1:8000"


def remember_address(address: str) -> None:
    ADDRESS.write_text(address)
