"""How many may wait for one server, so that one that stalls does not hold all clicks up."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import Busy

LEAST = 4


class HostShares:
    """Places for those who wait for images. Safe to use from many threads."""

    def __init__(self, places: int) -> None:
        """
        Args:
            places: of all clicks together. Label Studio may hold half of them, every other server a quarter, and the
                other servers together half: whoever has a domain has as many names as they like.
        """
        self._half, self._quarter = max(LEAST, places // 2), max(LEAST, places // 4)
        self._lock = threading.Lock()
        self._waiting: Counter[str] = Counter()
        self._others = 0

    @contextmanager
    def waiting_for(self, host: str, *, is_label_studio: bool) -> Iterator[None]:
        """Hold a place while an image comes from a server.

        Raises:
            Busy: as many as may wait for it do so already.
        """
        with self._lock:
            limit = self._half if is_label_studio else self._quarter
            if self._waiting[host] >= limit:
                raise Busy(f"{self._waiting[host]} others wait for images from {host} already; try again in a moment")
            if not is_label_studio and self._others >= self._half:
                raise Busy(f"{self._others} others wait for images from other servers already; try again in a moment")
            self._waiting[host] += 1
            self._others += not is_label_studio
        try:
            yield
        finally:
            with self._lock:
                self._others -= not is_label_studio
                self._waiting[host] -= 1
                if not self._waiting[host]:
                    del self._waiting[host]
