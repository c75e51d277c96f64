"""The doors: every connection passes the guard and the proxy's headers first, then goes to Django or to the socket."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatapp.settings")
pages = get_asgi_application()

from . import doors  # noqa: E402
from .consumers import PageConsumer  # noqa: E402
from .urls import sockets  # noqa: E402

application = doors.Proxied(
    ProtocolTypeRouter(
        {
            "http": doors.BodyLimit(pages),
            "websocket": doors.SameOrigin(doors.SignedIn(URLRouter(sockets(PageConsumer)))),
        }
    )
)
