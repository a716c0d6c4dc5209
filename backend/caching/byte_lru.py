"""A map that forgets what was used longest ago as soon as it holds too much."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteLru(Generic[K, V]):
    """Bounded by the sum of its values' sizes. Safe to call from threads.

    The sizes are bytes, unless a cache counts something else: with size 1 for each value the limit is a count.
    """

    def __init__(self, limit: int) -> None:
        """
        Args:
            limit: the largest sum of sizes; 0 keeps nothing.
        """
        if limit < 0:
            raise ValueError(f"limit: expected 0 or more, got {limit}")
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._held = 0
        self._evicted = 0

    @property
    def limit(self) -> int:
        """The largest sum of sizes."""
        return self._limit

    @property
    def held(self) -> int:
        """The sum of the sizes of what is in it."""
        with self._lock:
            return self._held

    @property
    def evicted(self) -> int:
        """How many values had to make room since the start."""
        with self._lock:
            return self._evicted

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def __contains__(self, key: object) -> bool:
        """True when the key is there; does not count as a use."""
        with self._lock:
            return key in self._entries

    def get(self, key: K) -> V | None:
        """The value, which now counts as just used; None when it is not there."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def items(self) -> list[tuple[K, V]]:
        """What is in it now, the least recently used first; does not count as a use."""
        with self._lock:
            return [(key, value) for key, (value, _) in self._entries.items()]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value in place of the key's former one. A value above the limit is not kept at all."""
        if size < 0:
            raise ValueError(f"size: expected 0 or more, got {size}")
        dropped = []  # freed after the lock is released: the last reference to a large array may be here
        with self._lock:
            former = self._entries.pop(key, None)
            if former is not None:
                self._held -= former[1]
                dropped.append(former)
            if size > self._limit:
                return
            self._entries[key] = (value, size)
            self._held += size
            while self._held > self._limit:
                _, oldest = self._entries.popitem(last=False)
                self._held -= oldest[1]
                self._evicted += 1
                dropped.append(oldest)

    def pop(self, key: K) -> V | None:
        """Take a value out; None when it is not there."""
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None:
                return None
            self._held -= entry[1]
            return entry[0]

    def clear(self) -> int:
        """Forget everything; returns the sum of sizes that was held."""
        with self._lock:
            freed, entries = self._held, self._entries
            self._entries, self._held = OrderedDict(), 0
            self._evicted += len(entries)
        return freed
