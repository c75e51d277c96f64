"""All settings. Each comes from the environment or from `.env` beside manage.py; `.env.example` explains them."""

import os
import re
import sys
import zoneinfo
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import environ
from django.core.management.utils import get_random_secret_key
from platformdirs import user_data_path


def refuse(sentence: str) -> NoReturn:
    """A setting makes no sense: one sentence instead of a traceback."""
    sys.exit(sentence)


ROOT = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(os.environ.get("WEBCHAT_ENV_FILE", ROOT / ".env"), parse_comments=True)
os.umask(0o077)  # what is stored is for this user's eyes, also in a folder that others may enter


def secret(name: str) -> str:
    """A setting that may come from the file that <NAME>_FILE names; taken as it is, but for a newline at the end."""
    path = os.environ.get(f"{name}_FILE")
    try:
        return (Path(path).read_text() if path else os.environ.get(name, "")).strip()
    except OSError as error:
        refuse(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.")


def flag(name: str, default: bool) -> bool:
    """Yes or no; a slip of the pen must not silently mean no."""
    value = env.str(name, "").strip().lower()
    if value in ("", "true", "yes", "on", "1", "false", "no", "off", "0"):
        return value in ("true", "yes", "on", "1") if value else default
    refuse(f"{name} is true or false, not {value}.")


def natural(name: str, default: int) -> int:
    value = env.str(name, "").strip()
    if value and not re.fullmatch(r"[0-9]{1,9}", value):
        refuse(f"{name} is a whole number from 0 on, not {value}.")
    return int(value) if value else default


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


# --- Data: never in the clone, which `git clean` empties

DATA = Path(env.str("WEBCHAT_DATA", "") or user_data_path("openclaw-webchat")).expanduser().resolve()
try:
    DATA.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(DATA, os.W_OK | os.X_OK):
        raise PermissionError(13, "permission denied")
except OSError as error:
    sys.exit(f"The data folder {DATA} cannot be written ({error.strerror}). Set WEBCHAT_DATA to one that can.")


def stored_secret_key() -> str:
    """Made at the first start, kept in the data folder, readable by its owner only."""
    path = DATA / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(get_random_secret_key())
    except FileExistsError:
        pass
    return path.read_text().strip()


SECRET_KEY = secret("SECRET_KEY") or stored_secret_key()
DEBUG = flag("DEBUG", False)


# --- Where it is reached

public = address("PUBLIC_URL", "https://chat.example.org")
PUBLIC_URL = public.geturl()
if public.path:
    refuse("PUBLIC_URL is scheme and host, such as https://chat.example.org, and no path.")

HTTPS = public.scheme == "https"
ALLOWED_HOSTS = [*env.list("ALLOWED_HOSTS", default=[]), "localhost", "127.0.0.1", "[::1]"]
if public.hostname:
    ALLOWED_HOSTS.append(f"[{public.hostname}]" if ":" in public.hostname else public.hostname)
if "*" in ALLOWED_HOSTS:
    refuse("ALLOWED_HOSTS may not be '*': name the hosts, or set PUBLIC_URL.")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
try:
    [ip_network(network) for network in TRUSTED_PROXIES]
except ValueError as error:
    refuse(f"TRUSTED_PROXIES are addresses or networks such as 127.0.0.1, 10.0.0.0/8: {error}.")

SESSION_COOKIE_NAME = "__Host-webchat" if HTTPS else "webchat"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_AGE = 30 * 24 * 3600
CSRF_COOKIE_HTTPONLY = True  # the page carries the token itself
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"  # with no-referrer browsers post forms with Origin: null, which CSRF refuses
X_FRAME_OPTIONS = "DENY"


# --- The gateway

gateway = address("OPENCLAW_GATEWAY_URL", "http://127.0.0.1:18789")
if gateway.hostname in ("169.254.169.254", "metadata.google.internal", "fd00:ec2::254"):
    refuse("OPENCLAW_GATEWAY_URL names a cloud's metadata service, which is no gateway.")
OPENCLAW_GATEWAY_URL = gateway.geturl().removesuffix("/v1")
OPENCLAW_GATEWAY_TOKEN = secret("OPENCLAW_GATEWAY_TOKEN")
if not OPENCLAW_GATEWAY_TOKEN.isprintable() or not OPENCLAW_GATEWAY_TOKEN.isascii():
    refuse("OPENCLAW_GATEWAY_TOKEN has characters that cannot be sent; it is one line of letters, digits and signs.")
OPENCLAW_AGENT_ID = env.str("OPENCLAW_AGENT_ID", "main").strip()
if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", OPENCLAW_AGENT_ID):
    refuse(
        f"OPENCLAW_AGENT_ID is an agent's id in small letters, digits, - and _, such as main; not {OPENCLAW_AGENT_ID}."
    )


# --- Sessions: how many, for how long

PER = {"minute": 60, "hour": 3600, "day": 86400}


def rates(name: str, text: str) -> list[tuple[int, int]]:
    """Limits such as "10/minute, 200/day" as pairs of a number and seconds; empty: no limit."""
    found = []
    for rate in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([1-9]\d{0,8})/(minute|hour|day)", rate)
        if match is None:
            refuse(f"{name} is a list such as 10/minute,200/day; “{rate}” is no part of one.")
        found.append((int(match[1]), PER[match[2]]))
    return found


SESSION_DEFAULT_PERSISTENT = flag("SESSION_DEFAULT_PERSISTENT", False)
SESSION_PROTECT_MAIN = flag("SESSION_PROTECT_MAIN", False)
SESSION_MAX_PER_USER = natural("SESSION_MAX_PER_USER", 50)
SESSION_CREATE_RATE = rates("SESSION_CREATE_RATE", env.str("SESSION_CREATE_RATE", "10/minute,200/day"))
MESSAGE_RATE = rates("MESSAGE_RATE", env.str("MESSAGE_RATE", "30/minute,2000/day"))
SESSION_TTL_DAYS = natural("SESSION_TTL_DAYS", 0)
SESSION_TTL_PERSISTENT_DAYS = natural("SESSION_TTL_PERSISTENT_DAYS", 0)
if 0 < SESSION_TTL_DAYS < 14 or 0 < SESSION_TTL_PERSISTENT_DAYS < 14:
    refuse(
        "SESSION_TTL_DAYS and SESSION_TTL_PERSISTENT_DAYS are 0, for never, or at least 14, "
        "because people are told a week before."
    )
SESSION_TRASH_DAYS = natural("SESSION_TRASH_DAYS", 30)
ADMIN_SHOWS_TEXT = flag("ADMIN_SHOWS_TEXT", False)


# --- Several processes

SOCKETS_PER_USER = natural("SOCKETS_PER_USER", 50)
SOCKETS_MAX = natural("SOCKETS_MAX", 2000)
METRICS_TOKEN = secret("METRICS_TOKEN")
REDIS_URL = secret("REDIS_URL")
if REDIS_URL and not re.match(r"(rediss?|unix)://", REDIS_URL):
    refuse("REDIS_URL looks like redis://127.0.0.1:6379/0, rediss://… or unix:///run/redis.sock.")


# --- Database

SQLITE_OPTIONS = {
    # IMMEDIATE: a transaction that reads and then writes would otherwise fail at once when another writes.
    "transaction_mode": "IMMEDIATE",
    "timeout": 10,
    # Read where the system has the file in memory already: a search through all messages takes half the time.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
    "PRAGMA mmap_size=536870912;",
}
POSTGRESQL_OPTIONS = {
    # Every request has a thread of its own under ASGI, so connections are pooled, not kept by thread.
    "pool": {"min_size": 1, "max_size": 20, "timeout": 10},
    # No transaction of ours waits for anything: one that idles belongs to a process that is suspended or lost.
    "options": "-c statement_timeout=10s -c idle_in_transaction_session_timeout=5s",
}


def known_database(url: str) -> dict[str, Any]:
    try:
        config = environ.Env.db_url_config(url)
    except (ValueError, KeyError):
        config = {}
    if config.get("ENGINE") not in ("django.db.backends.postgresql", "django.db.backends.sqlite3"):
        refuse("DATABASE_URL is no address of a database, such as postgres://user:password@host:5432/webchat.")
    return config


def database() -> dict[str, Any]:
    config: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA / "webchat.sqlite3")}
    if url := secret("DATABASE_URL"):
        config = known_database(url)
    sqlite = config["ENGINE"] == "django.db.backends.sqlite3"
    return config | {"OPTIONS": config.get("OPTIONS", {}) | (SQLITE_OPTIONS if sqlite else POSTGRESQL_OPTIONS)}


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


# --- The application

ROOT_URLCONF = "chatapp.urls"
ASGI_APPLICATION = "chatapp.asgi.application"
INSTALLED_APPS = [
    "sessions_core.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "sessions_core",
    "chatapp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "chatapp.middleware.guard_pages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "chatapp.middleware.use_own_time_zone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "chatapp.context_processors.gateway",
            ],
        },
    },
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "chatapp.storage.Storage"},
}
STATIC_URL = "static/"
STATIC_ROOT = DATA / "static"  # made by `serve`
STATICFILES_DIRS = [ROOT / "static"]

MESSAGE_RENDERER = "chatapp.markdown.render"  # the domain knows no HTML; the relay stores what this makes

# No form is larger than a message: 100,000 characters are at most 400 KB, percent-encoded 1.2 MB. Only an import is.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_300_000
IMPORT_MAX_SIZE = 20_000_000
FILE_UPLOAD_MAX_MEMORY_SIZE = DATA_UPLOAD_MAX_MEMORY_SIZE + IMPORT_MAX_SIZE  # it is in memory already: none on disk
DATA_UPLOAD_MAX_NUMBER_FIELDS = 300


# --- Accounts

AUTH_USER_MODEL = "sessions_core.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "chat"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_RESET_TIMEOUT = 7 * 24 * 3600
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "sessions_core.models.event.TokensEndWithPassword"},
]


# --- Language, time, log

LANGUAGE_CODE = "en-us"
TIME_ZONE = env.str("TIME_ZONE", "UTC").strip()
if TIME_ZONE not in zoneinfo.available_timezones():
    refuse(f"TIME_ZONE {TIME_ZONE} is no time zone. It looks like Europe/Berlin.")
LOG_LEVEL = env.str("LOG_LEVEL", "WARNING").strip().upper()
if LOG_LEVEL not in ("DEBUG", "INFO", "WARNING", "ERROR"):
    refuse("LOG_LEVEL is DEBUG, INFO, WARNING or ERROR.")
USE_I18N = False
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "sessions_core.secrets.RedactingFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    # Anybody can send a wrong Host: a traceback for each would bury the rest.
    "loggers": {"django.security.DisallowedHost": {"handlers": [], "propagate": False}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
}
