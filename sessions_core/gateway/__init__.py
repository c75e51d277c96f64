"""The gateway: with its two neighbours the only code that knows the wire."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from functools import cached_property
from typing import Any

from django.conf import settings

from ..secrets import redact
from .errors import (
    AuthRefused,
    BadReply,
    Busy,
    ContextFull,
    CutOff,
    Down,
    Empty,
    Failed,
    FellSilent,
    GatewayError,
    NoModel,
    NotOffered,
    NoWord,
    Rejected,
    StartTimeout,
    ThroughProxy,
    TooLarge,
    TotalTimeout,
    Unreachable,
    Unseen,
    UpstreamError,
    from_connection,
    from_status,
)
from .kinds import WIRE_KEY, Kind, OpenClaw, Plain
from .reading import Reply, events, whole

__all__ = [
    "WIRE_KEY",
    "AuthRefused",
    "BadReply",
    "Busy",
    "ContextFull",
    "CutOff",
    "Down",
    "Empty",
    "Failed",
    "FellSilent",
    "Gateway",
    "GatewayError",
    "NoModel",
    "NoWord",
    "NotOffered",
    "OpenClaw",
    "Plain",
    "Rejected",
    "Reply",
    "StartTimeout",
    "ThroughProxy",
    "TooLarge",
    "TotalTimeout",
    "Unreachable",
    "Unseen",
    "UpstreamError",
]


class Gateway:
    """A server at an address, spoken to as the OpenAI SDK speaks, one connection per reply.

    There is a limit until the response's headers and one in total; for silence in between the kind of server has one.
    """

    def __init__(
        self,
        url: str,
        token: str,
        kind: Kind | None = None,
        *,
        start_timeout: float | None = None,
        total_timeout: float | None = None,
    ):
        self.url = url
        self.token = token
        self.kind = kind or OpenClaw()
        self.start_timeout = settings.GATEWAY_START_SECONDS if start_timeout is None else start_timeout
        self.total_timeout = settings.GATEWAY_TOTAL_SECONDS if total_timeout is None else total_timeout

    async def stream(self, turns: list[dict[str, str]], key: str, agent: str, reply: Reply) -> AsyncGenerator[str]:
        """The text of the reply in pieces as they come; closing the iterator stops the run on the gateway.

        Raises a GatewayError; `reply` is filled on the way.
        """
        await self.ready()
        try:
            async with self._open(turns, key, agent) as response:
                async for text in self._read(response, reply):
                    yield text
        except GatewayError as error:
            raise self.kind.explained(error) from None

    def _open(self, turns: list[dict[str, str]], key: str, agent: str) -> "_Open":
        model, headers = self.kind.address(key, agent)
        create = self.client.chat.completions.with_streaming_response.create(
            model=model,
            messages=[],
            stream=True,
            extra_body={"messages": turns, "stream_options": {"include_usage": True}},  # which no type is looked up for
            extra_headers=headers | {"accept-encoding": "identity"},
        )
        return _Open(create, self.start_timeout)

    async def _read(self, response: Any, reply: Reply) -> AsyncIterator[str]:
        """The pieces of one response, whatever form it came in."""
        import httpx2

        form = response.headers.get("content-type", "").split(";")[0].strip()
        pieces = {"text/event-stream": events, "application/json": whole}.get(form.lower())
        if pieces is None:
            named = redact(form)[:100] or "something without a type"
            raise BadReply(f"The gateway answered with {named}, not with a reply.")
        try:
            async for text in self.kind.listen(pieces(response.http_response.aiter_raw(), reply), reply):
                fitting = text[: settings.REPLY_MAX_LENGTH - reply.characters]
                reply.characters += len(fitting)
                if fitting:
                    yield fitting
                if len(fitting) < len(text) or reply.events > settings.REPLY_MAX_EVENTS:
                    raise TooLarge
        except httpx2.RequestError:
            if not reply.finished:  # what breaks after the end was said breaks nothing
                broke = Empty("The connection to the gateway broke before any answer.")
                raise CutOff() if reply.characters else broke from None
        if not reply.characters:
            raise Empty(f"The assistant sent no answer: {why}." if (why := reply.shortened[1]) else "")
        if not reply.finished:
            raise CutOff

    async def ready(self) -> None:
        """Have the SDK without the loop standing still meanwhile: where that takes long, other processes would take
        this one for dead."""
        if "client" not in self.__dict__:
            await asyncio.to_thread(lambda: self.client.chat.completions)

    @cached_property
    def client(self) -> Any:
        """The SDK's client; imported here because importing it takes up to two seconds."""
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient
        from openai._vendor.httpx_aiohttp import AiohttpTransport

        from . import connection

        http_client = DefaultAioHttpClient(
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=settings.GATEWAY_CONNECT_SECONDS),
            transport=AiohttpTransport(client=connection.session),
            event_hooks={"response": [connection.refuse_compressed]},
        )
        return AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=self.token or "none", max_retries=0, http_client=http_client
        )

    async def close(self) -> None:
        if "client" in self.__dict__:
            await self.client.close()


class _Open:
    """The response once its headers are there; translates what the SDK raises until then."""

    def __init__(self, create: Any, start_timeout: float) -> None:
        self.create = create
        self.start_timeout = start_timeout

    async def __aenter__(self) -> Any:
        import aiohttp
        import httpx2
        import openai

        try:
            async with asyncio.timeout(self.start_timeout):
                return await self.create.__aenter__()
        except TimeoutError:
            raise StartTimeout from None
        except openai.APIStatusError as error:
            raise from_status(error.status_code, error.response.headers, error.body) from None
        except openai.APIConnectionError as error:
            raise from_connection(error) from None
        except (aiohttp.ClientResponseError, httpx2.RequestError):  # no HTTP, or an error's body that broke off
            raise BadReply from None

    async def __aexit__(self, *details: Any) -> None:
        await self.create.__aexit__(*details)
