"""All settings. Each comes from the environment or from `.env` beside manage.py; `.env.example` explains them."""

import os
import re
import sys
import zoneinfo
from ipaddress import ip_network
from pathlib import Path

from platformdirs import user_data_path

from .database import database
from .environment import ROOT, address, authority, env, flag, generated, natural, rates, refuse, secret

os.umask(0o077)  # what is stored is for this user's eyes, also in a folder that others may enter


# --- Data: never in the clone, which `git clean` empties

DATA = Path(env.str("WEBCHAT_DATA", "") or user_data_path("openclaw-webchat")).expanduser().resolve()
try:
    DATA.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(DATA, os.W_OK | os.X_OK):
        raise PermissionError(13, "permission denied")
except OSError as error:
    sys.exit(f"The data folder {DATA} cannot be written ({error.strerror}). Set WEBCHAT_DATA to one that can.")

SECRET_KEY = secret("SECRET_KEY") or generated(DATA / "secret_key")
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
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # the proxy leads to https: behind one that is not in TRUSTED_PROXIES, this would turn in circles
    "security.W021",  # preloading is for a whole domain, which may not be ours
]
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
OPENCLAW_GATEWAY_CA = authority("OPENCLAW_GATEWAY_CA")
OPENCLAW_AGENT_ID = env.str("OPENCLAW_AGENT_ID", "main").strip()
if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", OPENCLAW_AGENT_ID):
    refuse(
        f"OPENCLAW_AGENT_ID is an agent's id in small letters, digits, - and _, such as main; not {OPENCLAW_AGENT_ID}."
    )
GATEWAY_KIND = env.str("GATEWAY_KIND", "openclaw").strip().lower()
plain = GATEWAY_KIND == "openai"
if GATEWAY_KIND not in ("openclaw", "openai"):
    refuse(f"GATEWAY_KIND is openclaw, or openai for a plain OpenAI-compatible server; not {GATEWAY_KIND}.")
if plain and not OPENCLAW_GATEWAY_URL:
    refuse("GATEWAY_KIND=openai needs a server: set OPENCLAW_GATEWAY_URL, such as http://127.0.0.1:11434.")
GATEWAY_MODEL = env.str("GATEWAY_MODEL", "").strip()
if plain and not GATEWAY_MODEL:
    refuse(
        "GATEWAY_KIND=openai needs a model: set GATEWAY_MODEL to one of those that the server lists at "
        f"{OPENCLAW_GATEWAY_URL}/v1/models."
    )
GATEWAY_CONTEXT_TOKENS = natural("GATEWAY_CONTEXT_TOKENS", 8192, 512)


# --- Sessions and behaviour

SESSION_DEFAULT_PERSISTENT = flag("SESSION_DEFAULT_PERSISTENT", False)
SESSION_PROTECT_MAIN = flag("SESSION_PROTECT_MAIN", False)
CHAT_TITLES = env.str("CHAT_TITLES", "words").strip().lower()
if CHAT_TITLES not in ("words", "gateway"):
    refuse(f"CHAT_TITLES is words, for the first words of a chat, or gateway; not {CHAT_TITLES}.")
GATEWAY_LABELS = flag("GATEWAY_LABELS", False)
SESSION_TTL_DAYS = natural("SESSION_TTL_DAYS", 0)
SESSION_TTL_PERSISTENT_DAYS = natural("SESSION_TTL_PERSISTENT_DAYS", 0)
if 0 < SESSION_TTL_DAYS < 14 or 0 < SESSION_TTL_PERSISTENT_DAYS < 14:
    refuse(
        "SESSION_TTL_DAYS and SESSION_TTL_PERSISTENT_DAYS are 0, for never, or at least 14, "
        "because people are told a week before."
    )
SESSION_TRASH_DAYS = natural("SESSION_TRASH_DAYS", 30)
ADMIN_SHOWS_TEXT = flag("ADMIN_SHOWS_TEXT", False)


# --- Limits: the default, the least and the most

SESSION_MAX_PER_USER = natural("SESSION_MAX_PER_USER", 50)
SESSION_CREATE_RATE = rates("SESSION_CREATE_RATE", "10/minute,200/day")
MESSAGE_RATE = rates("MESSAGE_RATE", "30/minute,2000/day")
MESSAGE_MAX_LENGTH = natural("MESSAGE_MAX_LENGTH", 100_000, 1, 1_000_000)
MESSAGES_QUEUED = natural("MESSAGES_QUEUED", 5, 0, 100)
REPLIES_PER_USER = natural("REPLIES_PER_USER", 10)
REPLY_MAX_LENGTH = natural("REPLY_MAX_LENGTH", 2_000_000, 1, 20_000_000)
REPLY_MAX_EVENTS = natural("REPLY_MAX_EVENTS", 200_000, 1)
REPLY_MAX_LINE = natural("REPLY_MAX_LINE", 1_000_000, 1000, 20_000_000)
RELAY_CAPACITY = natural("RELAY_CAPACITY", 500, 1, 10_000)
GATEWAY_CONNECT_SECONDS = natural("GATEWAY_CONNECT_SECONDS", 10, 1)
GATEWAY_START_SECONDS = natural("GATEWAY_START_SECONDS", 300, 1)
GATEWAY_TOTAL_SECONDS = natural("GATEWAY_TOTAL_SECONDS", 86_400, 1)
if plain:
    GATEWAY_TOTAL_SECONDS = natural("GATEWAY_TOTAL_SECONDS", 2 * 3600, 1)
GATEWAY_SILENCE_SECONDS = natural("GATEWAY_SILENCE_SECONDS", 600, 1)
GATEWAY_FEEDS = natural("GATEWAY_FEEDS", 100, 0, 10_000)
SERVE_DRAIN_SECONDS = natural("SERVE_DRAIN_SECONDS", 10)
RELAY_DRAIN_SECONDS = natural("RELAY_DRAIN_SECONDS", 1800)
SOCKETS_PER_USER = natural("SOCKETS_PER_USER", 50, 1)
SOCKETS_MAX = natural("SOCKETS_MAX", 2000, 1)
SOCKET_FRAME_SIZE = natural("SOCKET_FRAME_SIZE", 4096, 1024, 64_000)
SOCKET_FRAME_RATE = natural("SOCKET_FRAME_RATE", 10, 1)
SOCKET_FRAME_BURST = natural("SOCKET_FRAME_BURST", 50, 5)
SOCKET_UNACKED = natural("SOCKET_UNACKED", 256_000, 1000, 10_000_000)
SOCKET_ACK_SECONDS = natural("SOCKET_ACK_SECONDS", 30, 5)
# A form holds one message: a character is at most four bytes, percent-encoded twelve. Only an import is larger.
DATA_UPLOAD_MAX_MEMORY_SIZE = natural("FORM_MAX_SIZE", 12 * MESSAGE_MAX_LENGTH + 100_000, 100_000)
IMPORT_MAX_SIZE = natural("IMPORT_MAX_SIZE", 20_000_000)
FILE_UPLOAD_MAX_MEMORY_SIZE = DATA_UPLOAD_MAX_MEMORY_SIZE + IMPORT_MAX_SIZE  # it is in memory already: none on disk
DATA_UPLOAD_MAX_NUMBER_FIELDS = 300


# --- Several processes

METRICS_TOKEN = secret("METRICS_TOKEN")
REDIS_URL = secret("REDIS_URL")
if REDIS_URL and not re.match(r"(rediss?|unix)://", REDIS_URL):
    refuse("REDIS_URL looks like redis://127.0.0.1:6379/0, rediss://… or unix:///run/redis.sock.")


# --- Database

DATABASES = {"default": database(secret("DATABASE_URL"), DATA / "webchat.sqlite3")}
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
    "chatapp.middleware.compress_news",
    "chatapp.middleware.guard_pages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "chatapp.middleware.use_own_time_zone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "chatapp.middleware.ask_for_patience",
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


# --- Accounts

AUTH_USER_MODEL = "sessions_core.User"
LOGIN_URL = "login"
CSRF_FAILURE_VIEW = "chatapp.accounts.token_over"
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
