"""The image folder's operations against the fake Label Studio: fill, wait, mention, pairs."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from core.errors import LabelStudioError
from core.operation import converge
from tests.unit.infra.roles.project.labelstudio_bench import FIND, Bench
from tests.unit.labelstudio.labelstudio_fake import ROOT

SYNC_IS_OFF = (
    "Sync in the browser takes no files from /data/set: it would take what is left out here; for new images, run "
    "`./inv project.sync`"
)


def test_only_new_images_are_synced(bench: Bench) -> None:
    bench.apply()
    bench.put("a.png", "b c.png", "deep/ñ.png", "notes.txt")
    assert bench.apply() == ["sync 1 new images (deep/ñ.png)"]
    assert len(bench.server.tasks) == 3


def test_remade_storage_makes_no_second_tasks(bench: Bench) -> None:
    """A remade storage leaves no second tasks and keeps annotations."""
    bench.apply()
    annotated, drafted = bench.server.tasks
    bench.server.tasks[annotated]["total_annotations"] = 2
    bench.server.disconnect(storage_id(bench))
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

    assert bench.apply() == [
        f"delete task {first}, an untouched second task of a.png",
        "make 1 images known to the storage (a.png)",
    ]

    assert bench.report.notices[-1] == "1 images have more than one annotated task (a.png); all of them are kept"


def test_links_and_vanished_images_are_mentioned(bench: Bench) -> None:
    bench.put("a.png", "gone.png")
    bench.apply()
    bench.put("a.png", links=("elsewhere.png",))
    assert bench.apply() == ["correct the storage /label-studio/files/set"]
    assert bench.report.notices[-3:] == [
        "1 symbolic links in /data/set are left out (elsewhere.png): what they point to need not exist inside the "
        "container",
        SYNC_IS_OFF,
        "1 tasks have lost their image: no such file in /data/set any more (gone.png); the tasks and their "
        "annotations are kept",
    ]


def test_server_files_make_no_tasks_and_are_counted(bench: Bench) -> None:
    """Neither here nor by a press on Sync, which looks at names and not at folders."""
    bench.put("a.png", "B.PNG", "._a.png", "a.png.txt", "a.png~", "d.png.part", folders=("#recycle", "x/@eaDir"))
    bench.apply()
    press_sync(bench)
    assert sorted(task["storage_filename"] for task in bench.server.tasks.values()) == [
        "/label-studio/files/set/B.PNG",
        "/label-studio/files/set/a.png",
    ]
    assert list(dict.fromkeys(bench.report.notices)) == [
        "2 folders of servers and systems in /data/set are left out (#recycle, x/@eaDir)",
        "4 files in /data/set are left out by their names (._a.png, a.png.txt, a.png~, d.png.part)",
        SYNC_IS_OFF,
    ]
    assert bench.apply() == []


def test_sync_takes_images_and_no_more_in_a_plain_folder(bench: Bench) -> None:
    bench.apply()
    bench.put("a.png", "b c.png", "new.PNG", "._new.png", "new.png.txt", "SYNOFILE_THUMB_M.png")
    press_sync(bench)
    assert [task["storage_filename"] for task in bench.server.tasks.values()][2:] == ["/label-studio/files/set/new.PNG"]
    assert bench.apply() == []


def test_tasks_of_files_that_are_left_out_now_are_named(bench: Bench) -> None:
    """As an older release, or Sync before it, made them."""
    bench.apply()
    for path in ("a.png.txt", "x/@eaDir/a.png"):
        bench.server.add_task(bench.project, f"/data/local-files/?d=set/{path}")
    bench.put("a.png", "b c.png", "a.png.txt", folders=("x/@eaDir",))
    bench.apply()
    assert bench.report.notices[-1] == (
        "2 tasks show files that are left out now (a.png.txt, x/@eaDir/a.png); the tasks and their annotations are "
        "kept: delete them in the Data Manager"
    )


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (
            "ffnotes.txt\0",
            "no image in /data/set has a name that matches '.*png' as a whole; give another folder with --data, or "
            "another filter in labeling_configs/projects.yaml",
        ),
        (
            "ffse�al.png\0",
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


def storage_id(bench: Bench) -> int:
    return int(next(iter(bench.server.storages)))


def press_sync(bench: Bench) -> None:
    bench.access.client().sdk.import_storage.local.sync(storage_id(bench))


def test_a_press_on_sync_in_the_browser_makes_no_second_tasks(bench: Bench) -> None:
    bench.put("a.png", "b c.png", "sub dir/Ñandú 50% #1 +x.png")
    bench.apply()
    press_sync(bench)
    assert len(bench.server.tasks) == 3
    assert bench.apply() == []


def test_a_file_that_came_by_the_browser_is_not_made_again(bench: Bench) -> None:
    bench.apply()
    bench.put("a.png", "b c.png", "ñ.png")
    press_sync(bench)
    assert len(bench.server.tasks) == 3
    assert bench.apply() == []


def test_a_remade_storage_gets_to_know_its_files(bench: Bench) -> None:
    bench.apply()
    bench.server.disconnect(storage_id(bench))
    assert bench.apply() == [
        "connect the folder /label-studio/files/set to RGBT-SAR",
        "make 2 images known to the storage (a.png, b c.png)",
    ]
    press_sync(bench)
    assert len(bench.server.tasks) == 2


def test_keeps_the_task_that_the_storage_knows(bench: Bench) -> None:
    """Of two untouched tasks the one that the storage knows stays."""
    bench.apply()
    (known,) = [task["id"] for task in bench.server.tasks.values() if task["storage_filename"].endswith("a.png")]
    unknown = bench.server.add_task(bench.project, "/data/local-files/?d=set/a.png")
    assert bench.apply() == [f"delete task {unknown}, an untouched second task of a.png"]
    assert known in bench.server.tasks


def test_what_is_sent_names_each_file_as_the_storage_does(bench: Bench) -> None:
    bench.put("b/z.png", "a y.png")
    bench.apply()
    ((_, asked),) = bench.inside.asked
    assert asked == {
        "project": bench.project,
        "storage": storage_id(bench),
        "files": [
            [f"{ROOT}/set/a y.png", {"image": "/data/local-files/?d=set/a%20y.png"}, None],
            [f"{ROOT}/set/b/z.png", {"image": "/data/local-files/?d=set/b/z.png"}, None],
        ],
    }


def test_a_sync_that_somebody_started_is_waited_for(bench: Bench) -> None:
    converge(bench.operations()[:2], bench.report)
    looks = iter(["in_progress", "in_progress", "completed"])

    def listed(_request: httpx.Request) -> httpx.Response:
        bench.server.storages[storage_id(bench)]["status"] = next(looks, "completed")
        return httpx.Response(200, json=list(bench.server.storages.values()))

    bench.server.overrides["GET /api/storages/localfiles"] = listed
    assert converge([bench.operations()[2]], bench.report) == 1
    assert next(looks, None) is None
    assert len(bench.server.tasks) == 2


def test_a_sync_of_somebody_that_makes_no_progress_is_given_up(bench: Bench) -> None:
    converge(bench.operations()[:2], bench.report)
    bench.server.storages[storage_id(bench)]["status"] = "in_progress"
    with pytest.raises(LabelStudioError) as caught:
        converge([bench.operations()[2]], bench.report)
    assert str(caught.value) == (
        "another sync of the storage /label-studio/files/set has made no task for 10 s; see the log of the "
        "label-studio container, then run the same command again"
    )
    assert bench.inside.asked == []


def test_a_refusal_inside_is_one_sentence(bench: Bench) -> None:
    bench.inside.refusal = "the storage is being synced by another process"
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == "Label Studio cannot fill this: the storage is being synced by another process"


PAIRS = {"rgb": "RGB/{name}.png", "thermal": "T/{name}_t.tiff"}


def test_pairs_are_one_task_each_and_the_rest_is_named(bench: Bench) -> None:
    bench.spec = replace(bench.spec, images_pairs=PAIRS)
    bench.put("RGB/a.png", "T/a_t.tiff", "RGB/deep/ñ 1.png", "T/deep/ñ 1_t.tiff", "RGB/alone.png", "notes.txt")
    bench.server.folder = []
    bench.apply()
    assert [task["data"] for task in bench.server.tasks.values()] == [
        {"rgb": "/data/local-files/?d=set/RGB/a.png", "thermal": "/data/local-files/?d=set/T/a_t.tiff"},
        {
            "rgb": "/data/local-files/?d=set/RGB/deep/%C3%B1%201.png",
            "thermal": "/data/local-files/?d=set/T/deep/%C3%B1%201_t.tiff",
        },
    ]
    assert set(bench.report.notices) == {
        "1 files in /data/set are left out by their names (notes.txt)",
        "1 files in /data/set have no partner and are left out (RGB/alone.png)",
    }
    assert bench.server.storages[storage_id(bench)]["regex_filter"] == "(?!)"
    assert bench.apply() == []


def test_files_of_several_pages_are_named_when_they_come(bench: Bench) -> None:
    """Whichever image of a task they are; only new ones are looked at, and no others than TIFF files."""
    bench.spec = replace(bench.spec, images_pairs=PAIRS)
    bench.put("RGB/a.png", "T/a_t.tiff", "RGB/b.png", "T/b_t.TIFF", "RGB/c.png", "T/c_t.tiff")
    bench.server.folder = []
    seen = [{"file": "/label-studio/files/set/T/a_t.tiff", "pages": 12}, {"seen": 2}]
    bench.inside.modules["pages"] = lambda asked: seen
    bench.apply()
    asked = [what for name, what in bench.inside.asked if name == "pages"]
    assert asked == [{"files": [f"/label-studio/files/set/T/{one}" for one in ("a_t.tiff", "b_t.TIFF", "c_t.tiff")]}]
    assert bench.report.notices[-2:] == [
        "1 files have several pages, of which people and SAM2 see the first (a_t.tiff: 12 pages): where pages are "
        "moments or bands, split them into files",
        "1 of 3 TIFF files were not looked at for more pages than one: slow",
    ]
    bench.put(
        "RGB/a.png", "T/a_t.tiff", "RGB/b.png", "T/b_t.TIFF", "RGB/c.png", "T/c_t.tiff", "RGB/d.png", "T/d_t.tiff"
    )
    bench.apply()
    assert bench.inside.asked[-1] == ("pages", {"files": ["/label-studio/files/set/T/d_t.tiff"]})


def test_pairs_of_other_cases_are_pairs_and_files_are_once(bench: Bench) -> None:
    """`B.PNG` is an image too; beside `a.png`, `a.PNG` is a second one of the same name."""
    bench.spec = replace(bench.spec, images_pairs={"rgb": "RGB/{name}.png", "thermal": "RGB/{name}_t.png"})
    bench.put("RGB/a.PNG", "RGB/a.png", "RGB/a_t.png", "RGB/B.PNG", "RGB/B_T.png", "RGB/._a.png", "RGB/._a_t.png")
    bench.apply()
    assert [task["data"]["rgb"][-5:] for task in bench.server.tasks.values()] == ["B.PNG", "a.png"]
    assert set(bench.report.notices) == {
        "2 files in /data/set are left out by their names (RGB/._a.png, RGB/._a_t.png)",
        "1 files in /data/set have no partner and are left out (RGB/a.PNG)",
    }


def test_a_container_that_stops_in_the_middle_is_said_in_words(bench: Bench) -> None:
    bench.inside.exit_code = 137
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == (
        "the label-studio container stopped in the middle of the work (exit code 137); what was done stays: see its "
        "log, start it again, and run the same command to go on"
    )


def test_a_task_whose_partner_went_is_kept_and_named(bench: Bench) -> None:
    bench.spec = replace(bench.spec, images_pairs=PAIRS)
    bench.put("RGB/a.png", "T/a_t.tiff", "RGB/b.png", "T/b_t.tiff")
    bench.apply()
    bench.put("RGB/a.png", "RGB/b.png", "T/b_t.tiff")
    assert bench.apply() == []
    assert bench.report.notices == [
        "1 tasks have lost the partner of their image (RGB/a.png); the tasks and their annotations are kept"
    ]


def test_a_folder_without_one_pair_is_an_error(bench: Bench) -> None:
    bench.spec = replace(bench.spec, images_pairs=PAIRS)
    bench.put("RGB/a.png")
    with pytest.raises(LabelStudioError) as caught:
        bench.apply()
    assert str(caught.value) == (
        "no files in /data/set make a pair of 'RGB/{name}.png' and 'T/{name}_t.tiff' (1 have no partner); correct "
        "`pairs` in labeling_configs/projects.yaml"
    )
