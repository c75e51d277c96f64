"""How OpenClaw is set up: who may read whose sessions, what it archives, resets and does by itself."""

import json
import re
from collections.abc import Iterator
from typing import Any

from ..gateway import AuthRefused, GatewayError, NotOffered, Unseen, about, kinds, tools
from . import Finding, bad, note, ok

FIRST_WITHOUT_RESET = (2026, 8)
NEVER = 365 * 24 * 60  # minutes; whoever rests for longer has gone
SET = "Set in openclaw.json: "
TREE = '"tools": {"sessions": {"visibility": "tree"}}'
WARN = '"session": {"maintenance": {"mode": "warn"}}'
RARE = {"mode": "idle", "idleMinutes": 10 * NEVER}
NO_HEARTBEAT = '"agents": {"defaults": {"heartbeat": {"every": "0m"}}}'
NO_NOTICE = '"session": {"notifyOnCreate": false}'
ALL_KEPT = '"session": {"maintenance": {"mode": "warn"}, "notifyOnCreate": false}, ' + NO_HEARTBEAT


def release(told: str) -> Finding:
    if not told:
        says = "It does not tell its release, as none does before 2026.8; those end a session's memory every day."
        return note(
            "release", says, f"Use a newer OpenClaw, or make sure of it in openclaw.json: {instead('reset', told)}"
        )
    return ok("release", f"It is OpenClaw {told}.")


def reads_others(read: str, by: str, agent: str, word: str) -> Finding:
    """What the agent's tools see when they run in one session, of a word that was said in another."""
    calls: dict[str, dict[str, Any]] = {
        "sessions_history": {"sessionKey": kinds.full_key(read, agent), "limit": 20},
        "sessions_search": {"query": word},
    }
    try:
        seen = [name for name, args in calls.items() if word in called(name, args, by, agent)]
    except GatewayError as error:
        return note("privacy", f"Whether the agent's tools read other sessions was not found out: {error}", SET + TREE)
    if seen:
        says = f"The agent's tools in one session read what was said in another ({', '.join(seen)})."
        return bad("privacy", says, SET + TREE)
    return ok("privacy", "The agent's session tools in one session do not read another.")


def called(name: str, args: dict[str, Any], by: str, agent: str) -> str:
    """What a tool says in a session; nothing where it is refused, or not there at all."""
    try:
        return str(tools.invoke_tool(name, args, session_key=kinds.full_key(by, agent), agent=agent))
    except (AuthRefused, NotOffered):
        return ""


def forgets(sessions: list[tuple[str, str]]) -> Finding:
    """Deletes what the doctor began, by key and agent, and so proves that sessions can be managed."""
    try:
        for key, agent in sessions:
            tools.forget_session(key, agent)
    except Unseen:
        says = "It does not show its sessions to who would delete them: those of chats that are deleted for good stay."
        return bad("management", says, "Use a newer OpenClaw, such as 2026.9.6, or delete them there.")
    except NotOffered:
        says = "It does not let sessions be deleted or taken out of its archive from here."
        return bad("management", says, SET + tools.WHAT_TO_SET)
    except AuthRefused as error:
        return bad("management", f"Sessions cannot be managed from here: {error}", SET + TREE)
    except GatewayError as error:
        return bad("management", f"A session could not be deleted: {error}", "Look into the gateway's log.")
    return ok("management", "Sessions can be found and deleted from here.")


def upkeep(told: str, agent: str) -> Iterator[Finding]:
    """What happens to sessions by itself, as far as the gateway tells."""
    try:
        config = about.configuration()
    except GatewayError as error:
        says = f"What it archives, resets and does by itself cannot be seen from here: {error}"
        yield note("upkeep", says, f"Make sure of it in openclaw.json: {ALL_KEPT}")
        return
    yield archive(config)
    yield reset(config, told)
    yield heartbeat(config, agent)
    if numbers(told) >= FIRST_WITHOUT_RESET:
        yield announced(config)


def visible(config: dict[str, Any]) -> Finding:
    """By its word alone, where no turn can prove it."""
    visibility = at(config, "tools", "sessions", "visibility") or "all"
    if visibility in ("tree", "self"):
        return ok("privacy", f"The agent's session tools see “{visibility}” only.")
    says = f"The agent's tools in one session may read what was said in another (visibility “{visibility}”)."
    return bad("privacy", says, SET + TREE)


def archive(config: dict[str, Any]) -> Finding:
    maintenance = at(config, "session", "maintenance") or {}
    if maintenance.get("mode") == "warn":
        return ok("archive", "It keeps sessions however long they rest.")
    rest = maintenance.get("pruneAfter") or "30d"
    says = (
        f"Sessions that rest for {rest} are archived, and deleted when its disk space is used up or its release is old."
    )
    return bad("archive", says, SET + WARN)


def reset(config: dict[str, Any], told: str) -> Finding:
    """The first of its rules that ends a memory by itself; without any, its release decides."""
    rules = {path: at(config, "session", *path.split(".")) for path in ("reset", "resetByType.direct")}
    rules["resetByChannel.webchat"] = at(config, "session", "resetByChannel", "webchat")
    for path, rule in rules.items():
        if isinstance(rule, dict) and ends(rule):
            says = f"A session's memory ends by itself: session.{path} is “{rule.get('mode', 'daily')}”."
            return bad("reset", says, SET + instead(path, told))
    if rules["reset"] is None and numbers(told) < FIRST_WITHOUT_RESET:
        return bad("reset", "It ends every session's memory at four in the morning.", SET + instead("reset", told))
    return ok("reset", "No session's memory ends by itself.")


def ends(rule: dict[str, Any]) -> bool:
    minutes = rule.get("idleMinutes")
    rarely = rule.get("mode") == "idle" and isinstance(minutes, int) and minutes >= NEVER
    return rule.get("mode") != "none" and not rarely


def instead(path: str, told: str) -> str:
    """The line that takes the place of a rule."""
    rule = {"mode": "none"} if numbers(told) >= FIRST_WITHOUT_RESET else RARE
    outer, _, inner = path.partition(".")
    return line({"session": {outer: {inner: rule} if inner else rule}})


def line(parts: dict[str, Any]) -> str:
    return json.dumps(parts)[1:-1]


def heartbeat(config: dict[str, Any], agent: str) -> Finding:
    own = at(config, "agents", "entries", agent, "heartbeat", "every")
    every = str(own or at(config, "agents", "defaults", "heartbeat", "every") or "30m")
    if re.fullmatch(r"0+[a-z]*", every):
        return ok("heartbeat", "The agent is not woken by itself.")
    says = f"The agent is woken every {every} in its main session: a call of the model each time, and words there."
    return note("heartbeat", says, SET + NO_HEARTBEAT)


def announced(config: dict[str, Any]) -> Finding:
    if at(config, "session", "notifyOnCreate") is False:
        return ok("notices", "New sessions are not announced in the agent's main session.")
    return note("notices", "New sessions may be announced in the agent's main session.", SET + NO_NOTICE)


def at(config: Any, *path: str) -> Any:
    for name in path:
        config = config.get(name) if isinstance(config, dict) else None
    return config


def numbers(told: str) -> tuple[int, ...]:
    """2026.9.6 as numbers, which can be compared; none where the release is not known."""
    return tuple(int(part) for part in re.findall(r"\d+", told)[:3])
