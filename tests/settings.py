"""The application's settings as tests use them: own data folder, no .env, fast passwords."""

import os
import tempfile

os.environ["WEBCHAT_ENV_FILE"] = os.devnull
os.environ["WEBCHAT_DATA"] = tempfile.mkdtemp(prefix="webchat-tests-")

from chatapp.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(DATA / "test.sqlite3")}  # a file: in memory, locking differs
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
STATIC_ROOT.mkdir()
