"""The application's settings as tests use them: own data folder, nobody's settings, fast passwords."""

import atexit
import os
import re
import shutil
import tempfile
from pathlib import Path

folder = tempfile.mkdtemp(prefix="webchat-tests-")
atexit.register(shutil.rmtree, folder, ignore_errors=True)

example = (Path(__file__).resolve().parent.parent / ".env.example").read_text()
for name in re.findall(r"^#([A-Z_]+)=", example, re.MULTILINE):
    if name != "DATABASE_URL":  # which says what the suite runs on
        os.environ.pop(name, None)
        os.environ.pop(f"{name}_FILE", None)
os.environ["WEBCHAT_ENV_FILE"] = os.devnull
os.environ["WEBCHAT_DATA"] = folder

from chatapp.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(DATA / "test.sqlite3")}  # a file: in memory, locking differs
    # Only a loss of power shows what waiting for the disk at every commit is for, and no test can cut it.
    DATABASES["default"]["OPTIONS"]["init_command"] += " PRAGMA synchronous=OFF;"
else:
    # Each test is a transaction, which idles while it does something else; on a busy machine for long.
    DATABASES["default"]["OPTIONS"]["options"] = "-c statement_timeout=10s -c idle_in_transaction_session_timeout=60s"
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
STATIC_ROOT.mkdir()
