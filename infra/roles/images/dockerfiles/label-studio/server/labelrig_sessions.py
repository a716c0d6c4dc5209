"""Sessions in the database, written only where something is new.

Label Studio puts the same values into the session with every request, also with those that carry a token and no
cookie. Django would write a row each time, and SQLite would wait for the disk.
"""

from __future__ import annotations

import time
from typing import Any

from django.contrib.auth import SESSION_KEY  # type: ignore[import-not-found]
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions  # type: ignore[import-not-found]

RENEWED = "labelrig_renewed"
LONGEST = 3600.0  # seconds between two renewals of a session in use; less where it ends sooner
PARTS = 10


class SessionStore(DatabaseSessions):  # type: ignore[misc]
    """Django's own, which keeps sessions of signed-in people only, and writes a value only where it changed."""

    _changed = False

    @property
    def modified(self) -> bool:
        """Whether the middleware must write this session and hand out its cookie."""
        return self._changed and SESSION_KEY in self._session

    @modified.setter
    def modified(self, value: bool) -> None:
        self._changed = value

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self or self[key] != value:
            super().__setitem__(key, value)

    def set_expiry(self, value: Any) -> None:
        """See Django. Label Studio calls it with every request, to put the end off: that is written now and then."""
        unchanged = self.get("_session_expiry") == value
        if unchanged and isinstance(value, int | float) and value > 0:
            if time.time() - self.get(RENEWED, 0) < min(LONGEST, value / PARTS):
                return
            self[RENEWED] = int(time.time())
        super().set_expiry(value)
