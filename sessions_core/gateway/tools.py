"""What the gateway offers beside chat, over plain HTTP with the same token: its tools, and which agents it has."""

import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.utils.asyncio import async_unsafe

from . import WIRE_KEY, kinds, trust
from .errors import (
    AuthRefused,
    BadReply,
    Failed,
    GatewayError,
    NotOffered,
    Rejected,
    StartTimeout,
    ThroughProxy,
    Unreachable,
    Unseen,
    from_status,
    unreachable,
    words_of,
)

READ_TIMEOUT = 30.0  # seconds
MAX_ANSWER = 2_000_000  # bytes
MOST_SESSIONS = 5_000  # that are looked through
AGENTS_TIMEOUT = 3.0  # seconds
AGENTS_KEPT = 60.0  # seconds that the list of agents is remembered
FAILURE_KEPT = 10.0  # seconds until it is asked for again after a failure
MAIN = "main"
TOO_LATE = "The gateway did not answer in time."
WHAT_TO_SET = '"tools": {"alsoAllow": ["sessions", "sessions_list", "sessions_history"]}'

logger = logging.getLogger(__name__)

demo: tuple[str, str] | None = None  # its address and token, in the process of `serve` while it answers there

_asking = threading.Lock()
_known: tuple[float, list[str]] = (0.0, [])  # until when on the monotonic clock, and which agents


def invoke_tool(
    name: str, args: dict[str, Any], *, session_key: str = MAIN, agent: str = "", seconds: float | None = None
) -> Any:
    """What a tool says when it runs in an agent's session, parsed where it is JSON; raises a GatewayError."""
    call = {"tool": name, "args": args, "sessionKey": session_key} | ({"agentId": agent} if agent else {})
    try:
        answer = ask("POST", "/tools/invoke", call, seconds or READ_TIMEOUT)
    except NotOffered:
        raise NotOffered(
            f"The gateway does not offer its tool “{name}”; an administrator has to set in openclaw.json: {WHAT_TO_SET}"
        ) from None
    if not isinstance(answer, dict) or "ok" not in answer:
        raise BadReply("The gateway did not answer as OpenClaw does when it runs a tool.")
    if answer["ok"] is not True:
        raise Rejected(_with_words("The gateway could not do this.", answer))
    return _unless_refused(_said(answer.get("result")))


def manages_sessions() -> bool:
    """Whether a gateway answers that keeps sessions for good; the demo's are only played."""
    return bool(settings.OPENCLAW_GATEWAY_URL) and kinds.configured().has_agents


def reset_session(key: str, agent: str) -> None:
    """Makes an agent forget a session, under the same key; a turn that runs there is cut off. Raises a GatewayError."""
    if not kinds.fits(key):
        raise Rejected(f"The session key {key!r} does not fit the gateway.")
    # The tool runs in the agent's main session, and by its full key OpenClaw would not let that reset itself.
    whole = key if key == MAIN else kinds.full_key(key, agent)
    invoke_tool("sessions", {"action": "reset", "sessionKey": whole}, agent=agent)


def forget_session(key: str, agent: str, seconds: float | None = None) -> None:
    """Deletes a session on the gateway, where there is one. Raises a GatewayError."""
    if session := find_session(key, agent, seconds):
        _change(session, agent, seconds, action="delete")
    elif _is_there(key, agent, seconds):
        raise Unseen()


def _is_there(key: str, agent: str, seconds: float | None) -> bool:
    """By its transcript, which is shown where its list entry may not be."""
    path = f"/sessions/{quote(kinds.full_key(key, agent), safe='')}/history?limit=1"
    try:
        answer = ask("GET", path, None, seconds or READ_TIMEOUT)
    except NotOffered:
        return False
    return isinstance(answer, dict) and bool(answer.get("messages"))


def restore_session(key: str, agent: str, seconds: float | None = None) -> bool:
    """Takes a session out of the gateway's archive; False where it is not in there. Raises a GatewayError."""
    session = find_session(key, agent, seconds)
    if not session or session.get("archived") is not True:
        return False
    _change(session, agent, seconds, action="patch", archived=False)
    return True


def label_session(key: str, agent: str, label: str, seconds: float | None = None) -> None:
    """How the gateway's own pages call a session; of no other there. Makes one where there is none. Raises a
    GatewayError."""
    named = {"action": "patch", "sessionKey": kinds.full_key(key, agent), "label": label}
    invoke_tool("sessions", named, agent=agent, seconds=seconds)


def find_session(key: str, agent: str, seconds: float | None = None, **more: Any) -> dict[str, Any] | None:
    """What the gateway says of a session, archived or not. Raises a GatewayError."""
    whole = kinds.full_key(key, agent)
    listed = listed_sessions(agent, whole.split(":", 2)[2], seconds=seconds, **more)
    return next((session for session in listed if session.get("key") == whole), None)


def listed_sessions(
    agent: str = "", search: str = "", *, most: int = MOST_SESSIONS, seconds: float | None = None, **more: Any
) -> Iterator[dict[str, Any]]:
    """An agent's sessions as the gateway describes them, the last used first, archived ones too: page by page, each
    within so many seconds. Raises a GatewayError."""
    wanted = {"limit": 100, "archived": "all"} | ({"search": search} if search else {}) | more
    offset: int | None = 0
    while offset is not None and offset < most:
        page = invoke_tool("sessions_list", wanted | {"offset": offset}, agent=agent, seconds=seconds)
        sessions = page.get("sessions") if isinstance(page, dict) else None
        if not isinstance(sessions, list):
            raise BadReply("The gateway did not answer with a list of sessions.")
        yield from (session for session in sessions if isinstance(session, dict))
        following = page.get("nextOffset") if page.get("hasMore") else None
        offset = following if type(following) is int and following > offset else None


def moment(value: Any) -> datetime | None:
    """A time as the gateway tells it, in milliseconds."""
    known = type(value) in (int, float) and 0 < value < 32_503_680_000_000  # the year 3000
    return datetime.fromtimestamp(value / 1000, UTC) if known else None


def _change(session: dict[str, Any], agent: str, seconds: float | None, **change: Any) -> None:
    """That very session: one that has taken its place under the key meanwhile stays as it is."""
    which = {"sessionKey": session.get("key"), "expectedSessionId": session.get("sessionId")}
    invoke_tool("sessions", change | which, agent=agent, seconds=seconds)


def listed_agents() -> list[str]:
    """The agents as the gateway lists them now. Raises a GatewayError."""
    try:
        ids = [str(model.get("id")) for model in listed_models()]
    except BadReply:  # OpenClaw's own page, which it shows at every address that is not enabled
        raise NotOffered() from None
    names = [name.removeprefix("openclaw/") for name in ids if name.startswith("openclaw/")]
    # OpenClaw's agents have names of the same form as a session's key.
    return [name for name in dict.fromkeys(names) if WIRE_KEY.fullmatch(name) and name != "default"]


def listed_models() -> list[dict[str, Any]]:
    """The models as the server lists them now, as it describes them. Raises a GatewayError."""
    answer = ask("GET", "/v1/models", None, AGENTS_TIMEOUT)
    models = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(models, list):
        raise BadReply("The gateway did not answer with a list of models.")
    return [model for model in models if isinstance(model, dict)]


def agents() -> list[str]:
    """The agents to choose from, the configured one first; only that one while the gateway does not list them."""
    configured = settings.OPENCLAW_AGENT_ID
    listed = _remembered() if kinds.configured().has_agents else []
    return [configured, *(agent for agent in listed if agent != configured)]


def forget_agents() -> None:
    global _known
    _known = (0.0, [])


def _remembered() -> list[str]:
    global _known
    with _asking:  # all others wait for the one that asks
        if monotonic() >= _known[0]:
            kept, listed = _look()
            _known = (monotonic() + kept, listed)
        return _known[1]


def _look() -> tuple[float, list[str]]:
    """For how many seconds it holds, and which agents the gateway lists."""
    try:
        return AGENTS_KEPT, listed_agents()
    except GatewayError as error:
        logger.info("The gateway's agents are not known: %s", error)
        return FAILURE_KEPT, []


@async_unsafe("This waits for the gateway, and the demo for this very loop: call it from a thread.")
def ask(method: str, path: str, content: Any, seconds: float) -> Any:
    """The parsed answer to one request, on a connection of its own."""
    import httpx2

    url, token = address()
    headers = {"authorization": f"Bearer {token or 'none'}", "accept-encoding": "identity"}
    timeout = httpx2.Timeout(seconds, connect=min(seconds, settings.GATEWAY_CONNECT_SECONDS))
    try:
        with (
            httpx2.Client(trust_env=False, follow_redirects=False, timeout=timeout, verify=trust.verify()) as client,
            client.stream(method, url + path, json=content, headers=headers) as response,
        ):
            return _answer(response, monotonic() + seconds)
    except (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError) as error:
        raise _broken(error) from None


def address() -> tuple[str, str]:
    """Where the relay of this process asks too, and its token."""
    if settings.OPENCLAW_GATEWAY_URL:
        return settings.OPENCLAW_GATEWAY_URL, settings.OPENCLAW_GATEWAY_TOKEN
    if not demo:
        raise Unreachable("No gateway is set, and the demo answers only inside `serve`. Set OPENCLAW_GATEWAY_URL.")
    return demo


def _answer(response: Any, until: float) -> Any:
    answer = parsed(_body(response, until))
    if not response.is_success:
        raise kinds.configured().explained(_refusal(response, answer))
    return answer


def _body(response: Any, until: float) -> bytes:
    body = bytearray()
    for piece in response.iter_raw():  # not decoded: a small compressed body may grow to any size
        body += piece
        if len(body) > MAX_ANSWER:
            raise BadReply("The gateway's answer is longer than two megabytes.")
        if monotonic() > until:
            raise StartTimeout(TOO_LATE)
    return bytes(body)


def parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _broken(error: Exception) -> GatewayError:
    import httpx2

    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return unreachable(error)
    if isinstance(error, httpx2.TimeoutException):
        return StartTimeout(TOO_LATE)
    return Failed("The gateway closed the connection without an answer.")


def _refusal(response: Any, answer: Any) -> GatewayError:
    """As for a reply, but about a request that no message belongs to."""
    error = from_status(response.status_code, response.headers, answer)
    if response.status_code == 403 and not isinstance(error, ThroughProxy):
        return AuthRefused(_with_words("The gateway does not allow this.", answer))
    if isinstance(error, Rejected | Failed):
        return type(error)(_with_words("The gateway could not do this.", answer))
    return error


def _with_words(sentence: str, answer: Any) -> str:
    words = words_of(answer)
    return f"{sentence} It says: {words}" if words else sentence


def _said(result: Any) -> Any:
    """A tool speaks to a model: in parts of text, which mostly are one JSON document."""
    parts = result.get("content") if isinstance(result, dict) else None
    if not isinstance(parts, list):
        return result
    return parsed("".join(str(part.get("text") or "") for part in parts if isinstance(part, dict)).encode())


def _unless_refused(said: Any) -> Any:
    """A tool may refuse inside an answer that is fine for HTTP."""
    status = said.get("status") if isinstance(said, dict) else None
    if status == "forbidden":
        raise AuthRefused(_with_words("The gateway does not allow this.", said))
    if status == "error":
        raise Rejected(_with_words("The gateway could not do this.", said))
    return said
