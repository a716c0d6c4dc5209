"""Label Studio's settings as this image runs it: its own, and what a server for several people needs besides.

DJANGO_SETTINGS_MODULE names this module for every command of the image. What is set here and why: docs/security.md.
"""

import os

# Label Studio's settings ask Django for settings while they are read: for those that they hold so far themselves.
os.environ["DJANGO_SETTINGS_MODULE"] = "core.settings.label_studio"
from core.settings.label_studio import *  # type: ignore[import-not-found] # noqa: F403
from core.settings.label_studio import DATABASES, DJANGO_DB, DJANGO_DB_SQLITE, MIDDLEWARE

os.environ["DJANGO_SETTINGS_MODULE"] = __name__

# Rows in the database instead of signed cookies: what log-out ends is ended, whoever copied the cookie.
SESSION_ENGINE = "labelrig_sessions"

# The proxy in front is the only way in, and says how people came to it; it takes that word from nobody else.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Where people open it, if that is not where it is published: forms and pages of that address are its own.
CSRF_TRUSTED_ORIGINS = [url] if (url := os.environ.get("LABELRIG_PUBLIC_URL")) else []

# Outermost first: cookies are marked when all others have set theirs.
MIDDLEWARE = [
    "labelrig_metrics.StackMetrics",
    "labelrig_middleware.SecureCookies",
    "labelrig_middleware.OwnPagesOnly",
    "labelrig_middleware.SignInBrake",
    *MIDDLEWARE,
    "labelrig_middleware.FilesForPrograms",  # after Label Studio's own, which find out whose token it is
    "labelrig_middleware.FilesByProxy",
]

if DJANGO_DB == DJANGO_DB_SQLITE:
    # Several processes write: who comes second waits instead of failing.
    DATABASES["default"]["OPTIONS"] = {**DATABASES["default"].get("OPTIONS", {}), "timeout": 30}
