"""The doors: every connection passes the guard and the proxy's headers first, then goes to Django or to the socket."""

import os

import django
from channels.routing import ProtocolTypeRouter, URLRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatapp.settings")
django.setup(set_prefix=False)

from . import doors  # noqa: E402
from .consumers import PageConsumer  # noqa: E402
from .handler import PageHandler  # noqa: E402
from .urls import sockets  # noqa: E402

application = doors.Proxied(
    ProtocolTypeRouter(
        {
            "http": doors.Alive(doors.BodyLimit(PageHandler())),
            "websocket": doors.SameOrigin(doors.SignedIn(URLRouter(sockets(PageConsumer)))),
        }
    )
)
