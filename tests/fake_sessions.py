"""The sessions that the scripted gateway has, as its tools list and change them."""

import time
from typing import Any

LONG_AGO = 1_795_000_000_000  # ms


class NotDone(Exception):
    """The tool fails, as OpenClaw says it."""


class FakeSessions:
    """By full key, such as agent:main:webchat-1; `page` is the most that one answer lists."""

    def __init__(self, page: int = 100) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.page = page
        self.unseen: set[str] = set()  # keys that are not listed
        self.told: dict[str, list[tuple]] = {}  # role, text and perhaps when, by full key; turns here are added
        self.ids = 0

    def add(self, key: str, **more: Any) -> dict[str, Any]:
        """As after a turn: a session that is not there is made."""
        now = int(time.time() * 1000)
        if key not in self.rows:
            self.ids += 1
            made = {
                "key": key,
                "sessionId": f"session-{self.ids}",
                "agentId": f"{key}:".split(":")[1],
                "archived": False,
            }
            self.rows[key] = made | {"channel": "webchat", "model": "fake-1", "totalTokens": 1333, "status": "done"}
        self.rows[key] |= {"updatedAt": now} | more
        return self.rows[key]

    def history(self, key: str, limit: int, cursor: int) -> dict[str, Any] | None:
        """The newest first asked for; None where there is no such session."""
        if key not in self.rows:
            return None
        told = [
            {"role": role, "content": text, "timestamp": at[0] if at else LONG_AGO + n, "stopReason": "stop"}
            | {"__openclaw": {"id": f"{key}/{n}", "seq": n}}
            for n, (role, text, *at) in enumerate(self.told.get(key, []), 1)
        ]
        end = cursor - 1 if cursor else len(told)
        start = max(end - limit, 0)
        more = {"hasMore": True, "nextCursor": str(start + 1)} if start else {"hasMore": False}
        return {"sessionKey": key, "messages": told[start:end]} | more

    def tool(self, tool: str, args: dict[str, Any]) -> Any:
        if tool == "sessions_list":
            return self._list(args)
        if tool in ("sessions_history", "sessions_search"):
            return {"status": "forbidden", "error": "Session visibility is restricted to the current session tree."}
        acts = {"patch": self._patch, "delete": self._delete}
        act = acts.get(args.get("action", "")) if tool == "sessions" else None
        return act(args) if act else {"ok": True, "key": args.get("sessionKey", "")}

    def _list(self, args: dict[str, Any]) -> dict[str, Any]:
        wanted = args.get("archived", False)
        found = [row for row in self.rows.values() if wanted == "all" or row["archived"] == wanted]
        found = [row for row in found if row["key"] not in self.unseen]
        found = [row for row in found if args.get("search", "") in row["key"] + row.get("label", "")]
        start = args.get("offset", 0)
        end = start + min(self.page, args.get("limit", 100))
        more = {"hasMore": True, "nextOffset": end} if end < len(found) else {"hasMore": False}
        return {"count": len(found[start:end]), "sessions": found[start:end]} | more

    def _patch(self, args: dict[str, Any]) -> dict[str, Any]:
        key, label = args["sessionKey"], args.get("label")
        if label and any(row.get("label") == label and row["key"] != key for row in self.rows.values()):
            raise NotDone
        if "archived" in args:
            self._check(key, args)
        self.add(key, **{name: args[name] for name in ("label", "archived") if name in args})
        return {"status": "updated", "sessionKey": key}

    def _delete(self, args: dict[str, Any]) -> dict[str, Any]:
        self._check(args["sessionKey"], args)
        del self.rows[args["sessionKey"]]
        return {"status": "deleted", "sessionKey": args["sessionKey"]}

    def _check(self, key: str, args: dict[str, Any]) -> None:
        if key not in self.rows or self.rows[key]["sessionId"] != args.get("expectedSessionId"):
            raise NotDone
