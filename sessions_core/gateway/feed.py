"""A session's live feed: tells that its transcript grew, which is then read. What it sends itself is not needed."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from django.conf import settings

from . import tools, transcript, trust
from .errors import AuthRefused, BadReply, Failed, GatewayError, NotOffered, from_status, unreachable

SILENCE = 25.0  # seconds; the gateway sends a ping every fifteen
MOST_LINE = 4_000_000  # bytes
FORM = "text/event-stream"


class Gone(GatewayError):
    """There is no such session yet, or no more."""

    says = "The gateway has no such session."


async def events(client: Any, key: str, agent: str) -> AsyncGenerator[None]:
    """Something is there, at once and with each change; ends where the gateway ends it. Raises a GatewayError."""
    import httpx2

    url, token = tools.address()
    headers = {"authorization": f"Bearer {token or 'none'}", "accept": FORM, "accept-encoding": "identity"}
    try:
        path = transcript.path_of(key, agent, limit=1)
        async with client.stream("GET", url + path, headers=headers) as response:
            await _check(response)
            async with aclosing(_heard(response)) as heard:
                async for _ in heard:
                    yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise unreachable(error) from None
    except (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError) as error:
        raise Failed(f"The gateway's feed broke off: {type(error).__name__}") from None


def client() -> Any:
    """For all feeds of a process: no limit to how many but the one who opens them."""
    import httpx2

    timeout = httpx2.Timeout(SILENCE, connect=settings.GATEWAY_CONNECT_SECONDS)
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx2.AsyncClient(
        trust_env=False, follow_redirects=False, timeout=timeout, limits=limits, verify=trust.verify()
    )


async def _check(response: Any) -> None:
    form = response.headers.get("content-type", "").split(";")[0].strip().lower()
    if response.is_success and form == FORM:
        return
    if response.is_success:
        raise BadReply("The gateway sent something that is no feed.")
    body = b""
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > 10_000:
            break
    error = from_status(response.status_code, response.headers, tools.parsed(body))
    if isinstance(error, NotOffered) and error.words.startswith(transcript.NO_SESSION):
        raise Gone
    raise AuthRefused if response.status_code == 403 else error


async def _heard(response: Any) -> AsyncGenerator[None]:
    from ..sse import EventDecoder, LineTooLong

    decoder = EventDecoder(MOST_LINE)
    try:
        async for piece in response.aiter_raw():
            for _ in decoder.feed(piece):
                yield
    except LineTooLong:
        raise BadReply("The gateway's feed sent more than can be read.") from None
