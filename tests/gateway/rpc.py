"""The gateway's own WebSocket RPC, as its programs use it: to say something in a session from elsewhere."""

import asyncio
import json
import uuid
from typing import Any, Self

import aiohttp

from tests.loops import beside


class Rpc:
    """One operator's connection; `call` gives the payload of the answer."""

    def __init__(self, openclaw: Any) -> None:
        self.openclaw = openclaw

    async def __aenter__(self) -> Self:
        self.http = aiohttp.ClientSession()
        self.socket = await self.http.ws_connect(self.openclaw.url, max_msg_size=0)
        await self.socket.receive()  # connect.challenge
        client = {"id": "gateway-client", "version": "1", "platform": "linux", "mode": "backend"}
        scopes = ["operator.read", "operator.write", "operator.admin"]
        auth = {"token": self.openclaw.token}
        await self.call(
            "connect", minProtocol=4, maxProtocol=4, role="operator", scopes=scopes, auth=auth, client=client
        )
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.socket.close()
        await self.http.close()

    async def call(self, method: str, **params: Any) -> Any:
        asked = str(uuid.uuid4())
        await self.socket.send_json({"type": "req", "id": asked, "method": method, "params": params})
        async with asyncio.timeout(60):
            async for message in self.socket:
                answer = json.loads(message.data)
                if answer.get("id") == asked:
                    assert answer["ok"], answer
                    return answer.get("payload")
        raise AssertionError("The connection closed.")


def call(openclaw: Any, method: str, **params: Any) -> Any:
    async def once() -> Any:
        async with Rpc(openclaw) as rpc:
            return await rpc.call(method, **params)

    return beside(lambda: asyncio.run(once()))


def say(openclaw: Any, key: str, text: str) -> Any:
    """What somebody types in one of the gateway's own programs."""
    session = key if key.startswith("agent:") else f"agent:main:{key}"
    return call(openclaw, "chat.send", sessionKey=session, message=text, idempotencyKey=str(uuid.uuid4()))
