"""What a start refuses, because it would show somebody what is not theirs; each in a sentence that says what to do."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import CommandError

SHORTEST_KEY = 50  # characters, as Django's own `check --deploy` asks for
OWN_KEY = "Take SECRET_KEY out, and one is made and kept; or make one: openssl rand -hex 32"


def refuse_unsafe(host: str = "127.0.0.1") -> None:
    """Before anything listens on `host`; raises CommandError."""
    if settings.DEBUG and not (stays_here(host) and stays_here(urlsplit(settings.PUBLIC_URL).hostname or "localhost")):
        raise CommandError(
            "DEBUG shows settings and source to whoever can reach this. Take it out, or serve on 127.0.0.1 "
            "without PUBLIC_URL."
        )
    if len(settings.SECRET_KEY) < SHORTEST_KEY or len(set(settings.SECRET_KEY)) < 5:
        raise CommandError(f"SECRET_KEY can be guessed: {SHORTEST_KEY} characters is the least. {OWN_KEY}")
    gateway = urlsplit(settings.OPENCLAW_GATEWAY_URL)
    if gateway.scheme == "http" and is_public(gateway.hostname or ""):
        raise CommandError(
            f"OPENCLAW_GATEWAY_URL would send the gateway's token to {gateway.hostname} for everybody on the way to "
            "read. Use https://, a private address, or a tunnel."
        )


def stays_here(host: str) -> bool:
    """Whether only this machine can reach it."""
    found = addresses(host)
    return bool(found) and all(address.is_loopback for address in found)


def is_public(host: str) -> bool:
    """Also by what its name stands for; to one that stands for nothing no token goes."""
    return any(address.is_global for address in addresses(host))


def addresses(host: str) -> list[IPv4Address | IPv6Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError):
        return []
    plain = [ip_address(address[0]) for *_, address in found]
    return [getattr(address, "ipv4_mapped", None) or address for address in plain]
