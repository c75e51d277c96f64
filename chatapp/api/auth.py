"""Who calls: a program with a token, or a signed-in person's browser."""

from django.conf import settings
from django.http import HttpRequest
from ninja.errors import AuthenticationError, AuthorizationError
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from sessions_core.errors import TooMany
from sessions_core.models import ApiToken, Throttle, User

WRONG_TOKENS = (20, 60)  # for an address, within so many seconds; right ones are never held up


class BearerToken(AuthBase):
    openapi_type = "http"
    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> User | None:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        return self.authenticate(request, secret.strip()) if scheme.lower() == "bearer" else None

    def authenticate(self, request: HttpRequest, secret: str) -> User:
        token = ApiToken.objects.with_secret(secret)
        if token is None:
            address = request.META.get("REMOTE_ADDR", "")
            if not Throttle.objects.take(f"token/{address}", *WRONG_TOKENS):
                raise TooMany("These are too many wrong tokens. Wait a minute, then try again.")
            raise AuthenticationError(message="This token is not valid: it is wrong or revoked, or its account locked.")
        token.note_use()
        request.user = token.owner
        return token.owner


class SessionCookie(AuthBase):
    openapi_type = "apiKey"
    openapi_in = "cookie"
    openapi_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> User | None:
        if not request.user.is_authenticated:
            return None
        if check_csrf(request):
            raise AuthorizationError(message="With a session cookie, a change needs the page's token in X-CSRFToken.")
        return request.user
