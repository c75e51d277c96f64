"""Why a reply could not be finished.

GatewayError                 state        may be tried again by itself
├── Unreachable              failed       yes: refused, no route, DNS, TLS
├── Busy                     failed       yes: 429
├── Down                     failed       yes: 503
├── AuthRefused              failed       no: 401, 403
│   └── ThroughProxy
├── NotOffered               failed       no: 404, 405
│   ├── Unseen
│   └── NoModel
├── Rejected                 failed       no: 400, 413 and other 4xx
│   └── ContextFull
├── Failed                   failed       no: 5xx, it may have seen the message
├── BadReply                 failed       no: not a chat completion
├── Empty                    failed       no: ended without a word
├── UpstreamError            failed       no: an error event in the stream
├── StartTimeout             failed       no: no answer at all
├── NoWord                   failed       no: silent after it began
└── CutOff                   interrupted  no: ended before its end
    ├── FellSilent
    ├── TooLarge
    └── TotalTimeout
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from ..secrets import redact
from ..text import clean_text
from . import trust

WANTS_TLS = re.compile("to (an )?(HTTPS|SSL-enabled) (port|server)")  # as nginx, Go and Apache say it
UNKNOWN_PROXY = "proxy_attribution_required"  # what OpenClaw says when somebody on the way adds X-Forwarded-For
RETRY_AFTER_MOST = 30.0  # seconds
SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


class GatewayError(Exception):
    """Why a reply could not be finished; its text is for the person who waits for it."""

    code = "gateway_error"
    state = "failed"
    safe_to_repeat = False  # only where the gateway cannot have accepted the turn
    says = "The gateway failed; it may have seen your message."

    def __init__(self, says: str = "", retry_after: float | None = None, words: str = "") -> None:
        super().__init__(says or self.says)
        self.retry_after = retry_after
        self.words = words  # what the server said about it


class Unreachable(GatewayError):
    code = "gateway_unreachable"
    safe_to_repeat = True
    says = "The assistant's gateway cannot be reached."


class Busy(GatewayError):
    code = "busy"
    safe_to_repeat = True
    says = "The assistant is busy. Try again in a moment."


class Down(GatewayError):
    code = "gateway_down"
    safe_to_repeat = True
    says = "The gateway is starting or stopping. Try again in a moment."


class AuthRefused(GatewayError):
    code = "gateway_auth"
    says = "The gateway refused our credentials; an administrator has to mend that."


class ThroughProxy(AuthRefused):
    code = "gateway_config"
    says = (
        "The gateway does not take requests from a proxy that it does not know; an administrator has to name the proxy "
        "in gateway.trustedProxies of openclaw.json, or let OPENCLAW_GATEWAY_URL lead past it."
    )


class NotOffered(GatewayError):
    code = "gateway_config"
    says = "The gateway does not offer this service; an administrator has to enable its chat completions endpoint."


class Unseen(NotOffered):
    says = "The gateway has this session and does not show it to who would delete it."


class NoModel(NotOffered):
    says = "an administrator has to set GATEWAY_MODEL to one it has. `manage.py doctor` lists them."


class Rejected(GatewayError):
    code = "rejected"
    says = "The gateway did not accept this message."


class ContextFull(Rejected):
    says = (
        "The conversation is longer than the model takes. Start a new chapter, or let an administrator set "
        "GATEWAY_CONTEXT_TOKENS to what the model has."
    )


class Failed(GatewayError):
    pass


class BadReply(GatewayError):
    code = "bad_reply"
    says = "The gateway sent something that is not a reply."


class Empty(GatewayError):
    code = "empty"
    says = "The assistant sent no answer."


class UpstreamError(GatewayError):
    code = "upstream_error"
    says = "The assistant reported an error."


class StartTimeout(GatewayError):
    code = "timeout_start"
    says = "The gateway took the message but did not begin to answer."


class NoWord(GatewayError):
    code = "timeout_idle"
    says = "The model began to answer but sent no word."


class CutOff(GatewayError):
    code = "cut_off"
    state = "interrupted"
    says = "The reply was cut off; what arrived is kept."


class FellSilent(CutOff):
    code = "timeout_idle"
    says = "The model fell silent in the middle of its reply; what arrived is kept."


class TooLarge(CutOff):
    code = "too_large"
    says = "The reply grew too large and was stopped; what arrived is kept."


class TotalTimeout(CutOff):
    code = "timeout_total"
    says = "The reply took too long and was stopped; what arrived is kept."


BY_STATUS: dict[int, type[GatewayError]] = {
    401: AuthRefused,
    403: AuthRefused,
    404: NotOffered,
    405: NotOffered,
    429: Busy,
    503: Down,
}


def from_status(status: int, headers: Mapping[str, str], body: Any) -> GatewayError:
    """What a status other than 2xx means; the headers' names in any case, the body parsed or as text."""
    if 300 <= status < 400:
        return BadReply(
            "The gateway answered with a redirect; its address in OPENCLAW_GATEWAY_URL is not the right one."
        )
    if status == 400 and WANTS_TLS.search(str(body)):
        return Unreachable(trust.TLS)
    kind = BY_STATUS.get(status) or (Failed if status >= 500 else Rejected)
    if status == 403 and UNKNOWN_PROXY in str(body):
        kind = ThroughProxy
    words, seconds = words_of(body), _retry_after(headers.get("retry-after", ""))
    says = ""
    if kind is Busy and seconds:
        says = f"The assistant is busy. Try again in {seconds:.0f} s."
    if kind is Rejected and words:
        says = f"{Rejected.says} It says: {words}"
    return kind(says, seconds, words)


def from_connection(error: Exception) -> GatewayError:
    """Unreachable only when no connection was made: anything later may have been seen by the gateway."""
    import aiohttp

    not_made = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ssl.SSLError)
    if any(isinstance(cause, not_made) for cause in _causes(error)):
        return unreachable(error)
    return Failed("The gateway closed the connection without an answer; it may have seen your message.")


def unreachable(error: BaseException) -> Unreachable:
    """With what is wrong where that is the gateway's certificate, or that it has none."""
    refused = [cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)]
    return Unreachable(trust.explained(refused[-1]) if refused else "")  # before it aiohttp's, which says less


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _retry_after(value: str) -> float | None:
    return min(float(value), RETRY_AFTER_MOST) if SECONDS.fullmatch(value) else None


def words_of(body: Any) -> str:
    """What an error body says, at most 300 characters, without credentials; nothing where it is a proxy's page."""
    if isinstance(body, dict):
        body = body.get("error", body)
        body = (body.get("message") or body.get("detail") or "") if isinstance(body, dict) else body
    words = clean_text(redact(str(body or ""))).strip()
    return "" if words.startswith("<") else words[:300]
