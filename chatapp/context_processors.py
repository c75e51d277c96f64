from django.conf import settings
from django.http import HttpRequest

from sessions_core.gateway import kinds


def gateway(request: HttpRequest) -> dict[str, bool]:
    """Whether replies come from the built-in demo: the page says so as long as it is true. And whether agents give
    them, whose main session and names the pages show."""
    return {"demo_gateway": not settings.OPENCLAW_GATEWAY_URL, "has_agents": kinds.configured().has_agents}
