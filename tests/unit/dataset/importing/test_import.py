"""An export goes back into a project: once, and beside nobody's work."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest

from core.errors import LabelStudioError
from dataset.export.selection import Selection, selection
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.importing.scenes import CAR, FILES, ROAD, SIZE, fill, payload, task_of
from tests.unit.labelstudio.annotated import FUSED, OTHER, SPLIT, brush, result, split_brush, url, with_palette

EVERYTHING = Selection(which="all", skipped=True)


@pytest.mark.parametrize("format_name", FILES)
@pytest.mark.parametrize("images", [("a", "b", "c"), ("c", "b", "a")])
def test_export_import_export_is_the_same_file(
    exports: ExportBench, project: Project, format_name: str, images: tuple[str, ...]
) -> None:
    exports.export(project, format_name, "first")
    other = fill(exports, FUSED, images)
    summary = exports.import_(other, "first")
    assert (summary.added, summary.present, summary.kept, summary.missing) == (2, 0, [], [])
    exports.export(other, format_name, "second")
    assert payload(exports, "second", format_name) == payload(exports, "first", format_name)


@pytest.mark.parametrize("format_name", FILES)
@pytest.mark.parametrize("as_kind", ["annotation", "prediction"])
def test_a_second_import_adds_nothing(exports: ExportBench, project: Project, format_name: str, as_kind: str) -> None:
    exports.export(project, format_name)
    assert exports.import_(fill(exports, FUSED), as_kind=as_kind).added == 2
    other = Project(max(exports.server.projects), "Scenes", "", FUSED, True, 0)
    again = exports.import_(other, as_kind=as_kind)
    assert (again.added, again.present) == (0, 2)
    assert again.sentence() == f"0 {as_kind}s added; 2 were there already"


@pytest.mark.parametrize("format_name", FILES)
def test_what_is_there_already_is_seen(exports: ExportBench, project: Project, format_name: str) -> None:
    """Into the project that it came from: with ghosts and prompts in it."""
    exports.export(project, format_name)
    summary = exports.import_(project)
    assert (summary.added, summary.present, summary.kept) == (0, 2, [])
    exports.export(
        project, format_name, "some", selection=selection(labels="Car", tasks=str(task_of(exports, project, "a")))
    )
    summary = exports.import_(project, "some")
    assert summary.added == 0


def test_a_persons_work_is_left_alone(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    other = fill(exports, FUSED)
    mine = task_of(exports, other, "a")
    exports.server.annotate(mine, brush(ROAD, "Car", "mine"))
    summary = exports.import_(other)
    assert (summary.added, summary.kept) == (1, [mine])
    assert [one["result"][0]["id"] for one in exports.server.annotations[mine]] == ["mine"]
    assert "1 tasks left alone, people have annotated them" in summary.sentence()
    summary = exports.import_(other, as_kind="prediction")
    assert summary.added == 2
    assert [one["result"][0]["id"] for one in exports.server.annotations[mine]] == ["mine"]
    (prediction,) = exports.server.predictions[mine]
    assert prediction["model_version"] == "import"
    assert [one["value"]["brushlabels"] for one in prediction["result"]] == [["Car"], ["Road"]]


def test_annotations_keep_their_people_and_times(exports: ExportBench, project: Project) -> None:
    task = task_of(exports, project, "a")
    exports.server.annotate(task, brush(ROAD, "Car", "two"), completed_by=2, ground_truth=True, lead_time=None)
    exports.server.annotate(task, [], was_cancelled=True)
    exports.export(project, "label-studio", selection=EVERYTHING)
    other = fill(exports, FUSED)
    assert exports.import_(other).added == 4
    stored = exports.server.annotations[task_of(exports, other, "a")]
    kept = ("completed_by", "ground_truth", "was_cancelled", "lead_time")
    assert [[one[name] for name in kept] for one in stored] == [
        [1, False, False, 3.5],
        [2, True, False, None],
        [1, False, True, 3.5],
    ]
    exports.export(other, "label-studio", "second", selection=EVERYTHING)
    assert payload(exports, "second", "label-studio") == payload(exports, "out", "label-studio")


def test_a_person_who_is_not_there_becomes_the_one_who_imports(exports: ExportBench, project: Project) -> None:
    exports.export(project, "label-studio")
    del exports.server.users[2]
    other = fill(exports, FUSED)
    exports.import_(other)
    (stored,) = exports.server.annotations[task_of(exports, other, "b")]
    assert stored["completed_by"] == 1


BROKEN_REGIONS = [
    *with_palette("brush", "brush", {"format": "rle", "rle": []}, "Road", SIZE, "no-code"),
    *with_palette("polygon", "poly", {"points": [[1, 1], [50, 50]], "closed": False}, "Car", SIZE, "two-points"),
    *with_palette("bitmask", "bits", {"imageDataURL": ""}, "Car", SIZE, "no-picture"),
    *split_brush(np.zeros_like(ROAD), "Car", "erased"),
]


def test_own_export_goes_in_whatever_was_broken(exports: ExportBench) -> None:
    """A region that nobody can read is named, not counted, and not in the file; one without a pixel is left out."""
    project, other = fill(exports, SPLIT), fill(exports, SPLIT)
    task = task_of(exports, project, "a")
    choice = result("choices", "light", "c", SIZE, {"choices": ["day"]})
    exports.server.annotate(task, [*BROKEN_REGIONS, *split_brush(ROAD, "Road", "good"), choice])
    exports.server.annotate(task_of(exports, project, "b"), BROKEN_REGIONS[:2])
    summary = exports.export(project, "label-studio")
    assert (summary.regions, summary.per_class) == (1, {"Road": 1})
    assert [one.split(": ")[1].split(" cannot")[0] for one in summary.problems] == [
        "region no-code (Road)",
        "region two-points (Car)",
        "region no-picture (Car)",
        "region no-code (Road)",
    ]
    assert exports.json("out/manifest.json")["counts"]["left_out"] == {"empty": 1}
    first, second = (one["annotations"][0]["result"] for one in exports.json("out/tasks.json"))
    assert ([one["id"] for one in first], second) == (["good", "good", "c"], [])
    assert exports.import_(other).added == 2
    exports.export(other, "label-studio", "again")
    assert payload(exports, "again", "label-studio") == payload(exports, "out", "label-studio")


def test_regions_without_an_id_stay_apart(exports: ExportBench) -> None:
    """As scripts write them: what is wrong with one, or not selected, takes no other away; into other tags, too."""
    project, other = fill(exports, FUSED), fill(exports, SPLIT)
    cut_off = {"format": "rle", "rle": [0, 0], "brushlabels": ["Car"]}
    drawn = [*brush(CAR, "Car"), *brush(ROAD, "Road"), result("brushlabels", "brush", "", SIZE, cut_off)]
    exports.server.annotate(task_of(exports, project, "a"), [{**one, "id": ""} for one in drawn])
    exports.export(project, "label-studio")
    assert exports.import_(other).added == 1
    stored = exports.server.annotations[task_of(exports, other, "a")][0]["result"]
    assert [one["value"]["labels"] for one in stored if one["type"] == "labels"] == [["Car"], ["Road"]]
    exports.export(project, "label-studio", "some", selection=selection(labels="Road"))
    (row,) = exports.json("some/tasks.json")
    assert [one["value"]["brushlabels"] for one in row["annotations"][0]["result"]] == [["Road"]]


def test_an_import_that_broke_off_goes_on(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    other = fill(exports, FUSED)
    second = task_of(exports, other, "b")

    def gone(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("connection reset")

    exports.server.overrides[f"POST /api/tasks/{second}/annotations"] = gone
    with pytest.raises(LabelStudioError, match=f"cannot annotate task {second}: the connection"):
        exports.import_(other)
    exports.server.overrides.clear()
    summary = exports.import_(other)
    assert (summary.added, summary.present) == (1, 1)


def test_predictions_that_label_studio_drops_are_noticed(exports: ExportBench, project: Project) -> None:
    exports.export(project, "coco")
    other = fill(exports, FUSED)
    exports.server.overrides[f"POST /api/projects/{other.id}/import/predictions"] = lambda _: httpx.Response(
        201, json={"created": 0}
    )
    with pytest.raises(LabelStudioError, match="Label Studio stored 0 of 1; it drops predictions that do not fit"):
        exports.import_(other, as_kind="prediction")


def test_somebody_elses_annotation_does_not_hide_ours(exports: ExportBench, project: Project) -> None:
    """Two annotators on one image: both come back, also when only one of them is there."""
    task = task_of(exports, project, "a")
    exports.server.annotate(task, brush(ROAD, "Road", "z"), completed_by=2)
    exports.export(project, "label-studio", selection=selection(which="all"))
    other = fill(exports, FUSED)
    exports.import_(other)
    again = task_of(exports, other, "a")
    assert [one["completed_by"] for one in exports.server.annotations[again]] == [1, 2]
    exports.server.annotations[again].pop()
    assert exports.import_(other).added == 1
    assert OTHER in exports.server.users.values()


@pytest.mark.parametrize("config", [FUSED, SPLIT], ids=["same tags", "other tags"])
def test_answers_about_a_region_go_in_with_it(exports: ExportBench, config: str) -> None:
    """`<Choices perRegion="true">` has the id of its region; which region it is about counts in a second import."""

    def write(state_of: str, note_of: str) -> None:
        answers = [
            result("choices", "state", state_of, SIZE, {"choices": ["wet"]}),
            result("textarea", "note", note_of, SIZE, {"text": ["old"]}),
        ]
        drawn = [*brush(CAR, "Car", "r1"), *brush(ROAD, "Road", "r2"), *answers]
        row = {"data": {"image": url("set/a.png")}, "annotations": [{"result": drawn}]}
        (exports.folder / "x.json").write_text(json.dumps([row]))

    project = fill(exports, config)
    write("r1", "r2")
    assert exports.import_(project, "x.json").added == 1
    (stored,) = exports.server.annotations[task_of(exports, project, "a")]
    answers = [(one["id"], one["value"]) for one in stored["result"] if one["type"] in ("choices", "textarea")]
    assert answers == [("r1", {"choices": ["wet"]}), ("r2", {"text": ["old"]})]
    assert exports.import_(project, "x.json").present == 1
    write("r2", "r1")
    assert (again := exports.import_(project, "x.json")).present == 0
    assert len(again.kept) == 1
