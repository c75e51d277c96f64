"""What OpenClaw tells of itself: its release, and with what configuration it runs. Nothing is changed by asking."""

import asyncio
import json
from typing import Any

from . import tools, trust
from .errors import BadReply, Failed, GatewayError, Rejected, StartTimeout, words_of

WITHIN = 15.0  # seconds
MOST = 8_000_000  # bytes of one message
PROTOCOLS = {"minProtocol": 3, "maxProtocol": 4}
CLIENT = {"id": "gateway-client", "mode": "backend", "version": "1", "platform": "webchat"}


def release() -> str:
    """As 2026.9.6; empty where it does not tell, as releases before 2026.8 do not."""
    try:
        told = tools.ask("GET", "/startupz", None, tools.AGENTS_TIMEOUT)
    except GatewayError:
        return ""
    return str(told.get("version") or "")[:40] if isinstance(told, dict) else ""


def configuration() -> dict[str, Any]:
    """Without its secrets. It is told over its WebSocket alone, to its own machine. Raises a GatewayError."""
    told = asyncio.run(_asked("config.get"))
    config = told.get("runtimeConfig") or told.get("config")
    if not isinstance(config, dict):
        raise BadReply("The gateway did not tell its configuration.")
    return config


async def _asked(method: str) -> dict[str, Any]:
    import aiohttp

    url, token = tools.address()
    hello = PROTOCOLS | {"role": "operator", "scopes": ["operator.read"], "auth": {"token": token}, "client": CLIENT}
    try:
        async with (
            asyncio.timeout(WITHIN),
            aiohttp.ClientSession(trust_env=False) as session,
            session.ws_connect(url, max_msg_size=MOST, ssl=trust.verify()) as socket,
        ):
            await _answered(socket, "1", "connect", hello)
            return await _answered(socket, "2", method, {})
    except TimeoutError:
        raise StartTimeout(tools.TOO_LATE) from None
    except (aiohttp.ClientError, OSError):
        raise Failed("The gateway takes no WebSocket from here.") from None


async def _answered(socket: Any, number: str, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """What it answers to this request, among all that it says by itself."""
    await socket.send_str(json.dumps({"type": "req", "id": number, "method": method, "params": params}))
    async for message in socket:
        heard = tools.parsed(message.data.encode()) if isinstance(message.data, str) else None
        if isinstance(heard, dict) and (heard.get("type"), heard.get("id")) == ("res", number):
            if heard.get("ok") is True and isinstance(heard.get("payload"), dict):
                return heard["payload"]
            raise Rejected(f"The gateway does not tell it from here. It says: {words_of(heard)}")
    raise Failed("The gateway ended the conversation.")
