"""All images of a file in a project: what is unclear is listed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.errors import SettingsError
from dataset.image_lookup import Found, ImageLookup, Place
from dataset.locating import Wanted, locate_all
from dataset.problems import SHOWN
from tests.unit.labelstudio.annotated import url


class CountedLookup(ImageLookup):
    """Counts the names that were looked for."""

    count = 0

    def locate(
        self,
        name: str | Sequence[str],
        to_name: str = "",
        item_index: int | None = None,
        *,
        any_suffix: bool = False,
        key: str = "",
    ) -> Found | None:
        self.count += 1
        return super().locate(name, to_name, item_index, any_suffix=any_suffix, key=key)


def test_the_search_stops_where_the_list_is_full() -> None:
    """Each unclear name has all its candidates to collect: 100 000 names with as many would take hours."""
    lookup = CountedLookup()
    for task in (1, 2):
        lookup.add(url(f"{task}/a.png"), Place(task, "image"))
    wanted = [Wanted((f"{number}x/a.png",)) for number in range(50)]
    with pytest.raises(SettingsError) as caught:
        locate_all(wanted, lookup, "f.json")
    assert lookup.count == SHOWN
    assert str(caught.value).count("may be 1/a.png, 2/a.png") == SHOWN
    assert str(caught.value).endswith("\n  the 40 names after these were not looked for")
