"""An export as a whole: what it takes, what it counts, and that it is there as a whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from infra.errors import LabelrigError, LabelStudioError, SettingsError
from infra.export.labeling import used_config
from infra.export.selection import Selection, selection
from infra.labelstudio.models import Project
from infra.labelstudio.versions import sha256_of
from infra.settings import REPOSITORY
from tests.unit.infra.annotated import (
    FUSED,
    OTHER,
    PAIR,
    AnnotatedLabelStudio,
    brush,
    ghost,
    key_point,
    rectangle_mask,
    result,
    url,
)
from tests.unit.infra.export_bench import ExportBench

SIZE = (20, 10)
CAR, ROAD = rectangle_mask(SIZE, 2, 3, 9, 8), rectangle_mask(SIZE, 0, 8, 20, 10)


@pytest.fixture
def project(exports: ExportBench) -> Project:
    """Three annotated images and one that nobody has looked at, in no good order."""
    server = exports.server
    project = server.project(FUSED)
    server.annotate(server.task(project, image=url("set/b.png")), [*brush(CAR, "Car"), *brush(ROAD, "Road", "b")])
    server.annotate(server.task(project, image=url("set/a%20%C3%91.png")), [*brush(ROAD, "Road"), ghost(ROAD, "Car")])
    server.task(project, image=url("set/d.png"))
    server.annotate(server.task(project, image=url("set/c.png")), [key_point("Car")], completed_by=2)
    return project


def names(exports: ExportBench, name: str = "out") -> list[str]:
    return [one["file_name"] for one in exports.json(f"{name}/annotations.json")["images"]]


def test_images_come_in_the_order_of_their_names(exports: ExportBench, project: Project) -> None:
    summary = exports.export(project, "coco")
    assert names(exports) == ["set/a Ñ.png", "set/b.png", "set/c.png"]
    assert (summary.images, summary.regions, summary.per_class) == (3, 3, {"Road": 2, "Car": 1})
    assert re.fullmatch(r".*/out: coco, 3 masks on 3 images in \d+\.\d s \(Car 1, Road 2\)", summary.sentence())


def test_the_manifest_counts_and_holds_checksums(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    manifest = exports.json("out/manifest.json")
    assert manifest["format"] == "coco"
    assert manifest["made_at"] == "2026-03-01T00:00:00+00:00"
    assert manifest["project"] == {"id": project.id, "title": "Scenes"}
    assert manifest["config"]["sha256"] == hashlib.sha256(FUSED.encode()).hexdigest()
    assert manifest["counts"] == {
        "images": 3,
        "images_without_regions": 1,
        "regions": 3,
        "classes": {
            "Car": {"id": 1, "regions": 1, "images": 1, "pixels": 35},
            "Road": {"id": 2, "regions": 2, "images": 2, "pixels": 80},
        },
        "annotators": {
            "admin@labelrig.local": {"annotations": 2, "regions": 3},
            OTHER: {"annotations": 1, "regions": 0},
        },
        "left_out": {"ghost": 1, "key point": 1},
        "problems": [],
        "problem_count": 0,
    }
    folder = exports.folder / "out"
    files = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
    assert set(manifest["files"]) == files - {"manifest.json"}
    for name, facts in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_origin_tells_where_a_mask_came_from(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    first = exports.lines("out/origin.jsonl")[0]
    assert first["images"] == [{"file_name": "set/a Ñ.png", "url": url("set/a%20%C3%91.png"), "to_name": "image"}]
    assert [one["annotator"] for one in first["annotations"]] == ["admin@labelrig.local"]


def test_an_image_without_regions_is_measured_as_the_browser_shows_it(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    exports.server.annotate(exports.server.task(project, image=url("set/a.jpg")), [])
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (30, 12)).save(content, "JPEG", exif=exif)
    exports.server.images["set/a.jpg"] = content.getvalue()
    exports.export(project, "coco")
    (image,) = exports.json("out/annotations.json")["images"]
    assert (image["width"], image["height"]) == (12, 30)


def test_problems_are_told_and_the_rest_is_exported(exports: ExportBench, project: Project) -> None:
    broken = brush(CAR, "Car")
    broken[0]["value"]["rle"] = broken[0]["value"]["rle"][:9]
    task = exports.server.task(project, image=url("set/e.png"))
    exports.server.annotate(task, [*broken, *brush(ROAD, "Road", "b"), *brush(CAR[:5], "Car", "c")])
    lost = exports.server.task(project, image=url("set/f.png"))
    exports.server.annotate(lost, [])
    summary = exports.export(project, "coco")
    assert summary.regions == 4
    first, second, third = summary.problems
    assert first.startswith(f"task {task}: region a (Car) cannot be read: rle: the code ends")
    assert second == f"task {task}: region c is of an image of 20x5 pixels, others of 20x10"
    assert third.startswith(f"task {lost}: cannot read the image {url('set/f.png')}")
    assert exports.json("out/manifest.json")["counts"]["problem_count"] == 3
    assert summary.sentence().endswith("; 3 could not be exported (see manifest.json)")


def test_the_selection_takes_labels_tasks_people_and_dates(exports: ExportBench, project: Project) -> None:
    tasks = list(exports.server.tasks)
    exports.server.annotations[tasks[0]][0]["updated_at"] = "2026-04-01T23:59:59.000000Z"
    cases = {
        "label": (selection(labels="Car"), ["set/a Ñ.png", "set/b.png", "set/c.png"], 1),
        "task": (selection(tasks=f"{tasks[1]}-{tasks[2]}"), ["set/a Ñ.png"], 1),
        "person": (selection(annotators=OTHER.upper()), ["set/c.png"], 0),
        "since": (selection(since="2026-04-01"), ["set/b.png"], 2),
        "until": (selection(until="2026-03-31"), ["set/a Ñ.png", "set/c.png"], 1),
        "whole day": (selection(since="2026-04-01", until="2026-04-01"), ["set/b.png"], 2),
    }
    for name, (given, images, regions) in cases.items():
        summary = exports.export(project, "coco", name, selection=given)
        assert (names(exports, name), summary.regions) == (images, regions), name


def test_a_label_that_was_not_selected_leaves_label_studios_json_too(exports: ExportBench, project: Project) -> None:
    exports.export(project, "label-studio", selection=selection(labels="Car"))
    results = [one["annotations"][0]["result"] for one in exports.json("out/tasks.json")]
    assert [[each["value"]["brushlabels"] for each in one] for one in results] == [[], [["Car"]], []]


def test_everything_that_cannot_be_read_of_a_selection_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        selection(tasks="1,x,9-3", since="yesterday", until="2026-13-01", which="some")
    when = "takes a day such as 2026-03-01, or a time such as 2026-03-01T14:00+01:00, not"
    assert str(caught.value).split("; ") == [
        "--tasks takes ids and ranges such as 12,20-99, not 'x'",
        "--tasks takes ids and ranges such as 12,20-99, not '9-3'",
        f"--since {when} 'yesterday'",
        f"--until {when} '2026-13-01'",
        "--annotations is newest or all, not 'some'",
    ]
    with pytest.raises(SettingsError, match="--since 2026-03-02 is not before --until 2026-03-01"):
        selection(since="2026-03-02", until="2026-03-01")


def test_of_several_annotations_the_newest_counts_and_ground_truth_before_it(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    task = exports.server.task(project, image=url("a.png"))
    old = exports.server.annotate(task, brush(CAR, "Car"))
    exports.server.annotate(task, brush(ROAD, "Road"), updated_at="2026-03-02T10:00:00.000000Z", completed_by=2)
    exports.server.annotate(task, [], was_cancelled=True, updated_at="2026-03-03T10:00:00.000000Z")
    assert exports.export(project, "coco", "newest").per_class == {"Road": 1}
    assert exports.export(project, "coco", "all", selection=selection(which="all")).per_class == {"Car": 1, "Road": 1}
    next(one for one in exports.server.annotations[task] if one["id"] == old)["ground_truth"] = True
    assert exports.export(project, "coco", "truth").per_class == {"Car": 1}
    exports.export(project, "label-studio", "skipped", selection=Selection(which="all", skipped=True))
    assert len(exports.json("skipped/tasks.json")[0]["annotations"]) == 3


def test_tasks_that_nobody_annotated_come_when_asked_for(exports: ExportBench, project: Project) -> None:
    content = io.BytesIO()
    Image.new("L", SIZE).save(content, "PNG")
    exports.server.images["set/d.png"] = content.getvalue()
    exports.export(project, "coco", selection=selection(annotated_only=False))
    images = exports.json("out/annotations.json")["images"]
    assert [one["file_name"] for one in images if one.get("annotated") is False] == ["set/d.png"]


def test_two_images_of_one_task_are_two_images(exports: ExportBench) -> None:
    project = exports.server.project(PAIR)
    task = exports.server.task(project, rgb=url("rgb/1.png"), thermal=url("thermal/1.png"))
    value = brush(CAR, "Car")[0]["value"]
    small = brush(ROAD[:5, :8], "Car")[0]["value"]
    exports.server.annotate(
        task,
        [
            result("brushlabels", "brush_rgb", "a", SIZE, value, to_name="rgb"),
            result(
                "brushlabels",
                "brush_thermal",
                "a",
                (8, 5),
                small | {"rle": brush(CAR[3:8, :8], "Car")[0]["value"]["rle"]},
                to_name="thermal",
            ),
        ],
    )
    exports.export(project, "rle-json")
    rows = exports.lines("out/masks.jsonl")
    assert [(one["file_name"], one["to_name"], one["width"], one["regions"][0]["area"]) for one in rows] == [
        ("rgb/1.png", "rgb", 20, 35),
        ("thermal/1.png", "thermal", 8, 30),
    ]


def test_lists_of_images_are_told_apart(exports: ExportBench) -> None:
    config = FUSED.replace('value="$image"', 'valueList="$images"')
    project = exports.server.project(config)
    task = exports.server.task(project)
    exports.server.tasks[task]["data"] = {"images": [url("1.png"), url("2.png")]}
    exports.server.annotate(task, [*brush(CAR, "Car", item_index=0), *brush(ROAD, "Road", "b", item_index=1)])
    exports.export(project, "rle-json")
    rows = exports.lines("out/masks.jsonl")
    assert [(one["file_name"], one["item_index"], one["regions"][0]["labels"]) for one in rows] == [
        ("1.png", 0, ["Car"]),
        ("2.png", 1, ["Road"]),
    ]


def test_what_is_there_is_never_replaced_without_force(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    with pytest.raises(SettingsError, match=r"/out is there already; --force replaces it"):
        exports.export(project, "png")
    exports.export(project, "png", force=True)
    assert exports.json("out/manifest.json")["format"] == "png"
    assert not (exports.folder / "out" / "annotations.json").exists()
    assert sorted(one.name for one in exports.folder.iterdir()) == ["classes.lock", "out"]


def test_force_replaces_exports_only(exports: ExportBench, project: Project) -> None:
    thesis = exports.folder / "out" / "thesis.tex"
    thesis.parent.mkdir()
    thesis.write_text("years")
    with pytest.raises(
        SettingsError, match=r"/out is no export \(it has no manifest.json\): --force does not replace it"
    ):
        exports.export(project, "coco", force=True)
    assert thesis.read_text() == "years"


def test_a_server_that_goes_away_leaves_nothing(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    before = (exports.folder / "out" / "manifest.json").read_bytes()
    calls: list[int] = []

    def gone(request: httpx.Request) -> httpx.Response:
        calls.append(1)
        if len(calls) == 2:
            raise httpx.ReadError("connection reset")
        return exports.server._tasks(request)

    exports.server.overrides["GET /api/tasks"] = gone
    with pytest.raises(LabelStudioError, match=r"the connection to Label Studio at .* broke off"):
        exports.export(project, "png", "other")
    calls.clear()
    with pytest.raises(LabelStudioError, match="broke off"):
        exports.export(project, "png", force=True)
    assert sorted(one.name for one in exports.folder.iterdir()) == ["classes.lock", "out"]
    assert (exports.folder / "out" / "manifest.json").read_bytes() == before


def test_a_disk_that_refuses_is_told(exports: ExportBench, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (exports.folder / "file").write_text("")
    with pytest.raises(LabelrigError, match=r"cannot write the export .*/file/out: (Not a directory|File exists)"):
        exports.export(project, "coco", "file/out")

    def full(*_ignored: object, **_words: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere/a.png")

    monkeypatch.setattr(Image.Image, "save", full)
    message = r"cannot write the export .*/out: No space left on device \(/somewhere/a\.png\)"
    with pytest.raises(LabelrigError, match=message):
        exports.export(project, "png")
    assert not list(exports.folder.glob("*out*"))


KILLED = """
    import sys
    from pathlib import Path
    from infra.export.folder import whole_folder
    with whole_folder(Path(sys.argv[1]), force=False) as folder:
        (folder / "masks").mkdir()
        (folder / "masks" / "half.png").write_bytes(b"half")
        print("ready", flush=True)
        sys.stdin.read()
"""


def test_a_killed_export_leaves_nothing_half_made(exports: ExportBench, project: Project) -> None:
    command = (sys.executable, "-c", textwrap.dedent(KILLED), str(exports.folder / "out"))
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(LabelrigError, match=r"another export to .*/out is running"):
            exports.export(project, "png")
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    assert not (exports.folder / "out").exists()
    exports.export(project, "png")
    assert not list(exports.folder.glob("**/half.png"))
    assert not list(exports.folder.glob(".out*"))


def test_the_lock_of_a_folder_ends_with_it(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    handle = os.open(exports.folder / "out", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def test_nothing_to_export_is_an_error_with_the_reasons(exports: ExportBench, project: Project) -> None:
    with pytest.raises(LabelrigError) as caught:
        exports.export(project, "coco", selection=selection(since="2030-01-01"))
    assert str(caught.value) == (
        "nothing in the project 'Scenes' fits the selection (3 of its tasks were read; left out: 3 annotation not "
        "selected); nothing was written"
    )
    assert list(exports.folder.iterdir()) == []


def test_large_masks_are_asked_for_a_few_at_a_time(exports: ExportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.labelstudio.bulk.CHUNK_BYTES", 4_000)
    project = exports.server.project(FUSED)
    ragged = np.random.default_rng(0).random((40, 40)) < 0.5
    for number in range(20):
        exports.server.annotate(exports.server.task(project, image=url(f"{number:02}.png")), brush(ragged, "Car"))
    assert exports.export(project, "coco").images == 20
    assert exports.server.pages == [8] + [1] * 12


def test_many_small_tasks_are_asked_for_many_at_a_time(exports: ExportBench) -> None:
    project = exports.server.project(FUSED)
    for number in range(1200):
        exports.server.annotate(exports.server.task(project, image=url(f"{number:04}.png")), brush(CAR, "Car"))
    assert exports.export(project, "rle-json").images == 1200
    assert exports.server.pages[:4] == [8, 16, 32, 64]
    assert len(exports.server.pages) <= 8 + 1200 // 64


# Which configuration, and class numbers.


def write_config(exports: ExportBench, name: str, version: int, text: str) -> Path:
    path = exports.folder / "repository" / "labeling_configs" / name / f"v{version}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path.parent / "classes.lock"


def test_numbers_are_kept_beside_the_configuration(exports: ExportBench, project: Project) -> None:
    lock = write_config(exports, "cars", 1, FUSED)
    (lock.parent / "v1.xml").write_text(FUSED + "\n")  # Label Studio takes the last line break away
    used = used_config(exports.folder / "repository", FUSED, "Scenes", None, None)
    assert (used.name, used.version, used.strict) == ("cars", 1, False)
    assert used.labeling.sha256 == sha256_of(lock.parent / "v1.xml")
    exports.export(project, "coco", config=("cars", 1))
    assert lock.read_text() == (
        '{\n  "format": 1,\n  "classes": [\n    {"id": 1, "name": "Car"},\n    {"id": 2, "name": "Road"}\n  ]\n}\n'
    )
    assert (exports.folder / "out" / "classes.json").read_text() == lock.read_text()


def test_numbers_stay_when_labels_come_and_go(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco", "first")
    newer = FUSED.replace('<Label value="Car" background="#E53935"/>', '<Label value="Bus"/>').replace(
        '<Label value="Car"/>', '<Label value="Bus"/>'
    )
    task = exports.server.task(project, image=url("z.png"))
    exports.server.annotate(task, [*brush(CAR, "Bus"), *brush(ROAD, "Lorry", "b")])
    changed = Project(project.id, project.title, "", newer, True, 0)
    exports.export(changed, "coco", "second")
    rows = exports.json("second/classes.json")["classes"]
    assert rows == [
        {"id": 1, "name": "Car", "retired": True},
        {"id": 2, "name": "Road"},
        {"id": 3, "name": "Bus"},
        {"id": 4, "name": "Lorry", "retired": True},
    ]
    assert exports.json("second/annotations.json")["categories"][0]["name"] == "Car"
    exports.export(project, "coco", "third")
    assert [one["id"] for one in exports.json("third/classes.json")["classes"] if not one.get("retired")] == [1, 2]


def test_a_given_version_leaves_out_what_it_lacks(exports: ExportBench, project: Project) -> None:
    write_config(exports, "cars", 1, FUSED.replace('<Label value="Road" background="#1E88E5"/>', ""))
    summary = exports.export(project, "coco", config=("cars", 1))
    assert summary.per_class == {"Car": 1}
    manifest = exports.json("out/manifest.json")
    assert manifest["counts"]["left_out"]["not in this configuration"] == 2
    assert (manifest["config"]["name"], manifest["config"]["version"]) == ("cars", 1)


def test_a_configuration_of_nobody_needs_a_place_for_its_numbers(exports: ExportBench, project: Project) -> None:
    with pytest.raises(SettingsError, match="is none of labeling_configs, so its class numbers have no place there"):
        export_without_lock(exports, project)
    with pytest.raises(SettingsError, match=r"labeling_configs/cars/v7.xml: cannot be read \(there are: none\)"):
        exports.export(project, "coco", config=("cars", 7))
    with pytest.raises(SettingsError, match="say which one --config-version counts"):
        used_config(exports.folder, FUSED, "Scenes", None, 1)


def export_without_lock(exports: ExportBench, project: Project) -> None:
    from infra.export.run import Export
    from infra.export.writers.choice import ExportOptions

    config = used_config(exports.folder, project.label_config, project.title, None, None)
    Export(exports.client, project, config, Selection(), ExportOptions("coco"), exports.folder, exports.report).run(
        exports.folder / "out"
    )


def test_the_fake_answers_as_the_application() -> None:
    """Field names that Label Studio leaves out of nested objects, too."""
    server = AnnotatedLabelStudio()
    project = server.project(FUSED)
    task = server.task(project, image=url("a.png"))
    server.annotate(task, [])
    assert server._row(task, {"id", "annotations"}, True) == {"id": task, "annotations": [{"id": task + 1}]}
