"""Shows that the suite bites: takes one safeguard at a time out of a copy of the code; its tests must fail then.

.venv/bin/python -m tests.mutate          # all of them
.venv/bin/python -m tests.mutate fence    # one
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".venv", ".git", "node_modules", "__pycache__", ".*_cache", "docs")


@dataclass(frozen=True)
class Safeguard:
    name: str
    file: str
    text: str  # stands there exactly once
    without: str
    tests: str


SAFEGUARDS = [
    Safeguard(
        "lease fence when writing",
        "sessions_core/models/message.py",
        "        return self.filter(owner_process=process, state=Message.State.STREAMING)\n",
        "        return self.filter(role=Message.Role.ASSISTANT)\n",
        "tests/test_relay.py",
    ),
    Safeguard(
        "lease fence when settling",
        "sessions_core/models/ending.py",
        '{"owner_process": process} if process else {}',
        "{}",
        "tests/test_relay.py tests/test_chat.py",
    ),
    Safeguard(
        "unique index of running replies",
        "sessions_core/migrations/0001_initial.py",
        "fields=('chat',), name='one_running_reply'",
        "fields=('chat', 'id'), name='one_running_reply'",
        "tests/test_chat.py",
    ),
    Safeguard(
        "tick",
        "chatapp/consumers.py",
        "            async with asyncio.timeout(TICK_IDLE * random.uniform(0.8, 1.2)):  # noqa: S311\n",
        "            async with asyncio.timeout(1_000_000):\n                await asyncio.sleep(1_000_000)\n",
        "tests/test_consumers.py",
    ),
    Safeguard(
        "sequence check",
        "chatapp/following.py",
        '        if event["after"] != self.seq:\n            return await self.catch_up()\n',
        "",
        "tests/test_consumers.py",
    ),
    Safeguard(
        "bound of unacknowledged text",
        "chatapp/following.py",
        "        if self.flow.lagging or self.flow.room < 0:\n",
        "        if self.flow.lagging:\n",
        "tests/test_consumers.py",
    ),
    Safeguard(
        "bound of what a connection has not taken",
        "chatapp/consumers.py",
        "        self.flow.check()\n",
        "",
        "tests/test_consumers.py",
    ),
    Safeguard(
        "bound of running replies for each person",
        "sessions_core/models/message.py",
        "chosen = self.next_in_turn().order_by",
        "chosen = self.waiting().order_by",
        "tests/test_relay.py",
    ),
    Safeguard(
        "owner filter",
        "sessions_core/models/chats.py",
        "        return self.filter(owner=user, deleted_at=None)\n",
        "        return self.filter(deleted_at=None)\n",
        "tests/test_routes.py tests/test_consumers.py tests/test_api.py",
    ),
    Safeguard(
        "owner filter of an open page",
        "chatapp/standing.py",
        "chat.owner_id = %s and chat.deleted_at is null",
        "(chat.owner_id = %s or 1 = 1)",
        "tests/test_consumers.py",
    ),
    Safeguard(
        "origin check",
        "chatapp/doors.py",
        "        return origin in {",
        "        return True or origin in {",
        "tests/test_consumers.py",
    ),
    Safeguard(
        "sanitizer",
        "chatapp/markdown.py",
        "    clean = nh3.clean(\n",
        "    clean = (lambda html, **_: html)(\n",
        "tests/test_markdown.py",
    ),
    Safeguard(
        "agents of a group",
        "sessions_core/models/grant.py",
        "    return [agent for agent in tools.agents() if agent not in closed]\n",
        "    return tools.agents()\n",
        "tests/test_agents.py",
    ),
    Safeguard(
        "agent taken away",
        "sessions_core/models/asking.py",
        "    chat.check_right(chat.situation.open)\n",
        "    chat.check_right(True)\n",
        "tests/test_agents.py",
    ),
    Safeguard(
        "gateway's certificate",
        "sessions_core/gateway/trust.py",
        "    return _trusting(settings.OPENCLAW_GATEWAY_CA) if settings.OPENCLAW_GATEWAY_CA else True\n",
        "    return False\n",
        "tests/test_far_away.py",
    ),
]


def main(wanted: list[str]) -> None:
    survivors = []
    with tempfile.TemporaryDirectory(prefix="webchat-mutate-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        shutil.copytree(ROOT / "docs", copy / "docs")
        for safeguard in SAFEGUARDS:
            if not wanted or any(word in safeguard.name for word in wanted):
                noticed = noticed_without(safeguard, copy)
                print("noticed:" if noticed else "NOT NOTICED:", f"without the {safeguard.name}", flush=True)  # noqa: T201
                survivors += [] if noticed else [safeguard.name]
    sys.exit(f"{len(survivors)} of them were missed by no test." if survivors else 0)


def noticed_without(safeguard: Safeguard, copy: Path) -> bool:
    file = copy / safeguard.file
    original = file.read_text()
    if original.count(safeguard.text) != 1:
        sys.exit(f"{safeguard.file} does not hold the {safeguard.name} exactly once; tests/mutate.py is out of date.")
    file.write_text(original.replace(safeguard.text, safeguard.without))
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-q", *safeguard.tests.split()]
        env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True, timeout=300)
    finally:
        file.write_text(original)
    if done.returncode not in (0, 1):  # 1: tests failed; anything else is no answer
        sys.exit(f"pytest could not run without the {safeguard.name}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


if __name__ == "__main__":
    main(sys.argv[1:])
