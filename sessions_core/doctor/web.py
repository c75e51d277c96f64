"""The way from a browser to the pages, as people take it: through the proxy, where there is one."""

from collections.abc import Iterator

from .. import links
from . import Finding, bad, note, ok

WITHIN = 10.0  # seconds
PROXY = "Let the proxy pass the headers Host, Upgrade and Connection, and set TRUSTED_PROXIES to its address."
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "ZG9jdG9yIGRvY3RvciBkbw==",
}


def pages() -> Iterator[Finding]:
    import httpx2

    address = links.absolute("")
    try:
        with httpx2.Client(timeout=WITHIN, trust_env=False, verify=True) as client:
            alive = client.get(f"{address}/healthz")
            if alive.status_code != 200 or alive.headers.get("content-type", "").split(";")[0] != "application/json":
                yield bad(
                    "pages", f"{address} answers, but not as this app ({alive.status_code}).", "Check PUBLIC_URL."
                )
                return
            yield ok("pages", f"{address} answers.")
            yield socket(client, address)
    except httpx2.HTTPError as error:
        remedy = "Start `manage.py serve`; behind a proxy, check PUBLIC_URL and the proxy."
        yield bad("pages", f"{address} cannot be reached: {error}", remedy)


def socket(client, address: str) -> Finding:
    """Nobody is signed in here: a handshake that reaches the app is refused with 403, another answer is the proxy's."""
    answer = client.get(f"{address}/ws/", headers=UPGRADE | {"Origin": address})
    if answer.status_code == 403:
        return ok("websocket", "The handshake of live pages reaches the app.")
    if answer.status_code == 101:
        return note("websocket", "Somebody else answers the handshake.", PROXY)
    return bad("websocket", f"The handshake of live pages is answered with {answer.status_code}.", PROXY)
