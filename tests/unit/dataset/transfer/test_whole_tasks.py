"""A task of the twins gets all of its masks at once or none, and what people do there meanwhile stays theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.errors import SettingsError
from dataset.fetching import fetch_image
from dataset.transfer.plan import given_labels
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.transfer.drawn import alignment
from tests.unit.dataset.transfer.test_projects import PAIR, RGB, on_rgb, picture, transfer
from tests.unit.labelstudio.annotated import url

THERMAL = """<View><Image name="photo" value="$photo"/>
  <BrushLabels name="mask" toName="photo"><Label value="car"/></BrushLabels></View>"""
LISTS = PAIR.replace('value="$rgb"', 'valueList="$rgb"').replace('value="$thermal"', 'valueList="$thermal"')
Sides = tuple[Project, Project, int, int]


@pytest.fixture
def sides(exports: ExportBench) -> Sides:
    """Two projects, the annotated RGB task, and its twin."""
    source, target = exports.server.project(RGB, "RGB"), exports.server.project(THERMAL, "Thermal")
    picture(exports, "set/T/a.png", "car")
    rgb = exports.server.task(source, image=url("set/RGB/a.png"))
    return source, target, rgb, exports.server.task(target, photo=url("set/T/a.png"))


def annotate(exports: ExportBench, rgb: int, *labels: str) -> None:
    exports.server.annotate(rgb, on_rgb(*labels, to_name="image", name="brush"))


@pytest.mark.parametrize("kind", ["prediction", "annotation"])
def test_a_label_without_a_tag_stores_nothing(exports: ExportBench, sides: Sides, kind: str) -> None:
    """Also in the tasks before it: without these masks an annotation would look like a complete one."""
    source, target, rgb, twin = sides
    annotate(exports, rgb, "car")
    picture(exports, "set/T/b.png", "person")
    exports.server.task(target, photo=url("set/T/b.png"))
    annotate(exports, exports.server.task(source, image=url("set/RGB/b.png")), "car", "person")
    with pytest.raises(SettingsError) as error:
        transfer(exports, source, target, kind=kind)
    assert str(error.value) == (
        "the image 'photo' of the project 'Thermal' has no tag for these labels, nothing was stored; say what they are "
        'called there, or leave their masks out with --label LABEL=\n  - "person" (1 masks): --label person=NAME'
    )
    assert (exports.server.annotations[twin], exports.server.predictions[twin]) == ([], [])
    found = transfer(exports, source, target, kind=kind, labels=given_labels(["person="]))
    assert [[one.label for one in each.regions] for each in found.done] == [["car"], ["car"]]
    again = transfer(exports, source, target, kind=kind, labels={"person": ""})
    assert (again.images, again.before) == ([], 2)


def test_label_options_that_cannot_be_read() -> None:
    assert given_labels(["car = Vehicle", "person="]) == {"car": "Vehicle", "person": ""}
    for text in ("car", "=Vehicle", "car=car"):
        with pytest.raises(SettingsError, match=f"--label {text}: must be"):
            given_labels([text])


def submit(exports: ExportBench, twin: int) -> None:
    exports.server.annotate(twin, [])


def skip(exports: ExportBench, twin: int) -> None:
    exports.server.annotate(twin, [], was_cancelled=True)


def draw(exports: ExportBench, twin: int) -> None:
    exports.server.drafts[twin] = 1


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (submit, "people have annotated its twin (task {twin}), which is left alone"),
        (skip, "a person has skipped its twin (task {twin}), which is left alone"),
        (draw, "a person has a draft in its twin (task {twin}), which is left alone"),
    ],
)
@pytest.mark.parametrize("meanwhile", [True, False])
def test_people_keep_the_tasks_that_they_began(
    exports: ExportBench,
    sides: Sides,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[ExportBench, int], None],
    reason: str,
    meanwhile: bool,
) -> None:
    """Before the run, and while it fetches the pictures: the newest annotation is the one that exports take."""
    source, target, rgb, twin = sides
    annotate(exports, rgb, "car")
    if meanwhile:

        def fetch(*asked: Any) -> bytes:
            act(exports, twin)
            return fetch_image(*asked)

        monkeypatch.setattr("dataset.transfer.twin_picture.fetch_image", fetch)
    else:
        act(exports, twin)
    before = len(exports.server.annotations[twin])
    found = transfer(exports, source, target, kind="annotation")
    assert [one.reason for one in found.images] == [reason.format(twin=twin)]
    assert found.is_nothing
    assert all(not one["result"] for one in exports.server.annotations[twin])
    assert len(exports.server.annotations[twin]) <= before + 1


def test_all_images_of_a_list_are_in_one_prediction(exports: ExportBench) -> None:
    """And the annotation that they come from once."""
    project = exports.server.project(LISTS, "Lists")
    for name in ("a", "b"):
        picture(exports, f"set/T/{name}.tiff", "car")
    lists = {tag: [url(f"set/{folder}/{name}") for name in names] for tag, folder, names in PAGES}
    task = exports.server.task(project, **lists)
    results = [{**one, "id": f"p{page}", "item_index": page} for page in (0, 1) for one in on_rgb("car")]
    exports.server.annotate(task, results)
    found = transfer(exports, project)
    assert [one.name for one in found.done] == ["set/RGB/a.png", "set/RGB/b.png"]
    (made,) = exports.server.predictions[task]
    assert sorted((one["to_name"], one["item_index"]) for one in made["result"] if one["type"] != "labels") == [
        ("rgb", 0),
        ("rgb", 1),
        ("thermal", 0),
        ("thermal", 1),
    ]
    again = transfer(exports, project)
    assert (again.images, again.before) == ([], 2)


PAGES = (("rgb", "RGB", ("a.png", "b.png")), ("thermal", "T", ("a.tiff", "b.tiff")))


@pytest.mark.parametrize("kind", ["prediction", "annotation"])
def test_pictures_of_several_tasks_lead_to_one(exports: ExportBench, kind: str) -> None:
    """RGB pictures that are tasks of their own, thermal ones in a list; one pair was refused and is left out."""
    source = exports.server.project(RGB, "RGB")
    target = exports.server.project(THERMAL.replace('value="$photo"', 'valueList="$photo"', 1), "Thermal")
    for name in ("a", "b", "c"):
        picture(exports, f"set/T/{name}.png", "car")
        annotate(exports, exports.server.task(source, image=url(f"set/RGB/{name}.png")), "car")
    twin = exports.server.task(target, photo=[url(f"set/T/{name}.png") for name in ("a", "b", "c")])
    alignment(exports.folder / "alignment.yaml", refused=["RGB/c"])
    found = transfer(exports, source, target, kind=kind)
    assert [one.reason for one in found.images] == ["", "", "the registration refused its pair"]
    stored = exports.server.predictions if kind == "prediction" else exports.server.annotations
    (made,) = stored[twin]
    assert [one["item_index"] for one in made["result"]] == [0, 1]
