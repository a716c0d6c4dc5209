"""Names, order, pruning and rollback of releases, without a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import LabelrigError
from infra.database.state import DatabaseState
from infra.releases.manifest import Gate, Release, ReleaseId, newest_passed, next_id, prunable
from infra.releases.rollback_check import check_rollback
from infra.releases.store import Found
from tests.unit.infra.releases.release_bench import FACTS, SQLITE, release

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))
COMMITS = st.text("0123456789abcdef", min_size=40, max_size=40)


@given(st.lists(st.tuples(MOMENTS, COMMITS, st.booleans()), max_size=8))
def test_ids_grow_whatever_the_clock_does_and_are_read_back(options: list[tuple[datetime, str, bool]]) -> None:
    made: list[ReleaseId] = []
    for moment, commit, dirty in options:
        new = next_id(made, moment, commit, dirty)
        assert all(one < new for one in made)
        assert ReleaseId.parse(str(new)) == new
        made.append(new)
    assert len({str(one) for one in made}) == len(made)


@given(MOMENTS, COMMITS, COMMITS)
def test_within_one_second_the_number_says_the_order(moment: datetime, first: str, second: str) -> None:
    one = next_id([], moment, first, False)
    made = [one]
    for _ in range(10):
        made.append(next_id(made, moment, second, True))
    assert [each.number for each in made] == list(range(1, 12))
    assert sorted(set(made)) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20250301T100000Z",
        "20251301T100000Z-607e07e",
        "20250301T100000Z-607e07",
        "20250301T100000Z-607e07e.1",
        "20250301T100000Z-607e07e.02",
        "20250301T100000Z-607e07e-dirty/..",
        "20250301T100000Z-607e07e\n",
    ],
)
def test_other_names_are_no_releases(text: str) -> None:
    assert ReleaseId.parse(text) is None


GATES = st.sampled_from(["pending", "passed", "failed"])


@given(st.lists(GATES, max_size=12), st.integers(0, 12), st.integers(2, 6))
def test_pruning_never_takes_what_is_needed(gates: list[Gate], at: int, keep: int) -> None:
    releases = [release(number, gate) for number, gate in enumerate(gates)]
    current = releases[at].id if at < len(releases) else None
    gone = prunable(releases[::-1], current, keep)
    left = [one for one in releases if one.id not in gone]
    assert gone == sorted(gone)
    assert current not in gone
    assert newest_passed(left) == newest_passed(releases)
    assert newest_passed(left, current) == newest_passed(releases, current)
    assert all(one in left for one in releases[-keep:])
    assert len(left) <= keep + 3
    assert prunable(left, current, keep) == []


def everything(names: Sequence[str]) -> Sequence[str]:
    return names


def check(found: Found, wanted: str | None = None, **changes: object) -> Release:
    arguments: dict[str, object] = {
        "images_present": everything,
        "folders_present": everything,
        "database_now": SQLITE,
        **changes,
    }
    return check_rollback("gpu01", found, wanted, **arguments)  # type: ignore[arg-type]


OLD, LATE, BROKEN, NOW = release(1), release(2), release(3, "failed"), release(4)
FOUND = Found((OLD, LATE, BROKEN, NOW), NOW.id)


class TestRollback:
    def test_goes_to_newest_that_passed_before_current(self) -> None:
        """It goes to the newest that passed before the current one."""
        assert check(FOUND) == LATE
        assert check(Found((OLD, LATE, BROKEN), BROKEN.id)) == LATE
        assert check(Found((OLD, LATE), None)) == LATE

    def test_it_goes_where_it_is_told(self) -> None:
        assert check(FOUND, str(OLD.id)) == OLD

    def test_nowhere_to_go(self) -> None:
        with pytest.raises(
            LabelrigError,
            match=r"^gpu01: there is no release before the current one that passed its gate; nothing was changed; "
            r"there are: 20250301T100300Z-607e07e \(failed\)$",
        ):
            check(Found((BROKEN,), BROKEN.id))
        with pytest.raises(LabelrigError, match=r"there is no release \.\./x; nothing was changed; there are: none$"):
            check(Found((), None), "../x")

    def test_everything_in_the_way_is_named_at_once(self) -> None:
        damaged = replace(BROKEN, files={})
        found = Found((OLD, damaged), damaged.id)
        with pytest.raises(LabelrigError) as caught:
            check(
                found,
                str(damaged.id),
                images_present=lambda _ids: [],
                folders_present=lambda _folders: [],
                database_now=replace(SQLITE, migrations_count=403, migrations_digest="e" * 64),
            )
        assert str(caught.value).splitlines() == [
            "gpu01: cannot go back to release 20250301T100300Z-607e07e; nothing was changed:",
            "  1. it is the one that serves now",
            "  2. its files are not what they were: compose.yaml",
            "  3. it never passed its gate (failed); deploy its commit instead",
            "  4. its image of sam2 is not on the host any more (labelrig/sam2:1, sha256:s1); deploy its commit "
            "instead, which builds or sends it again",
            "  5. its image folder /NAS/A is not there",
            "  6. the tables of the database are 3 migrations newer than its own; restore a backup that was made "
            "before them",
        ]

    @pytest.mark.parametrize(
        ("now", "problem"),
        [
            (None, r"the database cannot be read now"),
            (DatabaseState("postgres", 400, "d" * 64, "i"), r"it ran on sqlite, and the work is in postgres now"),
            (DatabaseState("sqlite", 400, "e" * 64, "i"), r"are of another version of Label Studio; restore a backup"),
            (DatabaseState("sqlite", 399, "e" * 64, "i"), r"are of another version of Label Studio; restore a backup"),
        ],
    )
    def test_a_database_that_it_does_not_fit(self, now: DatabaseState | None, problem: str) -> None:
        with pytest.raises(LabelrigError, match=problem):
            check(FOUND, database_now=now)

    def test_what_was_not_recorded_is_not_taken_for_right(self) -> None:
        unknown = release(2, database_state=None, images={"sam2": FACTS.images["sam2"].model_copy(update={"id": ""})})
        with pytest.raises(LabelrigError) as caught:
            check(Found((unknown, NOW), NOW.id))
        assert "id not recorded" in str(caught.value)
        assert "it did not record which tables it needs" in str(caught.value)

    def test_a_release_without_a_manifest_is_damaged(self) -> None:
        bare = Release(OLD.id, None)
        with pytest.raises(LabelrigError, match=r"1\. its files are not what they were: release\.json$"):
            check(Found((bare, NOW), NOW.id), str(bare.id))
