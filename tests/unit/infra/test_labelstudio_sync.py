"""The image folder's operations against the fake Label Studio: sync, repeat, give up, mention."""

from __future__ import annotations

import httpx
import pytest

from infra.errors import LabelStudioError
from infra.operation import converge
from tests.unit.infra.labelstudio_bench import FIND, Bench


def test_only_new_images_are_synced(bench: Bench) -> None:
    bench.apply()
    bench.put("a.png", "b c.png", "deep/ñ.png", "notes.txt")
    bench.server.folder[-1] = "set/deep/%C3%B1.png"
    assert bench.apply() == ["sync 1 new images (deep/ñ.png)"]
    assert len(bench.server.tasks) == 3


def test_a_remade_storage_leaves_no_second_tasks_and_keeps_annotations(bench: Bench) -> None:
    bench.apply()
    annotated, drafted = bench.server.tasks
    bench.server.tasks[annotated]["total_annotations"] = 2
    bench.server.storages.clear()
    bench.put("a.png", "b c.png", "new.png")

    assert bench.apply() == [
        "connect the folder /label-studio/files/set to RGBT-SAR",
        "sync 1 new images (new.png)",
    ]

    assert list(bench.server.tasks)[:2] == [annotated, drafted]
    assert len(bench.server.tasks) == 3


def test_second_tasks_with_work_in_them_are_kept_and_named(bench: Bench) -> None:
    bench.apply()
    url = "/data/local-files/?d=set/a.png"
    bench.server.add_task(bench.project, url, annotations=1)
    drafted = bench.server.add_task(bench.project, url)
    bench.server.drafts[drafted] = 1
    first = next(iter(bench.server.tasks))

    assert bench.apply() == [f"delete task {first}, an untouched second task of a.png"]

    assert bench.report.notices[-1] == "1 images have more than one annotated task (a.png); all of them are kept"


def test_links_and_vanished_images_are_mentioned(bench: Bench) -> None:
    bench.put("a.png", "gone.png")
    bench.apply()
    bench.put("a.png", links=("elsewhere.png",))
    assert bench.apply() == []
    assert bench.report.notices[-2:] == [
        "1 symbolic links in /data/set are left out (elsewhere.png): what they point to need not exist inside the "
        "container",
        "1 tasks have lost their image: no such file in /data/set any more (gone.png); the tasks and their "
        "annotations are kept",
    ]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (
            "fnotes.txt\0",
            "no image in /data/set has a name that matches '.*png'; give another folder with --data, or another "
            "filter in labeling_configs/projects.yaml",
        ),
        (
            "fse�al.png\0",
            "cannot take the images in /data/set: the file name 'se�al.png' is not UTF-8; rename the file and "
            "run `./inv up` again",
        ),
    ],
)
def test_a_folder_without_usable_images_is_an_error(bench: Bench, listed: str, message: str) -> None:
    bench.host.script(*FIND, stdout=listed)
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == message


LOCKED = "Traceback (most recent call last):\n  File x\ndjango.db.utils.OperationalError: database is locked\n"


def test_a_sync_is_repeated_while_the_database_is_locked(bench: Bench) -> None:
    bench.server.sync_failures = [LOCKED, LOCKED]
    bench.apply()
    assert sum(call.endswith("/sync") for call in bench.server.calls) == 3


def test_a_database_that_stays_locked_is_an_error(bench: Bench) -> None:
    bench.server.sync_failures = [LOCKED] * 99
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == (
        "Label Studio could not sync the folder /label-studio/files/set (status failed): "
        "django.db.utils.OperationalError: database is locked; see the log of the label-studio container; the tasks "
        "made so far are kept, and `./inv up` goes on from there"
    )
    assert sum(call.endswith("/sync") for call in bench.server.calls) == 6


def test_a_sync_that_fails_for_another_reason_is_not_repeated(bench: Bench) -> None:
    bench.server.sync_failures = [
        "Traceback:\nPermissionError: [Errno 13] Permission denied: '/label-studio/files/set'"
    ]
    with pytest.raises(LabelStudioError, match=r"\(status failed\): PermissionError: \[Errno 13\] Permission denied"):
        bench.apply()
    assert sum(call.endswith("/sync") for call in bench.server.calls) == 1


def storage_id(bench: Bench) -> int:
    return next(iter(bench.server.storages))


def test_a_sync_whose_request_breaks_off_is_waited_for(bench: Bench) -> None:
    converge(bench.operations()[:2], bench.report)
    key = storage_id(bench)
    looks = iter(["in_progress", "in_progress", "completed", "completed"])

    def broken(request: httpx.Request) -> httpx.Response:
        bench.server._sync(request, key)
        raise httpx.ReadTimeout("timed out")

    def listed(_request: httpx.Request) -> httpx.Response:
        bench.server.storages[key]["status"] = next(looks, "completed")
        return httpx.Response(200, json=[bench.server.storages[key]])

    bench.server.overrides[f"POST /api/storages/localfiles/{key}/sync"] = broken
    bench.server.overrides["GET /api/storages/localfiles"] = listed
    assert converge([bench.operations()[2]], bench.report) == 1
    assert sum(call.endswith("/sync") for call in bench.server.calls) == 1
    assert len(bench.server.tasks) == 2


def test_a_sync_that_makes_no_progress_is_given_up(bench: Bench) -> None:
    converge(bench.operations()[:2], bench.report)
    bench.server.storages[storage_id(bench)]["status"] = "in_progress"
    with pytest.raises(LabelStudioError) as caught:
        converge([bench.operations()[2]], bench.report)
    assert str(caught.value) == (
        f"the sync of storage {storage_id(bench)} has made no task for 10 s (0 so far); see the log of the "
        "label-studio container, then run `./inv up` again: it goes on where this one stopped"
    )
    assert not any(call.endswith("/sync") for call in bench.server.calls)


def test_a_sync_that_leaves_images_out_says_which(bench: Bench) -> None:
    bench.server.folder = ["set/a.png"]
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == (
        "Label Studio synced /label-studio/files/set and made no task for 1 images (b c.png); is /data/set the folder "
        "that the container sees as /label-studio/files/set, and may its user read the files?"
    )
