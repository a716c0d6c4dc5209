"""The doctor's link of Debian's fixes, in its states."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from core.repository import REPOSITORY
from infra.doctor.diagnosis import Finding, Verdict
from infra.doctor.inspection import ENGINE_TIMEOUT, FILES_TIMEOUT
from infra.doctor.update_checks import check_updates
from infra.roles.images.packages import Offered, package_names
from infra.roles.images.suites import Behind
from tests.unit.infra.doctor.doctor_bench import DoctorBench

FIX = Behind("openssl", "3.0.20-1", "3.0.22-1", security=True)
UPDATE = Behind("bash", "5.2-1", "5.2-2", security=False)


def made(days: float) -> str:
    """When an image was made, as an engine says it: with nanoseconds."""
    return (datetime.now(UTC) - timedelta(days=days, minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")


@pytest.fixture
def bench() -> DoctorBench:
    one = DoctorBench()
    one.engine.made = made(3)
    return one


def test_up_to_date_images_say_their_age(bench: DoctorBench) -> None:
    assert bench.ask(check_updates) == Finding(Verdict.OK, "images of 3 days ago; no package has a newer version")
    assert bench.suites.asked == [b"Package: openssl\n"] * len(bench.engine.there)
    bench.engine.made = made(0)
    assert bench.ask(check_updates).seen.startswith("images of today;")


def test_files_of_containers_have_time_to_come(bench: DoctorBench) -> None:
    """The engine answers other questions at once; packing a file takes longer on a busy machine."""
    bench.ask(check_updates)
    assert bench.waits == [ENGINE_TIMEOUT, FILES_TIMEOUT]
    assert FILES_TIMEOUT >= 60 > ENGINE_TIMEOUT
    assert bench.engine.closed


def test_fixes_that_images_lack_are_named_once(bench: DoctorBench) -> None:
    """Security fixes first, each package once, whatever number of images have it."""
    bench.suites.lacking = [UPDATE, FIX]
    assert bench.ask(check_updates) == Finding(
        Verdict.WARNING,
        "images of 3 days ago; 2 packages have newer versions, 1 with security fixes: "
        "openssl 3.0.20-1 -> 3.0.22-1 (security), bash 5.2-1 -> 5.2-2",
        "`./inv up` builds the images again",
    )
    bench.suites.lacking = [Behind(f"lib{number}", "1", "2", security=True) for number in range(9)]
    assert bench.ask(check_updates).seen.endswith("lib4 1 -> 2 (security) and 4 more")


def test_kept_images_are_told_all_the_same(bench: DoctorBench) -> None:
    bench.settings = bench.settings.model_copy(update={"image_updates": "keep"})
    bench.suites.lacking = [FIX]
    found = bench.ask(check_updates)
    assert (found.result, found.fix) == (
        Verdict.WARNING, "`image_updates` is `keep`: with `auto`, `./inv up` builds the images again"
    )  # fmt: skip


def test_a_package_of_a_published_image_only(bench: DoctorBench) -> None:
    """What none of our lists has renames no image, so `up` alone would not build it again."""
    assert "nginx" not in package_names(REPOSITORY, "label-studio", "sam2", "postgres")
    bench.suites.lacking = [dataclasses.replace(FIX, name="nginx")]
    assert bench.ask(check_updates).fix == (
        "remove the image with `docker image rm --force`, then `./inv up` builds it again"
    )


@pytest.mark.parametrize(("days", "result"), [(3, Verdict.OK), (90, Verdict.WARNING)])
def test_without_a_mirror_only_age_is_known(bench: DoctorBench, days: float, result: Verdict) -> None:
    """A lab without a network is no fault, until its images are old."""
    bench.engine.made = made(days)
    bench.suites.now = Offered(problem="the mirror is silent")
    found = bench.ask(check_updates)
    assert (found.result, found.seen) == (
        result, f"images of {days} days ago; what the Debian suites offer is not known: the mirror is silent"
    )  # fmt: skip
    assert bench.suites.asked == []


def test_a_mirror_that_went_is_said(bench: DoctorBench) -> None:
    bench.suites.now = dataclasses.replace(bench.suites.now, problem="apt says: E: no route")
    assert bench.ask(check_updates) == Finding(
        Verdict.OK, "images of 3 days ago; no package has a newer version; not read anew: apt says: E: no route"
    )


def test_apt_without_a_security_archive_is_a_warning(bench: DoctorBench) -> None:
    bench.suites.now = dataclasses.replace(bench.suites.now, security=False)
    found = bench.ask(check_updates)
    assert (found.result, found.fix) == (Verdict.WARNING, "name the security archive in apt's sources, below /etc/apt")


@pytest.mark.parametrize(
    ("release", "named"), [(b"ID=debian\nVERSION_CODENAME=trixie\n", "trixie"), (b"", "no Debian")]
)
def test_another_release_is_not_taken_for_this_one(bench: DoctorBench, release: bytes, named: str) -> None:
    bench.engine.there["label-studio"].inside["/usr/lib/os-release"] = release
    found = bench.ask(check_updates)
    assert found.seen.endswith(f"label-studio is {named}, of which nothing is known")
    assert len(bench.suites.asked) == len(bench.engine.there) - 1


def test_an_image_that_was_removed_has_its_container_s_age(bench: DoctorBench) -> None:
    bench.engine.there["sam2"].inside.clear()
    bench.engine.tags.clear()
    assert bench.ask(check_updates).result is Verdict.OK


def test_a_stack_without_containers_has_nothing_to_look_at(bench: DoctorBench) -> None:
    bench.engine.there.clear()
    assert bench.ask(check_updates) == Finding(Verdict.OK, "no container to look into")
