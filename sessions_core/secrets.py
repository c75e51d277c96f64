"""Keeps the gateway token out of logs and error texts."""

import logging
import re

from django.conf import settings

BEARER = re.compile(r"(?i)bearer\s+[\w.~+/=-]+")


def redact(text: str) -> str:
    """The text with the gateway token and anything that looks like a bearer credential replaced."""
    if settings.OPENCLAW_GATEWAY_TOKEN:
        text = text.replace(settings.OPENCLAW_GATEWAY_TOKEN, "***")
    return BEARER.sub("Bearer ***", text)


class RedactingFormatter(logging.Formatter):
    """The last step before a line is written, so tracebacks are covered too."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
