"""The one bounded map behind all caches, compared with a naive model of it."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.caching.byte_lru import ByteLru

KEYS = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.integers(0, 12)),
        st.tuples(st.just("get"), KEYS, st.just(0)),
        st.tuples(st.just("pop"), KEYS, st.just(0)),
        st.tuples(st.just("clear"), KEYS, st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS, limit=st.integers(0, 20))
def test_holds_what_was_used_last_and_never_more_than_its_limit(steps: list[tuple[str, int, int]], limit: int) -> None:
    lru: ByteLru[int, int] = ByteLru(limit)
    model: list[tuple[int, int, int]] = []  # key, value, size; used longest ago first
    for value, (what, key, size) in enumerate(steps):
        mine = next((one for one in model if one[0] == key), None)
        rest = [one for one in model if one[0] != key]
        if what == "put":
            lru.put(key, value, size)
            model = [*rest, (key, value, size)] if size <= limit else rest
            while sum(one[2] for one in model) > limit:
                model.pop(0)
        elif what == "get":
            assert lru.get(key) == (mine[1] if mine else None)
            model = [*rest, mine] if mine else rest
        elif what == "pop":
            assert lru.pop(key) == (mine[1] if mine else None)
            model = rest
        else:
            assert lru.clear() == sum(one[2] for one in model)
            model = []
        assert lru.held == sum(one[2] for one in model) <= limit
        assert len(lru) == len(model)
        assert all((one in lru) == any(one == kept[0] for kept in model) for one in range(6))


def test_asking_whether_a_key_is_there_is_no_use_of_it() -> None:
    lru: ByteLru[str, int] = ByteLru(2)
    lru.put("old", 1, 1)
    lru.put("new", 2, 1)
    assert "old" in lru
    lru.put("newest", 3, 1)
    assert "old" not in lru
    assert lru.evicted == 1


def test_an_evicted_value_is_freed() -> None:
    lru: ByteLru[str, np.ndarray] = ByteLru(10)  # type: ignore[type-arg]
    array = np.zeros(4)
    alive = weakref.ref(array)
    lru.put("a", array, 10)
    del array
    lru.put("b", np.zeros(4), 10)
    gc.collect()
    assert alive() is None


def test_refuses_negative_sizes() -> None:
    with pytest.raises(ValueError, match="limit: expected 0 or more, got -1"):
        ByteLru(-1)
    with pytest.raises(ValueError, match="size: expected 0 or more, got -1"):
        ByteLru[str, int](1).put("a", 1, -1)
