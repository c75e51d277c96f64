from django.conf import settings
from django.http import HttpRequest


def gateway(request: HttpRequest) -> dict[str, bool]:
    """Whether replies come from the built-in demo: the page says so as long as it is true."""
    return {"demo_gateway": not settings.OPENCLAW_GATEWAY_URL}
