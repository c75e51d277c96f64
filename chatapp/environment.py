"""What a setting may look like. One that makes no sense stops the start with one sentence instead of a traceback."""

import os
import re
import ssl
import sys
from pathlib import Path
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

import environ
from django.core.management.utils import get_random_secret_key

ROOT = Path(__file__).resolve().parent.parent
PER = {"minute": 60, "hour": 3600, "day": 86400}

env = environ.Env()
environ.Env.read_env(os.environ.get("WEBCHAT_ENV_FILE", ROOT / ".env"), parse_comments=True)


def refuse(sentence: str) -> NoReturn:
    sys.exit(sentence)


def secret(name: str) -> str:
    """A setting that may come from the file that <NAME>_FILE names; taken as it is, but for a newline at the end."""
    path = os.environ.get(f"{name}_FILE")
    try:
        return (Path(path).read_text() if path else os.environ.get(name, "")).strip()
    except OSError as error:
        refuse(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.")


def authority(name: str) -> str:
    """The path of a file with certificates that are believed; empty when it is not set."""
    path = env.str(name, "").strip()
    try:
        if path:
            ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        refuse(f"{name} names {path}, which is no file of certificates: it begins with -----BEGIN CERTIFICATE-----.")
    except OSError as error:
        refuse(f"{name} names {path}, which cannot be read: {error.strerror}.")
    return path


def generated(path: Path) -> str:
    """A secret made at the first start, kept in a file that only its owner reads."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(get_random_secret_key())
    except FileExistsError:
        pass
    except OSError as error:
        path.unlink(missing_ok=True)  # an empty one would be taken for the secret by the next start
        refuse(f"{path} cannot be written ({error.strerror}). Make room on its disk, or set WEBCHAT_DATA to another.")
    return path.read_text().strip()


def flag(name: str, default: bool) -> bool:
    """Yes or no; a slip of the pen must not silently mean no."""
    value = env.str(name, "").strip().lower()
    if value in ("", "true", "yes", "on", "1", "false", "no", "off", "0"):
        return value in ("true", "yes", "on", "1") if value else default
    refuse(f"{name} is true or false, not {value}.")


def natural(name: str, default: int, least: int = 0, most: int = 999_999_999) -> int:
    value = env.str(name, "").strip()
    if not value:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
        upto = "on" if most == 999_999_999 else f"to {most}"
        refuse(f"{name} is a whole number from {least} {upto}, not {value}.")
    return int(value)


def rates(name: str, default: str) -> list[tuple[int, int]]:
    """Limits such as "10/minute, 200/day" as pairs of a number and seconds; empty: no limit."""
    found = []
    for rate in filter(None, (part.strip() for part in env.str(name, default).split(","))):
        match = re.fullmatch(r"([1-9]\d{0,8})/(minute|hour|day)", rate)
        if match is None:
            refuse(f"{name} is a list such as 10/minute,200/day; “{rate}” is no part of one.")
        found.append((int(match[1]), PER[match[2]]))
    return found


def address(name: str, example: str) -> SplitResult:
    """An address without a path, in small letters; empty when it is not set."""
    value = env.str(name, "").strip().rstrip("/")
    try:
        parts = urlsplit(value)
        port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    except ValueError:
        refuse(f"{name} is no address. It looks like {example}.")
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        refuse(f"{name} is no address. It looks like {example}.")
    if parts.username or parts.password:
        refuse(f"{name} must not carry a name or a password.")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return parts._replace(netloc=host + port)
