import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions_core.gateway import GatewayError, kinds, tools
from sessions_core.management.telling import aligned, printable

MOST = 500  # sessions


class Command(BaseCommand):
    help = "The gateway itself: run one of its tools, see which agents and sessions it has."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        tool = verbs.add_parser("tool", help="Run a tool of the gateway and print what it says, as JSON.")
        tool.add_argument("name", help="Such as sessions_list.")
        tool.add_argument("arguments", nargs="?", default="{}", metavar="JSON", help='Such as {"limit": 5}.')
        tool.add_argument("--session", default=tools.MAIN, metavar="KEY", help="In which session it runs.")
        tool.add_argument("--agent", default="", help="Whose tool it is; without, the gateway chooses.")
        agents = verbs.add_parser("agents", help="The agents that the gateway has.")
        sessions = verbs.add_parser("sessions", help=f"The {MOST} last used sessions of an agent.")
        sessions.add_argument("--agent", default=settings.OPENCLAW_AGENT_ID)
        sessions.add_argument("--search", default="", metavar="WORDS", help="In their keys and labels.")
        for verb in (agents, sessions):
            verb.add_argument("--json", action="store_true", help="For machines.")

    def handle(self, *, verb: str, **options: Any) -> None:
        if not kinds.configured().has_agents:
            raise CommandError("A plain server has no agents, tools or sessions; this is for an OpenClaw gateway.")
        try:
            getattr(self, verb)(**options)
        except GatewayError as error:
            raise CommandError(printable(str(error))) from None

    def tool(self, *, name: str, arguments: str, session: str, agent: str, **_: Any) -> None:
        try:
            given = json.loads(arguments)
        except ValueError as error:
            raise CommandError(f"The arguments are no JSON: {error}.") from None
        if not isinstance(given, dict):
            raise CommandError('The arguments are a JSON object, such as {"limit": 5}.')
        self.write(tools.invoke_tool(name, given, session_key=session, agent=agent))

    def agents(self, *, json: bool, **_: Any) -> None:
        agents = tools.listed_agents()
        if json:
            return self.write(agents)
        self.lines(agents or ["The gateway lists no agents."])

    def sessions(self, *, agent: str, search: str, json: bool, **_: Any) -> None:
        found = list(tools.listed_sessions(agent, search, most=MOST, includeDerivedTitles=True))
        if json:
            return self.write(found)
        heads = ("KEY", "LAST ACTIVE", "TOKENS", "ARCHIVED", "TITLE")
        self.lines(aligned([heads, *map(as_cells, found)]) if found else ["No sessions."])

    def write(self, data: Any) -> None:
        self.stdout.write(json.dumps(data, indent=2))

    def lines(self, lines: list[str]) -> None:
        for line in lines:
            self.stdout.write(printable(line))


def as_cells(session: dict[str, Any]) -> tuple[str, ...]:
    at, tokens = tools.moment(session.get("updatedAt")), session.get("totalTokens")
    title = str(session.get("label") or session.get("derivedTitle") or "–")
    archived = "yes" if session.get("archived") is True else "no"
    told = (f"{at:%Y-%m-%d %H:%M}" if at else "–", f"{tokens:,}" if type(tokens) is int else "–", archived, title)
    return (printable(str(session.get("key"))), *told[:-1], printable(told[-1]))
