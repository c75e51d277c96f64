"""Where something in a transcript was said, in words for a reader: which channel, which program, which part of the
gateway."""

import re
from typing import Any

from ..text import clean_name

GATEWAY = "the gateway"
MOST = 60  # characters
SELF = "OpenClaw"
CHANNELS = {
    "telegram": "Telegram",
    "whatsapp": "WhatsApp",
    "discord": "Discord",
    "slack": "Slack",
    "signal": "Signal",
    "imessage": "iMessage",
    "bluebubbles": "iMessage",
    "msteams": "Microsoft Teams",
    "googlechat": "Google Chat",
    "matrix": "Matrix",
    "irc": "IRC",
    "line": "LINE",
    "sms": "SMS",
    "voice": "a call",
    "talk": "a call",
}
PROGRAMS = {
    "openclaw-control-ui": SELF,
    "webchat-ui": SELF,
    "webchat": SELF,
    "openclaw-tui": f"{SELF} in a terminal",
    "cli": f"{SELF} in a terminal",
    "openclaw-macos": f"{SELF} on a Mac",
    "openclaw-linux": f"{SELF} on Linux",
    "openclaw-ios": f"{SELF} on a phone",
    "openclaw-android": f"{SELF} on a phone",
    "openclaw-watchos": f"{SELF} on a watch",
}
SUBAGENT, SCHEDULE, OTHER_AGENT = "a sub-agent", "a scheduled task", "another agent"
# How earlier releases wrote the channel into the message itself: [Telegram Ada id:1 2026-06-11 09:30] Hello
ENVELOPE = re.compile(rf"\[({'|'.join(CHANNELS)})\b[^\]\n]{{0,200}}\] ?", re.IGNORECASE)


def of_question(message: dict[str, Any], meta: dict[str, Any]) -> str:
    """Empty where nothing tells it from what came over HTTP, as our own questions do."""
    provenance = table(message, "provenance")
    channel = str(table(meta, "senderIdentity").get("pluginId") or provenance.get("sourceChannel") or "")
    if said := CHANNELS.get(channel.lower()):
        return said
    if provenance:
        return _of_provenance(provenance)
    if channel:
        return clean_name(channel)[:MOST] or GATEWAY
    clients = table(meta, "transport").get("clients")
    first = clients[0] if isinstance(clients, list) and clients and isinstance(clients[0], dict) else {}
    if first:
        return PROGRAMS.get(str(first.get("id")), GATEWAY)
    return clean_name(str(meta.get("senderName") or meta.get("senderId") or ""))[:MOST]


def of_answer(message: dict[str, Any], run: str) -> str:
    """Empty where it is the answer to what was said before it."""
    provenance = table(message, "provenance")
    if provenance:
        return _of_provenance(provenance)
    return SUBAGENT if run.startswith("announce:") else ""


def _of_provenance(provenance: dict[str, Any]) -> str:
    tool = str(provenance.get("sourceTool") or "")
    if tool.startswith("subagent") or provenance.get("sourceRole") == "subagent":
        return SUBAGENT
    if tool == "cron":
        return SCHEDULE
    return OTHER_AGENT if provenance.get("kind") == "inter_session" else GATEWAY


def table(of: dict[str, Any], name: str) -> dict[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}
